"""Scans that show a structure and scans that do not, told apart: a mean over both would mix two questions.

Where the reference holds the structure the question is how well it was found, and a miss counts as Dice 0. Where it
does not, which is so of the lesion in healthy patients, the question is whether one was invented, and how large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Rows = Sequence[Mapping[str, Any]]
"""Scores of one structure, as numbers or as text; ``reference_ml`` and, for :func:`count_scans`, ``prediction_ml`` and
``detected_components``."""


@dataclass(frozen=True)
class ScanCounts:
    """How many scans are answered rightly.

    Attributes:
        with_reference: number of scans whose reference holds the structure.
        found: number of these in which at least one component is hit, see ``match_components``.
        without_reference: number of the other scans.
        false_alarms: number of these in which the structure is predicted.
        false_alarm_ml: mean predicted volume of the scans with a false alarm, None without any.
    """

    with_reference: int
    found: int
    without_reference: int
    false_alarms: int
    false_alarm_ml: float | None

    @property
    def share_found(self) -> float | None:
        """Share found of the scans whose reference holds the structure, None without any."""
        return self.found / self.with_reference if self.with_reference else None


def with_reference(rows: Rows) -> Rows:
    """The rows whose reference holds the structure."""
    return [row for row in rows if float(row["reference_ml"]) > 0]


def count_scans(rows: Rows) -> ScanCounts:
    """Count what was found and what was invented, scan by scan.

    Args:
        rows: of one structure, one for each scan.
    """
    present = with_reference(rows)
    found = sum(float(row["detected_components"]) > 0 for row in present)
    predicted = [float(row["prediction_ml"]) for row in rows if float(row["reference_ml"]) == 0]
    alarms = [ml for ml in predicted if ml > 0]
    return ScanCounts(len(present), found, len(predicted), len(alarms), fmean(alarms) if alarms else None)
