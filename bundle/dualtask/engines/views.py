"""Batch preparation for ``monai.engines.SupervisedTrainer``: views of each crop, and their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.utils import convert_to_tensor

from dualtask.inferers.precision import autocast
from dualtask.losses.targets import Targets
from dualtask.networks.dual_task_net import DualTaskNet


class PrepareViews:
    """Makes views of every crop on the device of training (arXiv 2505.01644, output-space self-supervision).

    Args:
        views: one generator for each view that the network is trained on.
        teacher: dual-task network that looks at one more view of each crop, by the first generator; None does without.
    """

    def __init__(self, views: Sequence[Callable[[torch.Tensor], torch.Tensor]], teacher: DualTaskNet | None) -> None:
        self.views = views
        self.teacher = teacher

    def __call__(
        self, batch: Mapping[str, torch.Tensor], device: torch.device, non_blocking: bool, **to_kwargs: Any
    ) -> tuple[torch.Tensor, Targets]:
        """Inputs and targets of a batch.

        Args:
            batch: of any dtypes: ``image`` [B, 1, X, Y, Z] in [0, 1], ``label`` (structure masks), ``label_distance``
                [B, 2, X, Y, Z], ``label_sites`` [B, 1, x, y, z], ``annotated`` [B, 2], ``known`` [B, 1, X, Y, Z] and,
                where they are taught, ``organs`` [B, 1, X, Y, Z].

        Returns:
            the V views [V B, 1, X, Y, Z], first views first, and the targets of each, as plain tensors: meta data is
            of no use behind the transforms and slows every operation down. Voxels that are not known stay 0.
        """

        def to_device(key: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return (
                convert_to_tensor(batch[key], track_meta=False)
                .to(device=device, non_blocking=non_blocking, **to_kwargs)
                .to(dtype)
            )

        def of_each_view(tensor: torch.Tensor) -> torch.Tensor:
            return torch.cat([tensor] * len(self.views))

        image, known = to_device("image"), to_device("known")
        teacher = None
        if self.teacher is not None:
            with torch.no_grad(), autocast(device, image.shape[-1]):
                heads = self.teacher.heads(self.views[0](image) * known)
            teacher = heads.in_float32()
        views = torch.cat([view(image) * known for view in self.views])
        return views, Targets(
            of_each_view(to_device("label")),
            of_each_view(to_device("label_distance")),
            of_each_view(to_device("label_sites", torch.uint8)),
            of_each_view(to_device("annotated")),
            of_each_view(known),
            teacher,
            of_each_view(to_device("organs")) if "organs" in batch else None,
        )
