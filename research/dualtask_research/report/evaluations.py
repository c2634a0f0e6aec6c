"""Evaluations of the same cases side by side (`python -m dualtask_research.report.evaluations new=... old=...`)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.evaluation.tables import Row, read_scores
from dualtask.structures import STRUCTURES
from dualtask_research.report.study_tables import (
    compare_dice,
    comparison_table,
    introduction,
    patients,
    score_table,
)


def compare_evaluations(scores: Mapping[str, Path], synthetic: bool) -> str:
    """Means of each evaluation, and their differences from the first, case by case, in Markdown.

    Args:
        scores: name -> ``metrics.csv`` of an evaluation, at least two.
        synthetic: whether the scans are computed; the text then says so.

    Raises:
        InputError: a table is absent or is none, or the evaluations share no case.
    """
    rows = [row for name, path in scores.items() for row in _read(name, path)]
    cases = [{row["case"] for row in rows if row["variant"] == name} for name in scores]
    if not set.intersection(*cases):
        raise InputError("These evaluations have no case in common: compare evaluations of the same scans.")
    reference = next(iter(scores))
    lines = introduction(f"{', '.join(scores)}: scores of the same cases, compared with {reference}.", synthetic)
    lines += [] if synthetic else [patients(rows), ""]
    for structure in STRUCTURES:
        own = [row for row in rows if row["structure"] == structure]
        means = replace(score_table(own, list(scores)), title="Means over the cases of each evaluation")
        lines += [f"### {structure.capitalize()}", ""]
        lines += [*means.markdown(), *comparison_table(compare_dice(own, reference), reference).markdown()]
    return "\n".join(lines)


def _read(name: str, path: Path) -> list[Row]:
    names = {"variant": name, "seed": ""}
    return [{**names, "test_site": row["site"], **row} for row in read_scores(path)]


def _named(argument: str) -> tuple[str, Path]:
    name, equals, folder = argument.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"{argument!r} is not NAME=FOLDER")
    return name, Path(folder) / "metrics.csv"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m dualtask_research.report.evaluations", description=__doc__)
    parser.add_argument(
        "evaluations",
        type=_named,
        nargs="+",
        metavar="NAME=FOLDER",
        help="output_dir of an evaluation; the others are compared with the first",
    )
    parser.add_argument("--synthetic", action="store_true", help="the scans are computed")
    parsed = parser.parse_args(arguments)
    evaluations = dict(parsed.evaluations)
    if len(evaluations) < 2:
        parser.error("name two evaluations or more, each by a name of its own")
    print_input_errors_as_one_sentence()
    print(compare_evaluations(evaluations, parsed.synthetic))


if __name__ == "__main__":
    main()
