"""The course of training as a small JSON file, for reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from dualtask.files import write_atomically
from dualtask.handlers.diagnostics import DIAGNOSTICS
from dualtask.losses.dual_task_loss import DualTaskLoss


class TrainingHistory:
    """Writes per epoch the mean of the loss and of each of its terms, and the newest validation metrics.

    The file is a list of ``{"epoch": int, "loss": float, "terms": {name: float}, "diagnostics": {name: float},
    "validation": {name: float}}``; ``diagnostics`` are those of :class:`~dualtask.handlers.HeadDiagnostics`, and
    ``validation`` is present in the epochs that were validated. Attach it after EpochMeans, HeadDiagnostics and the
    ValidationHandler.

    Args:
        path: the JSON file.
        loss: the loss of the trainer, which knows the names of the terms.
        evaluator: the evaluator that the trainer's ValidationHandler runs.
    """

    def __init__(self, path: str, loss: DualTaskLoss, evaluator: Engine) -> None:
        self.path = Path(path)
        self.loss = loss
        self.evaluator = evaluator
        self.epochs: list[dict[str, Any]] = []
        self._validated = False

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        self.evaluator.add_event_handler(Events.COMPLETED, self._validation_completed)

    def _validation_completed(self, engine: Engine) -> None:
        self._validated = True

    def _epoch_completed(self, engine: Engine) -> None:
        means = engine.state.metrics
        terms = {name: means[name] for name in self.loss.weights}
        epoch: dict[str, Any] = {"epoch": engine.state.epoch, "loss": means["loss"], "terms": terms}
        # A share of nothing is no number, which JSON could not hold either.
        epoch["diagnostics"] = {
            name: means[name] for name in sorted(means) if name.startswith(DIAGNOSTICS) and math.isfinite(means[name])
        }
        if self._validated:
            scores = self.evaluator.state.metrics
            epoch["validation"] = {name: float(value) for name, value in scores.items() if math.isfinite(value)}
        self.epochs.append(epoch)
        self._validated = False
        self._write()

    @idist.one_rank_only()
    def _write(self) -> None:
        write_atomically(self.path, lambda temporary: temporary.write_text(json.dumps(self.epochs, indent=1)))

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epochs = list(state["epochs"])
