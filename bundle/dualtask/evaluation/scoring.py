"""Scores a folder of predictions."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nibabel.affines import voxel_sizes

from dualtask.errors import InputError
from dualtask.evaluation.components import Component, lesion_components, write_components
from dualtask.evaluation.distance_error import band_error_mm
from dualtask.evaluation.froc import confidence_name, write_froc
from dualtask.evaluation.known import cut, read_known
from dualtask.evaluation.label_maps import read_label_maps
from dualtask.evaluation.metrics import TOLERANCES_MM, score_label_maps
from dualtask.evaluation.result_maps import read_distances, read_probabilities, read_scan_uncertainties
from dualtask.evaluation.tables import Row, froc_of_cases, write_scores, write_summary
from dualtask.scans.writing import case_name
from dualtask.structures import STRUCTURES, structure_masks
from dualtask.units import MM3_PER_ML


def score_cases(
    cases: Sequence[Mapping[str, Any]],
    predictions_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    postfix: str = "seg",
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
    truncation: Sequence[float] | None = None,
) -> list[Row]:
    """Score the predictions of cases and write ``metrics.csv``, ``lesions.csv``, ``froc.csv`` and ``summary.json``.

    Args:
        cases: dictionaries with the paths ``image`` and ``label`` and, where known, ``site``, ``annotates`` and
            ``unknown``; a structure that a case does not annotate is not scored, and voxels of the scan with the value
            ``unknown`` are left out of all scores.
        predictions_dir: folder of the predicted label maps, named as ``prediction_path`` says. Where inference left
            them there, ``<case>_probability.nii.gz`` gives ``calibration_error`` and ``lesion_auc``,
            ``<case>_distance.nii.gz`` gives ``band_error_mm``, and ``scans.csv`` gives ``uncertainty``.
        output_dir: folder for the files; ``metrics.csv`` has one row for each case and structure, ``lesions.csv`` one
            for each predicted lesion (see ``Component``), ``froc.csv`` one for each point of their curve (see
            ``Froc``), ``summary.json`` is what ``summarise`` returns.
        postfix: end of the predictions' names.
        tolerances_mm: of the further surface Dice, see ``score_label_maps``.
        truncation: truncation distance of each structure in mm; without them ``band_error_mm`` is NaN.

    Returns:
        the rows: ``case``, ``site``, ``structure`` and a float for each score of ``score_label_maps``, for
        ``band_error_mm`` and for ``uncertainty``.

    Raises:
        InputError: a file is refused (see ``read_label_maps``), or two scans share a name and so a prediction.
    """
    names = [case_name(case["image"]) for case in cases]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"Several scans are named {repeated[0]} and would share one prediction: rename all but one.")
    uncertainties = read_scan_uncertainties(predictions_dir)
    rows: list[Row] = []
    components: list[Component] = []
    for number, (case, name) in enumerate(zip(cases, names, strict=True), start=1):
        reference, prediction = read_label_maps(case, predictions_dir, postfix)
        probabilities = read_probabilities(case, predictions_dir, reference)
        distances = read_distances(case, predictions_dir, reference) if truncation else None
        spacing = voxel_sizes(reference.affine.numpy()).tolist()
        known = read_known(case, reference)
        maps = reference.as_tensor(), prediction.as_tensor()
        scores = score_label_maps(*maps, spacing, tolerances_mm, probabilities, known)
        annotated = [structure for structure in STRUCTURES if structure in case.get("annotates", STRUCTURES)]
        site = str(case.get("site", ""))
        for structure in annotated:
            uncertainty = uncertainties.get(name, {}).get(structure, math.nan)
            identity = {"case": name, "site": site, "structure": structure}
            band = math.nan
            if truncation and distances is not None:
                channel = STRUCTURES.index(structure)
                mask = structure_masks(cut(maps[0], known))[channel].bool()
                counted = None if known is None else known[0]
                band = band_error_mm(distances[channel], mask, spacing, truncation[channel], counted)
            rows.append({**identity, **scores[structure], "band_error_mm": band, "uncertainty": uncertainty})
        if "lesion" in annotated:
            true, found = (cut(label_map, known)[0] == 2 for label_map in maps)
            probability = None if probabilities is None else probabilities[STRUCTURES.index("lesion")]
            components += lesion_components(true, found, math.prod(spacing) / MM3_PER_ML, probability, name, site)
        dice = ", ".join(f"{structure} {scores[structure]['dice']:.3f}" for structure in annotated)
        print(f"scored {number}/{len(cases)} {name}: Dice {dice}", flush=True)
    write_scores(Path(output_dir) / "metrics.csv", rows)
    write_components(Path(output_dir) / "lesions.csv", components)
    if curve := froc_of_cases(rows, components):
        write_froc(Path(output_dir) / "froc.csv", curve, confidence_name(components))
    write_summary(Path(output_dir) / "summary.json", rows, components)
    return rows
