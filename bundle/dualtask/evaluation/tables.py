"""Rows of scores: written, read again, and summarised."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from dualtask.errors import InputError
from dualtask.evaluation.metrics import METRICS
from dualtask.files import write_atomically
from dualtask.structures import STRUCTURES

Row = dict[str, Any]
"""``case``, ``site`` ("" if unknown), ``structure`` and a float for each of ``METRICS``."""

COLUMNS = ("case", "site", "structure", *METRICS)


def write_scores(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Write rows as CSV, atomically."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def read_scores(path: str | os.PathLike[str]) -> list[Row]:
    """Read the rows that :func:`write_scores` wrote.

    Raises:
        InputError: the file is absent or is not such a table.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the evaluation first.")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                {column: float(row[column]) if column in METRICS else row[column] for column in COLUMNS}
                for row in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a table of scores: run the evaluation again.") from error


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Mean and median of each metric, for all cases and for each site.

    Returns:
        ``{"overall": S, "sites": {site: S}}`` with ``S[structure][metric] = {"n", "mean", "median"}``. ``n`` counts the
        values that are not NaN; without any, mean and median are None. Cases of unknown site count in ``overall`` only.
    """
    sites = sorted({row["site"] for row in rows} - {""})
    return {
        "overall": _by_structure(rows),
        "sites": {site: _by_structure([row for row in rows if row["site"] == site]) for site in sites},
    }


def write_summary(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Write :func:`summarise` as JSON, atomically."""
    text = json.dumps(summarise(rows), indent=1)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _by_structure(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        structure: {
            metric: _statistics(row[metric] for row in rows if row["structure"] == structure) for metric in METRICS
        }
        for structure in STRUCTURES
    }


def _statistics(values: Iterable[float]) -> dict[str, float | None]:
    known = [value for value in values if not math.isnan(value)]
    return {"n": len(known), "mean": fmean(known) if known else None, "median": median(known) if known else None}
