"""The course of training as a small JSON file, for reports."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from ignite.engine import Engine, Events

from dualtask.files import write_atomically
from dualtask.losses.dual_task_loss import DualTaskLoss


class TrainingHistory:
    """Writes per epoch the mean of the loss and of each of its terms, and the newest validation metrics.

    The file is a list of ``{"epoch": int, "loss": float, "terms": {name: float}, "validation": {name: float}}``;
    ``validation`` is present in the epochs that were validated. Attach it after the ValidationHandler.

    Args:
        path: the JSON file.
        loss: the loss of the trainer, whose ``values`` hold the terms.
        evaluator: the evaluator that the trainer's ValidationHandler runs.
    """

    def __init__(self, path: str, loss: DualTaskLoss, evaluator: Engine) -> None:
        self.path = Path(path)
        self.loss = loss
        self.evaluator = evaluator
        self.epochs: list[dict] = []
        self._sums: dict[str, float] = defaultdict(float)
        self._iterations = 0
        self._validated = False

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validation_completed)

    def _iteration_completed(self, engine: Engine) -> None:
        self._iterations += 1
        self._sums["loss"] += engine.state.output["loss"].item()
        for name, value in self.loss.values.items():
            self._sums[name] += value

    def _validation_completed(self, engine: Engine) -> None:
        self._validated = True

    def _epoch_completed(self, engine: Engine) -> None:
        means = {name: total / self._iterations for name, total in self._sums.items()}
        epoch: dict = {"epoch": engine.state.epoch, "loss": means.pop("loss"), "terms": means}
        if self._validated:
            epoch["validation"] = {name: float(value) for name, value in self.evaluator.state.metrics.items()}
        self.epochs.append(epoch)
        self._sums.clear()
        self._iterations, self._validated = 0, False
        write_atomically(self.path, lambda temporary: temporary.write_text(json.dumps(self.epochs, indent=1)))
