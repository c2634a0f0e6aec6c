"""What each head knows of each structure, epoch by epoch: a head that has died shows in the first."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric

from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads
from dualtask.structures import STRUCTURES

DIAGNOSTICS = ("dice_classification", "dice_regression", "band_error_mm", "inside_share", "false_alarms")
"""Names of the diagnostics of one structure; the structure's name follows."""


class HeadDiagnostics(Metric):
    """Adds to ``trainer.state.metrics`` for each structure, over the crops that an epoch of training saw:

    - ``dice_classification_<structure>``, ``dice_regression_<structure>``: of each head's mask, all crops pooled;
    - ``band_error_mm_<structure>``: mean absolute error of the distance where the true one is within the truncation;
    - ``inside_share_<structure>``: share of the structure's voxels whose estimated distance is negative;
    - ``false_alarms_<structure>``: share of the crops without the structure in which the classification sees some.

    NaN where no crop had what is counted.

    Args:
        truncation: truncation distance of each structure in mm.
    """

    def __init__(self, truncation: list[float]) -> None:
        self.truncation = torch.tensor([float(limit) for limit in truncation])
        super().__init__()

    def reset(self) -> None:
        self._sums = torch.zeros(9, len(STRUCTURES), dtype=torch.float64)

    @torch.no_grad()
    def update(self, output: tuple[Heads, Targets]) -> None:
        heads, targets = output
        taught = targets.supervision()
        truth = targets.masks * taught
        masks = (heads.logits > 0) * taught, (heads.distance < 0) * taught
        within = taught * (targets.distance.abs() < 1)
        error = (heads.distance.clamp(-1, 1) - targets.distance).abs() * self.truncation.to(truth)[:, None, None, None]
        absent = (truth.sum((2, 3, 4)) == 0) & (targets.annotated > 0)
        alarmed = masks[0].sum((2, 3, 4)) > 0
        voxels = (0, 2, 3, 4)
        counts = [
            *((mask * truth).sum(voxels) for mask in masks),
            *(mask.sum(voxels) for mask in masks),
            truth.sum(voxels),
            (error * within).sum(voxels),
            within.sum(voxels),
            (absent & alarmed).sum(0),
            absent.sum(0),
        ]
        # No transfer before the epoch ends: an accelerator stands still at each.
        self._sums = self._sums.to(truth.device) + torch.stack([count.double() for count in counts])

    def compute(self) -> dict[str, float]:
        # Every process of a training sees crops of its own.
        sums = idist.all_reduce(self._sums.clone()).cpu()
        shared_c, shared_r, found_c, found_r, truth, error, within, alarms, absent = sums
        values = (
            2 * shared_c / (found_c + truth),
            2 * shared_r / (found_r + truth),
            error / within,
            shared_r / truth,
            alarms / absent,
        )
        return {
            f"{name}_{structure}": float(value[channel])
            for name, value in zip(DIAGNOSTICS, values, strict=True)
            for channel, structure in enumerate(STRUCTURES)
        }

    def attach(self, engine: Engine) -> None:
        """As a handler of MONAI's trainer, whose output holds heads and targets."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: self.reset())
        engine.add_event_handler(
            Events.ITERATION_COMPLETED, lambda: self.update((engine.state.output["pred"], engine.state.output["label"]))
        )
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: engine.state.metrics.update(self.compute()))
