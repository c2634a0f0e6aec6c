"""A bound on the step that one odd batch can take."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from torch import nn
from torch.optim import Optimizer


class GradientClipping:
    """Scales the gradient of each step of the optimizer down to a largest norm; nnU-Net's bound is 12.

    Just before the step, when the gradients of all batches that it accumulates are there, and unscaled.

    Args:
        network: what is trained.
        optimizer: of the trainer.
        max_norm: of the gradient of all parameters.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, max_norm: float) -> None:
        self.network = network
        self.optimizer = optimizer
        self.max_norm = float(max_norm)

    def attach(self, engine: Engine) -> None:
        self.optimizer.register_step_pre_hook(self)

    def __call__(self, *_: Any) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
