"""Runs of a study in MLflow, in a file beside the results."""

from __future__ import annotations

import json
from pathlib import Path

from dualtask.studies.plan import Run, Study


def track(output_dir: Path, study: Study, run: Run, folder: Path) -> None:
    """Record a finished run: one experiment a study, one MLflow run a run, in ``<output_dir>/mlflow.db``.

    Args:
        output_dir: folder of all studies.
        study, run: what was run.
        folder: results of the run; the means of ``summary.json`` become metrics.
    """
    import mlflow  # takes seconds, and only a run that takes minutes needs it

    mlflow.set_tracking_uri(f"sqlite:///{output_dir.resolve() / 'mlflow.db'}")
    if mlflow.get_experiment_by_name(study.name) is None:
        mlflow.create_experiment(study.name, artifact_location=(output_dir.resolve() / "mlflow").as_uri())
    mlflow.set_experiment(study.name)
    with mlflow.start_run(run_name=run.name):
        mlflow.log_params(
            {"variant": run.variant.name if run.variant else "localiser", "site": run.test_site, "seed": run.seed}
        )
        mlflow.log_params(json.loads((folder / "done.json").read_text())["versions"])
        summary = folder / "summary.json"
        if summary.is_file():
            for structure, metrics in json.loads(summary.read_text())["overall"].items():
                means = {name: values["mean"] for name, values in metrics.items() if values["mean"] is not None}
                mlflow.log_metrics({f"{structure}_{name}": mean for name, mean in means.items()})
