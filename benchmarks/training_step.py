"""A training step on the shipped crop: ours by part, against the reference recipe and a plain SegResNet.

The reference recipe is the same network and loss in fp32, with scipy's Euclidean distance transforms for the targets of
each sample. The plain step is MONAI's SegResNet of about the same size with Dice + cross entropy on as many images. The
contestants take turns within one process.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet
from monai.transforms import Compose
from scipy.ndimage import distance_transform_edt

from dualtask import bundle_root
from dualtask.inferers.precision import autocast
from dualtask.losses import DualTaskLoss
from dualtask.losses.targets import Targets
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.sites import SITES

_TARGETS = ("StructureMasksd", "SignedDistanced", "ContrastSitesd")
_CPU = torch.device("cpu")


class Clock:
    """Seconds by part, one list entry for each step."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}

    def __call__(self, part: str, step: Callable, *values: object) -> object:
        started = time.perf_counter()
        result = step(*values)
        self.parts.setdefault(part, []).append(time.perf_counter() - started)
        return result

    def medians(self) -> dict[str, float]:
        """Median of each part; the first step warms up."""
        return {part: statistics.median(times[1:]) for part, times in self.parts.items()}


def scipy_targets(masks: np.ndarray, spacing: tuple[float, ...], truncation: float) -> np.ndarray:
    """Signed distance / truncation distance of masks [2, X, Y, Z], negative inside."""
    outside = [distance_transform_edt(mask == 0, sampling=spacing) for mask in masks]
    inside = [distance_transform_edt(mask, sampling=spacing) for mask in masks]
    return np.clip((np.array(outside) - np.array(inside)) / truncation, -1, 1)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    root = Path(bundle_root())
    with tempfile.TemporaryDirectory() as folder:
        write_decathlon(folder, [SITES["metro"]], cases_per_site=5, seed=4000, matrix=160)
        workflow = ConfigWorkflow(
            str(root / "configs" / "train.json"),
            meta_file=str(root / "configs" / "metadata.json"),
            workflow_type="train",
            logging_file=False,
            dataset_dir=folder,
            output_dir=folder,
            tracking_uri="",
        )
        workflow.initialize()
        part = workflow.parser.get_parsed_content
        case = part("preprocessing")(part("cases")[0][0])
    draw = Compose([part("train#crop"), part("train#augmentation")]).flatten().transforms
    network, loss, optimizer = part("train#trainer#network"), part("loss"), part("optimizer")
    prepare = part("train#trainer#prepare_batch")
    spacing, truncation = tuple(part("grid_spacing")), float(part("pred_format")["distance_truncation"])
    plain = SegResNet(init_filters=8, blocks_down=(1, 2, 2, 4), out_channels=3)
    plain_loss, plain_optimizer = DiceCELoss(to_onehot_y=True, softmax=True), torch.optim.AdamW(plain.parameters())
    clocks = {name: Clock() for name in ("ours", "reference recipe", "plain SegResNet")}
    for _ in range(arguments.steps + 1):
        ours = clocks["ours"]
        sample = dict(case)
        for transform in draw:
            kind = "targets" if type(transform).__name__ in _TARGETS else "crop and augmentation"
            sample = ours(f"{kind}: {type(transform).__name__}", transform, sample)
            sample = sample[0] if isinstance(sample, list) else sample
        batch = {name: sample[name][None] for name in ("image", "label", "label_distance", "label_sites", "annotated")}
        views, targets = ours("views", prepare, batch, _CPU, False)
        _step(ours, network, loss, optimizer, views, targets, low_precision=True)

        reference = clocks["reference recipe"]
        for _ in range(len(views)):
            reference("targets: scipy", scipy_targets, np.asarray(sample["label"]), spacing, truncation)
        _step(reference, network, loss, optimizer, views, targets, low_precision=False)

        simple = clocks["plain SegResNet"]
        label = targets.masks.sum(1, keepdim=True)
        answer = simple("forward", plain, views)
        value = simple("loss", plain_loss, answer, label)
        plain_optimizer.zero_grad()
        simple("backward", value.backward)
        simple("optimiser", plain_optimizer.step)
    _print(clocks)


def _step(
    clock: Clock,
    network: torch.nn.Module,
    loss: DualTaskLoss,
    optimizer: torch.optim.Optimizer,
    views: torch.Tensor,
    targets: Targets,
    low_precision: bool,
) -> None:
    with autocast(_CPU) if low_precision else torch.autocast("cpu", enabled=False):
        heads = clock("forward", network, views)
    heads = type(heads)(*(output.float() for output in heads))
    values: Mapping[str, torch.Tensor] = {
        name: clock(f"loss: {name}", term, heads, targets) for name, term in loss.terms.items()
    }
    optimizer.zero_grad()
    clock("backward", sum(loss.weights[name] * value for name, value in values.items()).backward)
    clock("optimiser", optimizer.step)


def _print(clocks: Mapping[str, Clock]) -> None:
    medians = {name: clock.medians() for name, clock in clocks.items()}
    totals = {name: sum(parts.values()) for name, parts in medians.items()}
    print(
        f"{platform.machine()}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads; PyTorch",
        torch.__version__,
    )
    print("| step | time relative to ours |\n|---|---|")
    for name, total in totals.items():
        print(f"| {name} | {total / totals['ours']:.2f} |")
    print("\n| part of ours | share of the step |\n|---|---|")
    for part, seconds in medians["ours"].items():
        print(f"| {part} | {100 * seconds / totals['ours']:.1f} % |")


if __name__ == "__main__":
    main()
