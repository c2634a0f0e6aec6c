"""Runs of a study in MLflow, in a file beside the results."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from dualtask.studies.plan import LOCALISER, Run, Study

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
    import mlflow  # takes seconds, and only a run that takes minutes needs it

    with _one_at_a_time:
        mlflow.set_tracking_uri(f"sqlite:///{output_dir.resolve() / 'mlflow.db'}")
        if mlflow.get_experiment_by_name(study.name) is None:
            mlflow.create_experiment(study.name, artifact_location=(output_dir.resolve() / "mlflow").as_uri())
        mlflow.set_experiment(study.name)
        for earlier in mlflow.search_runs(filter_string=f"run_name = '{run.name}'", output_format="list"):
            mlflow.delete_run(earlier.info.run_id)
        with mlflow.start_run(run_name=run.name):
            variant = run.variant.name if run.variant else LOCALISER
            mlflow.log_params({"variant": variant, "test_site": run.test_site, "seed": run.seed, **versions})
            summary = folder / "summary.json"
            if summary.is_file():
                for structure, metrics in json.loads(summary.read_text())["overall"].items():
                    means = {name: values["mean"] for name, values in metrics.items() if values["mean"] is not None}
                    mlflow.log_metrics({f"{structure}_{name}": mean for name, mean in means.items()})
