"""The maps of a region that is given, as validation asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from dualtask.distances.heaviside import per_structure
from dualtask.inferers.heads import head_outputs
from dualtask.maps import fuse_heads


class RegionMapsInferer(Inferer):
    """What the fine stage of the cascade says of a region, without the localiser before it.

    Args:
        truncation: truncation distance of each structure in mm.
    """

    def __init__(self, truncation: Sequence[float]) -> None:
        super().__init__()
        self.truncation = per_structure(truncation)

    @torch.no_grad()
    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Maps [B, 6, X, Y, Z] with the channels ``dualtask.maps.MAPS``.

        Args:
            inputs: [B, 1, X, Y, Z] in [0, 1] at the network's spacing.
            network: dual-task network.
        """
        outputs = head_outputs(inputs, network)
        return fuse_heads(outputs, network.sharpness, self.truncation.to(outputs.device), network.regression_share)
