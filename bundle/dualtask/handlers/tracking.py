"""A record of trainings that can be compared later, in MLflow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.handlers import MLFlowHandler


class ExperimentTracking(MLFlowHandler):
    """Records one training as one run: its parameters, and per epoch the metrics of trainer and evaluator.

    MONAI's handler, except that a resumed training continues the newest run and any other training begins one. (It
    would continue any run that was left unfinished, and die of parameters that differ.) Attach it to the trainer,
    behind the handler that resumes.

    Args:
        tracking_uri: ``sqlite:///<file>``, whose folder is made if absent and also takes the artifacts; or a server.
        evaluator: the evaluator that the trainer's ValidationHandler runs.
        parameters: what the training is started with.
        artifacts: files to keep with the run when it is complete.
    """

    def __init__(
        self, tracking_uri: str, evaluator: Engine, parameters: Mapping[str, Any], artifacts: Sequence[str]
    ) -> None:
        # MLflow reports its use to its makers otherwise.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        if tracking_uri.startswith("sqlite:///"):
            Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(
            tracking_uri,
            iteration_log=False,
            experiment_name="training",
            run_name=datetime.now().isoformat(sep=" ", timespec="microseconds"),
            experiment_param=dict(parameters),
            artifacts=list(artifacts),
            close_on_complete=True,
        )
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        super().attach(engine)
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def start(self, engine: Engine) -> None:
        if engine.state.epoch > 0:
            self._set_experiment()
            runs = self.client.search_runs(self.experiment.experiment_id, order_by=["attributes.start_time DESC"])
            if runs:
                self.cur_run = runs[0]
                self.experiment_param = None  # the run has them, and MLflow refuses to change one
        super().start(engine)
