"""The README's table and picture, from an evaluation of held-out synthetic scans (`make figures`)."""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path
from statistics import fmean

from PIL import Image, ImageDraw

from dualtask.evaluation import case_name, read_scores, summarise
from dualtask.evaluation.label_maps import read_label_maps
from dualtask.evaluation.tables import Row
from dualtask.report.overlays import draw_overlays
from dualtask.scans import decathlon_datalist
from dualtask.scans.reading import read_volume
from dualtask.structures import STRUCTURES

_CAPTION_HEIGHT = 26
_COLUMNS = {"Dice": "dice", "NSD 2 mm": "surface_dice", "HD95 mm": "hausdorff95_mm"}


def table(rows: list[Row]) -> str:
    """Markdown: means per site and structure, with the number of cases that they are taken over."""
    summary = summarise(rows)
    lines = [
        "| synthetic site | structure | cases | " + " | ".join(_COLUMNS) + " |",
        "|---" * (3 + len(_COLUMNS)) + "|",
    ]
    for group, statistics in {**summary["sites"], "all": summary["overall"]}.items():
        for structure in STRUCTURES:
            metrics = statistics[structure]
            means = [metrics[column]["mean"] for column in _COLUMNS.values()]
            cells = ["-" if mean is None else f"{mean:.2f}" for mean in means]
            lines.append(f"| {group} | {structure} | {metrics['dice']['n']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lesions(rows: list[Row]) -> str:
    """How many lesions are found, and in how many cases without one a lesion is seen."""
    shown = [row for row in rows if row["structure"] == "lesion"]
    ill = [row for row in shown if row["reference_ml"] > 0]
    healthy = [row for row in shown if row["reference_ml"] == 0]
    found = [row for row in ill if row["detected_components"] > 0]
    alarms = [row for row in healthy if row["prediction_ml"] > 0]
    mean = fmean(row["dice"] for row in ill)
    return (
        f"Of {len(ill)} cases with a lesion it is found in {len(found)} (mean Dice of the {len(ill)}: {mean:.2f}); of "
        f"{len(healthy)} without one a lesion is seen in {len(alarms)}."
    )


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
        drawn = [base64.b64decode(overlay.uri.split(",")[1]) for overlay in overlays[:2]]
        columns.append((f"{site} (synthetic)", [Image.open(io.BytesIO(png)).convert("RGB") for png in drawn]))
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
    parser.add_argument("--picture", type=Path, required=True)
    arguments = parser.parse_args()
    rows = read_scores(arguments.predictions / "metrics.csv")
    print(table(rows), lesions(rows), sep="\n\n")
    picture(arguments.dataset, arguments.predictions, rows).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
