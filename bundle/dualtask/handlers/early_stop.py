"""An end to a training that gets no better."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping


class EarlyStop:
    """Ends the training after a number of validations in a row without a new best key metric.

    MONAI's EarlyStopHandler keeps no state for a checkpoint, and asks for the trainer before a config has built it.

    Args:
        patience: number of validations; 0 or None: the training runs to its last epoch.
        evaluator: the evaluator that the trainer's ValidationHandler runs.
    """

    def __init__(self, patience: int | None, evaluator: Engine) -> None:
        self.patience = patience or sys.maxsize
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        self.stopping = EarlyStopping(self.patience, self._score, trainer=engine)
        self.evaluator.add_event_handler(Events.COMPLETED, self.stopping)

    @staticmethod
    def _score(evaluator: Engine) -> float:
        return float(evaluator.state.metrics[evaluator.state.key_metric_name])

    def state_dict(self) -> dict[str, Any]:
        return dict(self.stopping.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue counting; a training that had been stopped stays stopped unless the patience has grown."""
        self.stopping.load_state_dict(state)
        if self.stopping.counter >= self.patience:
            self.stopping.trainer.terminate()
