"""The moving average of the network's weights: the teacher, what is validated, and what is shipped."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

_WARM_UP = 10

Weights = tuple[torch.Tensor, ...] | list[torch.Tensor]


class WeightAverage:
    """Updates an average of a network's weights after each step of the optimizer.

    The average takes a share max(1 - momentum, 10 / (10 + n)) of the weights after step n, so that it leaves the random
    start behind at once and has a long memory later (mean teacher, arXiv 1703.01780, section 2).

    Args:
        network: what is trained.
        optimizer: of the trainer.
        momentum: of the average in the long run; 0.998 remembers about 500 steps.

    Attributes:
        averaged: the network with the averaged weights, never trained itself.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, momentum: float = 0.998) -> None:
        def average(averaged: Weights, current: Weights, steps: torch.Tensor | int) -> None:
            torch._foreach_lerp_(averaged, current, max(1 - momentum, _WARM_UP / (_WARM_UP + int(steps))))

        self.network = network
        self.optimizer = optimizer
        self.model = AveragedModel(network, multi_avg_fn=average)
        self.averaged = self.model.module.eval().requires_grad_(False)

    def attach(self, engine: Engine) -> None:
        self.optimizer.register_step_post_hook(self)

    def __call__(self, *_: Any) -> None:
        self.model.update_parameters(self.network)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.model.load_state_dict(state)
