"""Results of labelled cases with their indicators: what a model of doubt is fitted on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualtask.doubt import INDICATORS
from dualtask.doubt.indicators import Values
from dualtask.errors import InputError
from dualtask.evaluation import read_scores
from dualtask.files import read_table, write_table
from dualtask_research.doubt.versions import AS_IT_IS

FAILED = 0.5
"""Dice of the pancreas below which a result counts as wrong."""


@dataclass(frozen=True)
class Result:
    """The result of one version of a case.

    Attributes:
        case: its name, one patient each.
        site: "" where it is not known.
        version: one of ``VERSIONS``.
        dice: of the pancreas; 0 where the reference shows none.
        values: of the indicators.
    """

    case: str
    site: str
    version: str
    dice: float
    values: Values

    @property
    def failed(self) -> bool:
        return self.dice < FAILED


def write_results(path: str | os.PathLike[str], results: Sequence[Result]) -> None:
    """Write results as CSV, atomically; indicators that are not defined stay empty."""

    def row(result: Result) -> list[str]:
        values = ["" if value is None else f"{value:.6f}" for value in map(result.values.get, INDICATORS)]
        return [result.case, result.site, result.version, f"{result.dice:.6f}", *values]

    write_table(path, ["case", "site", "version", "dice", *INDICATORS], map(row, results))


def read_evaluated(folder: str | os.PathLike[str]) -> list[Result]:
    """Results of an evaluation, from its ``scans.csv`` and ``metrics.csv``.

    The distance of the embedding is left out: it was taken from what another model calls familiar.

    Raises:
        InputError: a file is absent or is no such table, or they are not of the same scans.
    """

    def indicators(row: Mapping[str, str]) -> tuple[str, dict[str, float | None]]:
        return row["case"], {name: float(row[name]) if row[name] else None for name in INDICATORS}

    scores, scans = Path(folder) / "metrics.csv", Path(folder) / "scans.csv"
    rows = {row["case"]: row for row in read_scores(scores) if row["structure"] == "pancreas"}
    values = dict(read_table(scans, ["case", *INDICATORS], indicators, "the table of scans of an evaluation"))
    if absent := rows.keys() - values.keys():
        raise InputError(f"{scans} does not fit {scores}, it lacks {min(absent)}: run the evaluation again.")
    # Without a pancreas in the reference the Dice is not defined where none was found, and 0 where one was.
    return [
        Result(case, row["site"], AS_IT_IS, row["dice"], values[case] | {"embedding_distance": None})
        for case, row in rows.items()
        if row["dice"] == row["dice"]
    ]
