"""Runs the trainings and evaluations of a study, each as a job of its own."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask.evaluation.tables import write_scores
from dualtask.scans import decathlon_datalist
from dualtask_research.jobs.commands import RECORD, bundle_command, read_record, write_record
from dualtask_research.jobs.pool import JobPool
from dualtask_research.studies.plan import Run, Study, localiser_of, plan_runs
from dualtask_research.studies.tracking import track


def run_study(study: Study, dataset_dir: Path, output_dir: Path, pool: JobPool, tracking: bool = True) -> Path:
    """Run what is not yet done of a study.

    Every choice is made on training sites: what a fold leaves out reaches neither training nor validation, and is read
    once, by the evaluation of the finished weights.

    Args:
        study: what to run.
        dataset_dir: Decathlon folder whose cases name their ``site``.
        output_dir: folder of all studies; a run lies in ``<output_dir>/<study>/<variant>/<fold>/seed<k>``.
        pool: runs it.
        tracking: whether MLflow keeps a record; what was run without one gets it when the study is started again.

    Returns:
        ``cases.csv``: the rows of ``metrics.csv`` of all runs, with variant, test site and seed. A study that is
        stopped leaves it with what had finished.

    Raises:
        InputError: the data lack a site, a run was made with other settings, or a run failed (the others go on, and
            each failure is printed when it happens).
    """
    _check_sites(study, dataset_dir)
    folder = output_dir / study.name
    failures: list[str] = []
    runs = plan_runs(study)
    with tqdm(total=len(runs), desc=study.name, unit="run") as progress:

        def finish(run: Run) -> None:
            try:
                _execute(study, run, dataset_dir, folder, pool)
                if tracking:
                    _track(study, run, folder)
            except InputError as error:
                failures.append(str(error))
                progress.write(f"failed: {error}", file=sys.stderr)
            finally:
                progress.update()

        try:
            # The variants of a fold need its localiser, so all localisers come first.
            for wave in ([run for run in runs if run.variant is None], [run for run in runs if run.variant]):
                pool.map(finish, wave)
        finally:
            table = collect(study, folder)
    if failures:
        raise InputError(f"{len(failures)} of {len(runs)} runs failed, the first: {failures[0]}")
    return table


def commands(study: Study, run: Run, dataset_dir: Path, folder: Path) -> list[list[str]]:
    """The commands of a run: training, and for a variant the evaluation at the sites that it did not see."""
    bundle, output = Path(bundle_root()), folder / run.name
    configs, weights = bundle / "configs", output / "model.pt"
    common: dict[str, Any] = {"dataset_dir": dataset_dir, "output_dir": output}
    common["test_sites"] = list(study.folds[run.test_site])
    training = {**common, "ckpt_dir": output, "ckpt_name": weights.name, "seed": run.seed, "resume": True}
    training["tracking_uri"] = ""  # the study has one record for all its runs
    if run.variant is None:
        overlays = [configs / "localiser.json", *study.overlays, *study.training_overlays]
        return [
            bundle_command("training", [configs / "train.json", *overlays], {**study.localiser_training, **training})
        ]
    overlays = [*study.overlays, *study.training_overlays, *run.variant.overlays]
    localiser = folder / localiser_of(study, run.test_site).name / weights.name
    inference = {**common, "weights": weights, "localiser_weights": localiser}
    evaluation = [configs / "inference.json", configs / "evaluate.json", *study.overlays]
    # What the run itself sets comes last: no study can bring the test site back.
    to_train = {**study.training, **run.variant.training, **training}
    to_infer = {**study.inference, **run.variant.inference, **inference}
    return [
        bundle_command("training", [configs / "train.json", *overlays], to_train),
        bundle_command("evaluating", evaluation, to_infer),
    ]


def _execute(study: Study, run: Run, dataset_dir: Path, folder: Path, pool: JobPool) -> None:
    output = folder / run.name
    if run.variant and not (folder / localiser_of(study, run.test_site).name / RECORD).is_file():
        raise InputError(f"{run.name} was not trained, because its localiser is not finished.")
    pool.run(output, commands(study, run, dataset_dir, folder), f"{study.name}/{run.name}")


def _track(study: Study, run: Run, folder: Path) -> None:
    output = folder / run.name
    record = read_record(output)
    # A run may have finished after the study that started it was stopped.
    if not record.get("tracked"):
        track(folder.parent, study, run, output, record["versions"])
        write_record(output, {**record, "tracked": True})


def collect(study: Study, folder: Path) -> Path:
    """Write ``cases.csv`` of all runs that are done, and return its path."""
    rows: list[dict[str, str]] = []
    for run in plan_runs(study):
        output = folder / run.name
        if run.variant is None or not (output / RECORD).is_file():
            continue
        with (output / "metrics.csv").open() as file:
            names = {"variant": run.variant.name, "test_site": run.test_site, "seed": str(run.seed)}
            rows += [{**names, **row} for row in csv.DictReader(file)]
    write_scores(folder / "cases.csv", rows)
    return folder / "cases.csv"


def _check_sites(study: Study, dataset_dir: Path) -> None:
    sites = {str(case.get("site", "")) for case in decathlon_datalist(dataset_dir)}
    if absent := {site for fold in study.folds.values() for site in fold} - sites:
        raise InputError(
            f"{dataset_dir} has no case of the site {sorted(absent)[0]}: its dataset.json names {sorted(sites)}."
        )
    if len(sites) < 2:
        raise InputError(f"{dataset_dir} has one site only: leaving it out would leave nothing to train on.")
