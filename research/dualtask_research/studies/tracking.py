"""Runs of a study in MLflow, in a file beside the results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from dualtask_research.studies.plan import LOCALISER, Run, Study

# Threads that open a new database together would both try to create its tables.
_one_at_a_time = Lock()


def track(output_dir: Path, study: Study, run: Run, folder: Path, versions: Mapping[str, str]) -> None:
    """Record a finished run: one experiment a study, one MLflow run a run, in ``<output_dir>/mlflow.db``.

    What an earlier attempt at the run left there is replaced.

    Args:
        output_dir: folder of all studies.
        study, run: what was run.
        folder: results of the run; the means of ``summary.json`` become metrics.
        versions: of the software, by name.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reads it when it is imported
    from mlflow import MlflowClient  # takes seconds, and only a run that takes minutes needs it

    with _one_at_a_time:
        # Not mlflow.set_tracking_uri, which would redirect whatever else this process records.
        client = MlflowClient(f"sqlite:///{output_dir.resolve() / 'mlflow.db'}")
        experiment = client.get_experiment_by_name(study.name)
        if experiment is None:
            folder_of_artifacts = (output_dir.resolve() / "mlflow").as_uri()
            experiment_id = client.create_experiment(study.name, artifact_location=folder_of_artifacts)
        else:
            experiment_id = experiment.experiment_id
        for earlier in client.search_runs([experiment_id], filter_string=f"run_name = '{run.name}'"):
            client.delete_run(earlier.info.run_id)
        record = client.create_run(experiment_id, run_name=run.name).info.run_id
        variant = run.variant.name if run.variant else LOCALISER
        parameters = {"variant": variant, "test_site": run.test_site, "seed": run.seed, **versions}
        for name, value in parameters.items():
            client.log_param(record, name, value)
        summary = folder / "summary.json"
        if summary.is_file():
            for structure, metrics in json.loads(summary.read_text())["overall"].items():
                for name, values in metrics.items():
                    measured = {name: values["mean"]} if "mean" in values else values
                    for key, value in measured.items():
                        if value is not None:
                            client.log_metric(record, f"{structure}_{key}", value)
        client.set_terminated(record)
