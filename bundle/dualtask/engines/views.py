"""Batch preparation for ``monai.engines.SupervisedTrainer``: views of each crop, and their targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor

from dualtask.losses.targets import Targets


class PrepareViews:
    """Makes views of every crop on the device of training (arXiv 2505.01644, output-space self-supervision: two).

    Args:
        views: one generator for each view; terms of consistency need two.
    """

    def __init__(self, views: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> None:
        self.views = views

    def __call__(
        self, batch: Mapping[str, torch.Tensor], device: torch.device, non_blocking: bool, **to_kwargs: Any
    ) -> tuple[torch.Tensor, Targets]:
        """Inputs and targets of a batch.

        Args:
            batch: ``image`` [B, 1, X, Y, Z] in [0, 1], ``label`` (structure masks), ``label_distance``
                [B, 2, X, Y, Z], ``label_sites`` [B, 1, x, y, z] and ``annotated`` [B, 2].

        Returns:
            the V views [V B, 1, X, Y, Z], first views first, and the targets of each, as plain tensors: meta data is
            of no use behind the transforms and slows every operation down.
        """

        def to_device(key: str) -> torch.Tensor:
            tensor = batch[key]
            plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
            return plain.to(device=device, non_blocking=non_blocking, **to_kwargs)

        image = to_device("image")
        targets = (to_device(key) for key in ("label", "label_distance", "label_sites", "annotated"))
        count = len(self.views)
        return torch.cat([view(image) for view in self.views]), Targets(*(torch.cat([t] * count) for t in targets))
