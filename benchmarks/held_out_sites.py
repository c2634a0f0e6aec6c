"""The tables of docs/reference/figures.md and the README's picture, from an evaluation of held-out scans
(`make figures`, `make figures-real`)."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from statistics import fmean

import numpy as np
from nibabel.affines import voxel_sizes
from PIL import Image, ImageDraw

from dualtask import bundle_root
from dualtask.distances import signed_distance
from dualtask.evaluation import case_name, read_scores, summarise
from dualtask.evaluation.known import read_known
from dualtask.evaluation.label_maps import read_label_maps
from dualtask.evaluation.tables import Row
from dualtask.report.overlays import draw_overlays
from dualtask.report.rendering import number
from dualtask.scans import decathlon_datalist
from dualtask.scans.labels import read_case_label
from dualtask.scans.reading import read_volume
from dualtask.structures import STRUCTURES

_CAPTION_HEIGHT = 26
_CONTRACT = json.loads((Path(bundle_root()) / "configs" / "metadata.json").read_text())["network_data_format"]
_TRUNCATION = _CONTRACT["outputs"]["pred"]["distance_truncation"]
_COLUMNS = {"Dice": "dice", "NSD 2 mm": "surface_dice", "HD95 mm": "hausdorff95_mm"}


def table(rows: list[Row]) -> str:
    """Markdown: means per site and structure, with the number of cases that they are taken over."""
    summary = summarise(rows)
    lines = [
        "| site | structure | cases with it | " + " | ".join(_COLUMNS) + " | cases with HD95 |",
        "|---" * (4 + len(_COLUMNS)) + "|",
    ]
    for group, statistics in {**summary["sites"], "all": summary["overall"]}.items():
        for structure in STRUCTURES:
            metrics = statistics[structure]
            means = [metrics[column]["mean"] for column in _COLUMNS.values()]
            cells = [str(metrics["dice"]["n"]), *(number(mean, 2) for mean in means)]
            lines.append(f"| {group} | {structure} | {' | '.join(cells)} | {metrics['hausdorff95_mm']['n']} |")
    return "\n".join(lines)


def lesions(rows: list[Row]) -> str:
    """How many lesions are found, and in how many cases without one a lesion is seen."""
    lesion = summarise(rows)["overall"]["lesion"]
    scans = lesion["detection"]
    ill, volume = scans["with_reference"], number(scans["false_alarm_ml"], 1)
    return (
        f"Of {ill} cases with a lesion it is found in {scans['found']} (mean Dice of the {ill}: "
        f"{number(lesion['dice']['mean'], 2)}); of {scans['without_reference']} without one a lesion is seen in "
        f"{scans['false_alarms']}" + (f" ({volume} ml on average)." if scans["false_alarms"] else ".")
    )


def distances(rows: list[Row]) -> str:
    """How far the distances are from the true ones where these are not cut, in the cases whose maps were kept."""
    errors = {name: structure.get("band_error_mm", {}) for name, structure in summarise(rows)["overall"].items()}
    means = [f"{name} {number(error['mean'], 2)} mm ({error['n']} cases)" for name, error in errors.items() if error]
    return f"Error of the distance in the band: {', '.join(means)}."


def best_constants(dataset: Path, rows: list[Row]) -> str:
    """What a head would have in the band of lesions that says of each the constant with the least error."""
    scored = {row["case"] for row in rows if row["structure"] == "lesion" and row["reference_ml"] > 0}
    limit = _TRUNCATION[STRUCTURES.index("lesion")]
    errors = []
    for case in decathlon_datalist(dataset):
        if case_name(case["image"]) in scored:
            label = read_case_label(case, read_volume(case["image"]))
            spacing = voxel_sizes(label.affine.numpy()).tolist()
            true = signed_distance(label[0].numpy() == 2, spacing, limit)
            counted, known = np.abs(true) < limit, read_known(case, label)
            band = true[counted if known is None else counted & known[0].numpy()]
            errors.append(float(np.abs(band - np.median(band)).mean()))
    return f"The best constant of each lesion: {fmean(errors):.2f} mm." if errors else ""


def picture(dataset: Path, predictions: Path, rows: list[Row]) -> Image.Image:
    """One column a site: axial and coronal slice of the case with the median Dice of the lesion."""
    cases = {case_name(case["image"]): case for case in decathlon_datalist(dataset)}
    by_site: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        if row["structure"] == "lesion" and row["reference_ml"] > 0:
            by_site.setdefault(row["site"], []).append((row["dice"], row["case"]))
    columns = []
    for site, ranked in by_site.items():
        name = sorted(ranked)[len(ranked) // 2][1]
        case = cases[name]
        overlays = draw_overlays(name, read_volume(case["image"]), *read_label_maps(case, predictions))
        drawn = [Image.open(io.BytesIO(overlay.png)).convert("RGB") for overlay in overlays[:2]]
        columns.append((f"{site} (synthetic)", drawn))
    side = columns[0][1][0].width
    montage = Image.new("RGB", (side * len(columns), 2 * side + _CAPTION_HEIGHT), "black")
    for index, (caption, slices) in enumerate(columns):
        ImageDraw.Draw(montage).text((index * side + 8, 4), caption, fill="white", font_size=18)
        for row, image in enumerate(slices):
            montage.paste(image, (index * side, _CAPTION_HEIGHT + row * side))
    return montage


def main() -> None:
    """Print the table and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True, help="masks and metrics.csv of the evaluation")
    parser.add_argument("--picture", type=Path, help="of synthetic scans; those of patients are not for publication")
    arguments = parser.parse_args()
    rows = read_scores(arguments.predictions / "metrics.csv")
    print(table(rows), lesions(rows), distances(rows), best_constants(arguments.dataset, rows), sep="\n\n")
    if arguments.picture:
        picture(arguments.dataset, arguments.predictions, rows).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
