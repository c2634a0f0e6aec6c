"""What an epoch of training came to, where MONAI's loggers look for it."""

from __future__ import annotations

from ignite.engine import Engine
from ignite.metrics import Average
from torch.optim import Optimizer

from dualtask.losses.dual_task_loss import DualTaskLoss


class EpochMeans:
    """Adds to ``trainer.state.metrics`` the mean over the epoch of ``loss``, of each term and of ``learning_rate``.

    The terms are unweighted and carry their names in the loss. Handlers that read the means come after this one.

    Args:
        loss: the loss of the trainer, whose ``values`` hold the terms.
        optimizer: its first group of parameters gives the learning rate.
    """

    def __init__(self, loss: DualTaskLoss, optimizer: Optimizer) -> None:
        self.loss = loss
        self.optimizer = optimizer

    def attach(self, engine: Engine) -> None:
        Average(lambda output: output["loss"].item()).attach(engine, "loss")
        for term in self.loss.weights:
            Average(lambda output, term=term: self.loss.values[term]).attach(engine, term)
        Average(lambda output: self.optimizer.param_groups[0]["lr"]).attach(engine, "learning_rate")
