"""Which cases of an evaluation are shown: the worst, the median and the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from dualtask.evaluation.presence import with_reference

Key = TypeVar("Key")


def extremes(dice: Mapping[Key, float]) -> dict[str, Key]:
    """The worst, the median and the best of some cases, each case once.

    Args:
        dice: of each case.

    Returns:
        "Worst", "Median" and "Best" -> case; two cases have no median, and one alone is the worst.
    """
    ranked = sorted(dice, key=dice.__getitem__)
    if not ranked:
        return {}
    places = {len(ranked) // 2: "Median", len(ranked) - 1: "Best", 0: "Worst"}
    return {words: ranked[place] for place, words in sorted(places.items())}


def examples(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Rows of the cases that show what an evaluation of one structure found.

    Args:
        rows: of one structure.

    Returns:
        words -> row: of the cases whose reference holds the structure the extremes by Dice, and of the others the one
        with the largest false alarm.
    """
    present = {row["case"]: row for row in with_reference(rows)}
    extreme = extremes({case: row["dice"] for case, row in present.items()})
    shown = {words: present[case] for words, case in extreme.items()}
    alarms = [row for row in rows if row["reference_ml"] == 0 and row["prediction_ml"] > 0]
    if alarms:
        shown["Largest false alarm"] = max(alarms, key=lambda row: row["prediction_ml"])
    return shown
