"""Forward pass of training: both heads on a crop."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer

from dualtask.networks.dual_task_net import DualTaskNet
from dualtask.networks.heads import Heads


class HeadsInferer(Inferer):
    """Asks the network for its heads instead of their fusion, under bf16 autocast.

    bf16 keeps the range of fp32, so neither a gradient scaler nor a second code path for the CPU is needed.
    """

    def __call__(self, inputs: torch.Tensor, network: DualTaskNet, *args: Any, **kwargs: Any) -> Heads:
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return network.heads(inputs)
