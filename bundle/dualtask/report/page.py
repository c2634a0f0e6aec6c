"""The page itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtask.errors import InputError
from dualtask.evaluation import SURFACE_TOLERANCE_MM, case_name, read_label_maps, summarise
from dualtask.evaluation.components import Component
from dualtask.evaluation.froc import FALSE_ALARMS, confidence_name
from dualtask.evaluation.tables import Row, froc_of_cases
from dualtask.files import write_atomically
from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.curves import draw_curves
from dualtask.report.examples import examples
from dualtask.report.froc import draw_froc
from dualtask.report.overlays import draw_overlays
from dualtask.report.pictures import Picture
from dualtask.report.rendering import number, render_page
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_label
from dualtask.structures import STRUCTURES

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


def write_report(
    output_path: str | os.PathLike[str],
    cases: Sequence[Mapping[str, Any]],
    predictions_dir: str | os.PathLike[str],
    rows: Sequence[Row],
    components: Sequence[Component],
    *,
    synthetic: bool,
    every_case: bool = True,
    history: str | os.PathLike[str] | None = None,
    title: str = "Segmentation of the pancreas and its lesions",
    provenance: Mapping[str, str] | None = None,
    postfix: str = "seg",
) -> None:
    """Write one HTML page that needs no other file and no network, and ``froc.png`` beside it.

    Args:
        output_path: the page.
        cases: dictionaries with the paths ``image`` and ``label``.
        predictions_dir: folder of the predicted label maps.
        rows: scores of these cases from ``score_cases`` or ``read_scores``.
        components: predicted lesions of these cases from ``read_components``.
        synthetic: whether the scans are computed; the page then says so.
        every_case: show the slices of every case below those of the worst, the median and the best.
        history: the JSON file of ``dualtask.handlers.TrainingHistory``, or None.
        title: of the page.
        provenance: what was run on what, name -> value.
        postfix: end of the predictions' names, see ``prediction_path``.

    Raises:
        InputError: a scan, label, prediction or the history is refused, or the scores name another case.
    """
    # First, because the scans take long and a wrong path should not.
    curves = draw_curves(history) if history else []
    by_name = {case_name(case["image"]): case for case in cases}
    if strange := [row["case"] for row in rows if row["case"] not in by_name]:
        raise InputError(f"The scores name the case {strange[0]}, which is not listed: run the evaluation again.")
    means = _means(rows, components)
    froc = _draw_froc(rows, components)
    if froc:
        write_atomically(Path(output_path).with_name("froc.png"), lambda temporary: temporary.write_bytes(froc.png))
    render_page(
        output_path,
        _TEMPLATE,
        title=title,
        synthetic=synthetic,
        colours=STRUCTURE_COLOURS,
        examples={
            structure: {
                f"{words}: {row['case']}, {_words_of(row)}": _overlays(
                    by_name[row["case"]], predictions_dir, postfix, structure
                )
                for words, row in examples([row for row in rows if row["structure"] == structure]).items()
            }
            for structure in STRUCTURES
        },
        overlays={name: _overlays(case, predictions_dir, postfix) for name, case in by_name.items() if every_case},
        rows=rows,
        means=means,
        tolerances=_tolerances(rows),
        froc=froc,
        false_alarms=FALSE_ALARMS,
        calibrated=any(row["metrics"]["calibration_error"]["n"] for row in means),
        separated=any(row["metrics"]["lesion_auc"]["n"] for row in means),
        ranked=any(row["metrics"]["uncertainty_ranking"]["n"] for row in means),
        curves=curves,
        provenance=provenance or {},
    )


def _draw_froc(rows: Sequence[Row], components: Sequence[Component]) -> Picture | None:
    """The FROC curve, or None without any lesion."""
    curve = froc_of_cases(rows, components)
    return draw_froc(curve, confidence_name(components)) if curve and curve.lesions else None


def _words_of(row: Mapping[str, Any]) -> str:
    """What an example scores."""
    return f"Dice {number(row['dice'], 3)}" if row["reference_ml"] else f"{number(row['prediction_ml'], 1)} ml"


def _overlays(
    case: Mapping[str, Any], predictions_dir: str | os.PathLike[str], postfix: str, structure: str = "lesion"
) -> list[Picture]:
    scan = read_volume(case["image"])
    reference, prediction = read_label_maps(case, predictions_dir, postfix)
    check_label(reference, scan, str(case["label"]), allowed=(0, 1, 2))
    return draw_overlays(case_name(case["image"]), scan, reference, prediction, structure, case.get("unknown"))


def _tolerances(rows: Sequence[Row]) -> dict[str, str]:
    """Column -> tolerance in words, for each surface Dice of the table, the smallest first."""
    names = {name: name.removeprefix("surface_dice_").removesuffix("mm") for name in (rows[0] if rows else ())}
    further = {name: float(mm) for name, mm in names.items() if name.startswith("surface_dice_")}
    tolerances = sorted({"surface_dice": SURFACE_TOLERANCE_MM, **further}.items(), key=lambda item: item[1])
    return {name: f"{mm:g} mm" for name, mm in tolerances}


def _means(rows: Sequence[Row], components: Sequence[Component]) -> list[dict[str, Any]]:
    """Table rows of the summary: each site, then all cases."""
    summary = summarise(rows, components)
    groups = {**summary["sites"], "all cases": summary["overall"]}
    return [
        {"group": group, "structure": structure, "metrics": statistics[structure]}
        for group, statistics in groups.items()
        for structure in STRUCTURES
    ]
