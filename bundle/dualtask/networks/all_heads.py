"""The network as training calls it."""

from __future__ import annotations

import torch
from torch import nn

from dualtask.networks.dual_task_net import DualTaskNet
from dualtask.networks.heads import Heads


class AllHeads(nn.Module):
    """A dual-task network whose forward pass returns all heads; DistributedDataParallel acts on the forward pass only.

    Args:
        network: what is trained and saved.
    """

    def __init__(self, network: DualTaskNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> Heads:
        """Outputs of all heads for an image [B, 1, X, Y, Z] in [0, 1]."""
        return self.network.heads(image)
