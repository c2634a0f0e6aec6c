"""How the trainings of a study went: what each head knew of the crops that taught it, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dualtask.errors import InputError
from dualtask.files import write_table
from dualtask.report.pictures import Picture, embed
from dualtask.report.rendering import number
from dualtask_research.report.study_plots import line_styles
from dualtask_research.report.study_tables import Table
from dualtask_research.studies.plan import Study, plan_runs

Epochs = Sequence[Mapping[str, Any]]
"""Of all trainings: ``variant``, ``test_site``, ``seed``, ``epoch`` and the diagnostics of the training crops."""

_RUN = ("variant", "test_site", "seed", "epoch")
_HEADS = ("classification", "regression")

_KNOWN = 0.1
"""Dice of the classification from which on a table calls a structure known."""


def read_epochs(study: Study, folder: Path) -> Epochs:
    """Diagnostics in the histories that the trainings of a study wrote, but those of the localisers.

    Args:
        study: what was compared.
        folder: of its runs; where there are none, nothing is read.

    Raises:
        InputError: a history is damaged.
    """
    epochs = []
    for run in plan_runs(study):
        history = folder / run.name / "history.json"
        if run.variant is None or not history.is_file():
            continue
        names = {"variant": run.variant.name, "test_site": run.test_site, "seed": run.seed}
        try:
            for epoch in json.loads(history.read_text(encoding="utf-8")):
                epochs.append({**names, "epoch": epoch["epoch"], **epoch["diagnostics"]})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{history} is not the history of a training: train this run again.") from error
    return epochs


def write_epochs(path: Path, epochs: Epochs) -> None:
    """Write the diagnostics of all epochs as a table.

    Args:
        path: of the CSV file.
        epochs: from :func:`read_epochs`.
    """
    columns = [*_RUN, *sorted({name for epoch in epochs for name in epoch} - set(_RUN))]
    write_table(path, columns, ([_written(epoch.get(name)) for name in columns] for epoch in epochs))


def _written(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def course_table(epochs: Epochs, variants: Sequence[str], structure: str) -> Table:
    """When the classification knew a structure of the training crops, and what both heads knew of it in the end.

    Args:
        epochs: from :func:`read_epochs`.
        variants: names, in the order of the table.
        structure: name.
    """
    body = []
    for variant in variants:
        courses = _courses(epochs, variant, "classification", structure)
        if not courses:
            continue
        known = [next((epoch for epoch, dice in course.items() if dice >= _KNOWN), "never") for course in courses]
        last = [fmean(course[max(course)] for course in _courses(epochs, variant, head, structure)) for head in _HEADS]
        since = ", ".join(map(str, known))
        body.append((variant, str(len(courses)), since, *(number(dice, 3) for dice in last)))
    first = f"classification's first epoch with {_KNOWN}"
    header = ("variant", "trainings", first, *(f"{head}, last epoch" for head in _HEADS))
    return Table("Dice on augmented training crops", header, tuple(body))


def draw_courses(epochs: Epochs, variants: Sequence[str], structure: str) -> Picture:
    """Dice of the classification on training crops, epoch by epoch: each training, and the mean of each variant.

    Args:
        epochs: from :func:`read_epochs`.
        variants: names.
        structure: name.
    """
    figure = Figure(figsize=(7.5, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel=f"Dice of the {structure}, training crops", ylim=(0, 1))
    for variant, (colour, line) in zip(variants, line_styles(), strict=False):
        courses = _courses(epochs, variant, "classification", structure)
        for course in courses:
            axes.plot(list(course), list(course.values()), line, color=colour, linewidth=0.6, alpha=0.4)
        if courses:
            shared = sorted(set.intersection(*map(set, courses)))
            mean = [fmean(course[epoch] for course in courses) for epoch in shared]
            axes.plot(shared, mean, line, color=colour, linewidth=2, marker=".", label=variant)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    caption = f"Dice of the {structure} on training crops, by the classification: thin each training, thick the mean."
    return embed(figure, alt=caption, caption=caption)


def _courses(epochs: Epochs, variant: str, head: str, structure: str) -> list[dict[int, float]]:
    """Epoch -> Dice of each training of a variant; epochs that taught nothing of the structure are left out."""
    courses: dict[tuple[str, int], dict[int, float]] = {}
    for epoch in epochs:
        dice = epoch.get(f"dice_{head}_{structure}")
        if epoch["variant"] == variant and dice is not None:
            courses.setdefault((epoch["test_site"], epoch["seed"]), {})[epoch["epoch"]] = dice
    return list(courses.values())
