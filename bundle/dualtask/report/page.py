"""The page itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtask.evaluation import SURFACE_TOLERANCE_MM, case_name, read_label_maps, summarise
from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.curves import draw_curves
from dualtask.report.overlays import draw_overlays
from dualtask.report.pictures import Picture
from dualtask.report.rendering import render_page
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_label
from dualtask.structures import STRUCTURES

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


def write_report(
    output_path: str | os.PathLike[str],
    cases: Sequence[Mapping[str, Any]],
    predictions_dir: str | os.PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    synthetic: bool,
    history: str | os.PathLike[str] | None = None,
    title: str = "Segmentation of the pancreas and its lesions",
    provenance: Mapping[str, str] | None = None,
    postfix: str = "seg",
) -> None:
    """Write one HTML page that needs no other file and no network.

    Args:
        output_path: the page.
        cases: dictionaries with the paths ``image`` and ``label``, one row of overlays each.
        predictions_dir: folder of the predicted label maps.
        rows: scores from ``score_cases`` or ``read_scores``.
        synthetic: whether the scans are computed; the page then says so.
        history: the JSON file of ``dualtask.handlers.TrainingHistory``, or None.
        title: of the page.
        provenance: what was run on what, name -> value.
        postfix: end of the predictions' names, see ``prediction_path``.

    Raises:
        InputError: a scan, label, prediction or the history is refused.
    """
    # First, because the scans take long and a wrong path should not.
    curves = draw_curves(history) if history else []
    means = _means(rows)
    render_page(
        output_path,
        _TEMPLATE,
        title=title,
        synthetic=synthetic,
        colours=STRUCTURE_COLOURS,
        overlays={case_name(case["image"]): _overlays(case, predictions_dir, postfix) for case in cases},
        rows=rows,
        means=means,
        tolerances=_tolerances(rows),
        calibrated=any(row["metrics"]["calibration_error"]["n"] for row in means),
        ranked=any(row["metrics"]["uncertainty_ranking"]["n"] for row in means),
        curves=curves,
        provenance=provenance or {},
    )


def _overlays(case: Mapping[str, Any], predictions_dir: str | os.PathLike[str], postfix: str) -> list[Picture]:
    scan = read_volume(case["image"])
    reference, prediction = read_label_maps(case, predictions_dir, postfix)
    check_label(reference, scan, str(case["label"]), allowed=(0, 1, 2))
    return draw_overlays(case_name(case["image"]), scan, reference, prediction)


def _tolerances(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Column -> tolerance in words, for each surface Dice of the table, the smallest first."""
    names = {name: name.removeprefix("surface_dice_").removesuffix("mm") for name in (rows[0] if rows else ())}
    further = {name: float(mm) for name, mm in names.items() if name.startswith("surface_dice_")}
    tolerances = sorted({"surface_dice": SURFACE_TOLERANCE_MM, **further}.items(), key=lambda item: item[1])
    return {name: f"{mm:g} mm" for name, mm in tolerances}


def _means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Table rows of the summary: each site, then all cases."""
    summary = summarise(rows)
    groups = {**summary["sites"], "all cases": summary["overall"]}
    return [
        {"group": group, "structure": structure, "metrics": statistics[structure]}
        for group, statistics in groups.items()
        for structure in STRUCTURES
    ]
