"""Runs the trainings and evaluations of a study, each as a job of its own."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask.evaluation.tables import write_scores
from dualtask.scans import decathlon_datalist
from dualtask_research.jobs.commands import RECORD, bundle_command, read_record, write_record
from dualtask_research.jobs.pool import JobPool
from dualtask_research.studies.plan import Run, Study, Variant, localiser_of, plan_runs
from dualtask_research.studies.tracking import track

_WEIGHTS = "model.pt"


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
    further = [(run, name) for name in study.evaluations for run in runs if run.variant]
    with tqdm(total=len(runs) + len(further), desc=study.name, unit="run") as progress:

        def finish(act: Callable[[], None]) -> None:
            try:
                act()
            except InputError as error:
                failures.append(str(error))
                progress.write(f"failed: {error}", file=sys.stderr)
            finally:
                progress.update()

        def train(run: Run) -> None:
            _execute(study, run, dataset_dir, folder, pool)
            if tracking:
                _track(study, run, folder)

        def evaluate(run: Run, name: str) -> None:
            _evaluate_further(study, run, name, dataset_dir, folder, pool)

        # The variants of a fold need its localiser, so all localisers come first.
        waves: list[list[Callable[[], None]]] = [
            [partial(train, run) for run in runs if run.variant is None],
            [partial(train, run) for run in runs if run.variant],
            [partial(evaluate, *each) for each in further],
        ]
        try:
            for wave in waves:
                pool.map(finish, wave)
        finally:
            table = collect(study, folder)
    if failures:
        raise InputError(f"{len(failures)} of {len(runs) + len(further)} runs failed, the first: {failures[0]}")
    return table


def commands(study: Study, run: Run, dataset_dir: Path, folder: Path) -> list[list[str]]:
    """The commands of a run: training, and for a variant the evaluation at the sites that it did not see."""
    configs, output = Path(bundle_root()) / "configs", folder / run.name
    # What the run itself sets comes last: no study can bring the test site back.
    own = {
        **_common(study, run, dataset_dir, output),
        "ckpt_dir": output,
        "ckpt_name": _WEIGHTS,
        "seed": run.seed,
        "resume": True,
        "tracking_uri": "",  # the study has one record for all its runs
    }
    shared = [*study.overlays, *study.training_overlays]
    if run.variant is None:
        overlays = [configs / "train.json", configs / "localiser.json", *shared]
        return [bundle_command("training", overlays, {**study.localiser_training, **own})]
    overlays = [configs / "train.json", *shared, *run.variant.overlays]
    return [
        bundle_command("training", overlays, {**study.training, **run.variant.training, **own}),
        _evaluation(study, run, run.variant, dataset_dir, folder),
    ]


def further_commands(study: Study, run: Run, name: str, dataset_dir: Path, folder: Path) -> list[list[str]]:
    """The command of a further evaluation of a variant's run, whose results lie in a folder below the run's."""
    assert run.variant is not None
    return [_evaluation(study, run, run.variant, dataset_dir, folder, name)]


def _evaluation(
    study: Study, run: Run, variant: Variant, dataset_dir: Path, folder: Path, further: str | None = None
) -> list[str]:
    configs = Path(bundle_root()) / "configs"
    output = folder / run.name
    overlays = [configs / "inference.json", configs / "evaluate.json", *study.overlays]
    own = {
        **_common(study, run, dataset_dir, output / further if further else output),
        "weights": output / _WEIGHTS,
        "localiser_weights": folder / localiser_of(study, run.test_site).name / _WEIGHTS,
    }
    overlays += study.evaluations[further] if further else ()
    return bundle_command("evaluating", overlays, {**study.inference, **variant.inference, **own})


def _common(study: Study, run: Run, dataset_dir: Path, output: Path) -> dict[str, Any]:
    return {"dataset_dir": dataset_dir, "test_sites": list(study.folds[run.test_site]), "output_dir": output}


def _execute(study: Study, run: Run, dataset_dir: Path, folder: Path, pool: JobPool) -> None:
    output = folder / run.name
    if run.variant and not (folder / localiser_of(study, run.test_site).name / RECORD).is_file():
        raise InputError(f"{run.name} was not trained, because its localiser is not finished.")
    pool.run(output, commands(study, run, dataset_dir, folder), f"{study.name}/{run.name}")


def _evaluate_further(study: Study, run: Run, name: str, dataset_dir: Path, folder: Path, pool: JobPool) -> None:
    if (folder / run.name / RECORD).is_file():
        command = further_commands(study, run, name, dataset_dir, folder)
        pool.run(folder / run.name / name, command, f"{study.name}/{run.name}/{name}")


def _track(study: Study, run: Run, folder: Path) -> None:
    output = folder / run.name
    record = read_record(output)
    # A run may have finished after the study that started it was stopped.
    if not record.get("tracked"):
        track(folder.parent, study, run, output, record["versions"])
        write_record(output, {**record, "tracked": True})


def collect(study: Study, folder: Path) -> Path:
    """Write ``cases.csv`` of all runs that are done, and ``cases_<name>.csv`` of further evaluations.

    Returns:
        path of ``cases.csv``.
    """
    for name in study.evaluations:
        write_scores(folder / f"cases_{name}.csv", _rows(study, folder, name))
    write_scores(folder / "cases.csv", _rows(study, folder))
    return folder / "cases.csv"


def _rows(study: Study, folder: Path, further: str = "") -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for run in plan_runs(study):
        output = folder / run.name / further
        if run.variant is None or not (output / RECORD).is_file():
            continue
        with (output / "metrics.csv").open() as file:
            names = {"variant": run.variant.name, "test_site": run.test_site, "seed": str(run.seed)}
            rows += [{**names, **row} for row in csv.DictReader(file)]
    return rows


def _check_sites(study: Study, dataset_dir: Path) -> None:
    sites = {str(case.get("site", "")) for case in decathlon_datalist(dataset_dir)}
    if absent := {site for fold in study.folds.values() for site in fold} - sites:
        raise InputError(
            f"{dataset_dir} has no case of the site {sorted(absent)[0]}: its dataset.json names {sorted(sites)}."
        )
    if len(sites) < 2:
        raise InputError(f"{dataset_dir} has one site only: leaving it out would leave nothing to train on.")
