"""Rows of scores: written, read again, and summarised."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from dualtask.evaluation.components import Component
from dualtask.evaluation.detection import DETECTION
from dualtask.evaluation.froc import Froc, confidence_name, froc_of_components, sensitivities
from dualtask.evaluation.metrics import METRICS
from dualtask.evaluation.presence import count_scans, with_reference
from dualtask.evaluation.selective import rank_correlation, risk_coverage
from dualtask.files import read_table, write_atomically, write_table
from dualtask.structures import STRUCTURES

Row = dict[str, Any]
"""``case``, ``site`` ("" if unknown), ``structure`` and a float for each of ``METRICS``, for ``uncertainty`` and for
each further surface Dice."""

_NAMES = ("case", "site", "structure")


def write_scores(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Write rows, which have the same columns, as CSV, atomically."""
    columns = list(rows[0]) if rows else [*_NAMES, *METRICS]
    write_table(path, columns, ([row[name] for name in columns] for row in rows))


def read_scores(path: str | os.PathLike[str]) -> list[Row]:
    """Read the rows that :func:`write_scores` wrote.

    Raises:
        InputError: the file is absent or is not such a table.
    """

    def scores(row: Mapping[str, str]) -> Row:
        return {name: text if name in _NAMES else float(text) for name, text in row.items()}

    return read_table(path, [*_NAMES, *METRICS], scores, "a table of scores")


def summarise(rows: Sequence[Row], components: Sequence[Component] | None = None) -> dict[str, Any]:
    """Summary of the scores, for all cases and for each site.

    Args:
        rows: of the cases.
        components: the predicted lesions of the same cases, where they are known.

    Returns:
        ``{"overall": S, "sites": {site: S}}`` with ``S[structure][metric] = {"n", "mean", "median"}`` over the cases
        whose reference holds the structure; ``n`` counts the values that are not NaN, and without any mean and median
        are None. ``S[structure]["detection"]`` has the number of ``scans``, the ``sensitivity`` over all reference
        components and the ``false_positives_per_scan``, and of ``ScanCounts`` how many scans show the structure and in
        how many of these it is found, and the same of false alarms in the others.
        ``S[structure]["uncertainty_ranking"]`` has the number ``n`` of cases with uncertainty and Dice, which are those
        with the structure in reference or prediction, the ``rank_correlation`` of uncertainty and 1 - Dice, ``aurc``
        and ``best_aurc`` (see ``RiskCoverage``). What is not defined is None. Cases of unknown site count in
        ``overall`` only. With the components there are ``S["lesion"]["froc"]``, the sensitivity at each of
        ``FALSE_ALARMS`` (empty without a scan whose lesions are annotated), and ``"froc_confidence"``, see
        ``confidence_name``.
    """
    sites = sorted({row["site"] for row in rows} - {""})
    summary: dict[str, Any] = {
        "overall": _by_structure(rows),
        "sites": {site: _by_structure([row for row in rows if row["site"] == site]) for site in sites},
    }
    if components is not None:
        summary["froc_confidence"] = confidence_name(components)
        for site, statistics in [(None, summary["overall"]), *summary["sites"].items()]:
            curve = froc_of_cases(rows, components, site)
            statistics["lesion"]["froc"] = sensitivities(curve) if curve else {}
    return summary


def froc_of_cases(rows: Sequence[Row], components: Sequence[Component], site: str | None = None) -> Froc | None:
    """FROC curve of the lesions over the scans whose lesions are annotated, None without such a scan.

    Args:
        rows: of the cases.
        components: their predicted lesions.
        site: only its cases; None takes all.
    """
    scans = [row for row in rows if row["structure"] == "lesion" and site in (None, row["site"])]
    if not scans:
        return None
    lesions = int(sum(row["reference_components"] for row in scans))
    kept = [component for component in components if site in (None, component.site)]
    return froc_of_components(kept, lesions, len(scans), confidence_name(components))


def write_summary(path: str | os.PathLike[str], rows: Sequence[Row], components: Sequence[Component]) -> None:
    """Write :func:`summarise` as JSON, atomically."""
    text = json.dumps(summarise(rows, components), indent=1)
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _by_structure(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    metrics = [name for name in (rows[0] if rows else METRICS) if name not in _NAMES]
    return {
        structure: _summary([row for row in rows if row["structure"] == structure], metrics) for structure in STRUCTURES
    }


def _summary(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, dict[str, float | None]]:
    present = with_reference(rows)
    statistics = {metric: _statistics(row[metric] for row in present) for metric in metrics}
    return {**statistics, "detection": _detection(rows), "uncertainty_ranking": _uncertainty_ranking(rows)}


def _statistics(values: Iterable[float]) -> dict[str, float | None]:
    known = [value for value in values if not math.isnan(value)]
    return {"n": len(known), "mean": fmean(known) if known else None, "median": median(known) if known else None}


def _detection(rows: Sequence[Row]) -> dict[str, float | None]:
    reference, detected, false = (sum(row[name] for row in rows) for name in DETECTION)
    counts = count_scans(rows)
    return {
        "scans": len(rows),
        "sensitivity": detected / reference if reference else None,
        "false_positives_per_scan": false / len(rows) if rows else None,
        **asdict(counts),
        "share_found": counts.share_found,
    }


def _uncertainty_ranking(rows: Sequence[Row]) -> dict[str, float | None]:
    pairs = [(row.get("uncertainty", math.nan), 1 - row["dice"]) for row in rows]
    pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
    if not pairs:
        return {"n": 0, "rank_correlation": None, "aurc": None, "best_aurc": None}
    uncertainty, risk = zip(*pairs, strict=True)
    correlation, curve = rank_correlation(uncertainty, risk), risk_coverage(uncertainty, risk)
    return {
        "n": len(pairs),
        "rank_correlation": None if math.isnan(correlation) else correlation,
        "aurc": curve.area,
        "best_aurc": curve.best_area,
    }
