"""Validation of the epoch that a training ends with."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import Evaluator


class LastValidation:
    """Validates the last epoch, too, where its number is no multiple of the interval.

    MONAI's ValidationHandler would leave it out: weights of the lowest learning rate would be no candidates, and a
    training shorter than the interval would end without any. List it right behind that handler.

    Args:
        validator: the evaluator that the ValidationHandler runs.
        interval: of the ValidationHandler, in epochs.
    """

    def __init__(self, validator: Evaluator, interval: int) -> None:
        self.validator = validator
        self.interval = int(interval)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self._left_out), self)

    def _left_out(self, engine: Engine, epoch: int) -> bool:
        return epoch == engine.state.max_epochs and epoch % self.interval != 0

    def __call__(self, engine: Engine) -> None:
        self.validator.run(engine.state.epoch)
