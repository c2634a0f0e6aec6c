"""Terms of the loss that come in gradually."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ignite.engine import Engine, Events

from dualtask.losses.dual_task_loss import DualTaskLoss


class RampUp:
    """Raises the weights of some terms to their full value over the first epochs.

    A term that compares the two tasks teaches little before either knows something: the mask of a regression head that
    still answers "far away" everywhere pulls the shared features away from small structures. The weights follow
    exp(-5 (1 - t)^2), t from 0 to 1, as is usual for consistency terms (Laine and Aila, arXiv 1610.02242, section 3.2).
    They depend on nothing but the epoch, so that a resumed training continues as it was. The sum of the terms is not
    comparable between the epochs of the ramp; the terms themselves are.

    Args:
        loss: of the trainer.
        terms: names of terms; those without a weight in the loss are passed over.
        epochs: until the full weights; 0 for full weights from the start.
    """

    def __init__(self, loss: DualTaskLoss, terms: Sequence[str], epochs: int) -> None:
        self.loss = loss
        self.full = {term: loss.weights[term] for term in terms if term in loss.weights}
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        missing = max(0.0, 1 - (engine.state.epoch - 1) / self.epochs) if self.epochs else 0.0
        for term, weight in self.full.items():
            self.loss.weights[term] = weight * math.exp(-5 * missing**2)
