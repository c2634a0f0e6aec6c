"""Batch preparation for ``monai.engines.SupervisedTrainer``: views of each crop, and their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from torch import nn

from dualtask.inferers.precision import autocast
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads

_TARGETS = ("label", "label_distance", "label_sites", "annotated", "known")


class PrepareViews:
    """Makes views of every crop on the device of training (arXiv 2505.01644, output-space self-supervision).

    Args:
        views: one generator for each view that the network is trained on.
        teacher: dual-task network that looks at one more view of each crop, by the first generator; None does without.
    """

    def __init__(self, views: Sequence[Callable[[torch.Tensor], torch.Tensor]], teacher: nn.Module | None) -> None:
        self.views = views
        self.teacher = teacher

    def __call__(
        self, batch: Mapping[str, torch.Tensor], device: torch.device, non_blocking: bool, **to_kwargs: Any
    ) -> tuple[torch.Tensor, Targets]:
        """Inputs and targets of a batch.

        Args:
            batch: ``image`` [B, 1, X, Y, Z] in [0, 1], ``label`` (structure masks), ``label_distance``
                [B, 2, X, Y, Z], ``label_sites`` [B, 1, x, y, z], ``annotated`` [B, 2] and ``known`` [B, 1, X, Y, Z].

        Returns:
            the V views [V B, 1, X, Y, Z], first views first, and the targets of each, as plain tensors: meta data is
            of no use behind the transforms and slows every operation down. Voxels that are not known stay 0.
        """

        def to_device(key: str) -> torch.Tensor:
            tensor = batch[key]
            plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
            return plain.to(device=device, non_blocking=non_blocking, **to_kwargs)

        image = to_device("image")
        targets = [to_device(key) for key in _TARGETS]
        known = targets[-1]
        count = len(self.views)
        teacher = None
        if self.teacher is not None:
            with torch.no_grad(), autocast(device):
                heads = self.teacher.heads(self.views[0](image) * known)
            teacher = Heads(*(output.float() for output in heads))
        views = torch.cat([view(image) * known for view in self.views])
        return views, Targets(*(torch.cat([target] * count) for target in targets), teacher)
