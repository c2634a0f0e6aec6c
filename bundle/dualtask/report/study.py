"""Page, Markdown table and plots of a study (`python -m dualtask.report.study`)."""

from __future__ import annotations

import argparse
import base64
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import spearmanr

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.evaluation.statistics import Comparison, Interval, case_means, compare, mean_interval
from dualtask.files import write_atomically
from dualtask.report.colours import LINE_COLOURS
from dualtask.report.pictures import Picture, embed
from dualtask.report.rendering import number, render_page
from dualtask.structures import STRUCTURES
from dualtask.studies.plan import Study, read_study

Rows = Sequence[Mapping[str, Any]]

_HEADER = ("variant", "seeds", "cases", "Dice", "surface Dice", "HD95 mm", "difference of Dice", "p (Holm)", "effect")


def write_study_report(study: Study, cases: Path, output_dir: Path, reference: str, synthetic: bool) -> None:
    """Write ``report.html``, ``table.md``, one ``<structure>.png`` each and a copy of ``cases.csv``.

    Args:
        study: what was compared.
        cases: ``cases.csv`` of the study's runs.
        output_dir: folder of the files.
        reference: variant that the others are compared with.
        synthetic: whether the scans are computed; the page and the table then say so.

    Raises:
        InputError: the table is absent or lacks the reference variant.
    """
    if not cases.is_file():
        raise InputError(f"{cases} does not exist: run the study first.")
    with cases.open(newline="") as file:
        rows = list(csv.DictReader(file))
    variants = [variant.name for variant in study.variants if any(row["variant"] == variant.name for row in rows)]
    if reference not in variants:
        raise InputError(f"{cases} has no finished run of the variant {reference}: run it, or name another reference.")
    tables = {structure: _table(_of(rows, structure), variants, reference) for structure in STRUCTURES}
    plots = {structure: _box_plots(_of(rows, structure), variants, structure) for structure in STRUCTURES}
    ranking = [_ranking(_of(rows, structure), variant, structure) for structure in STRUCTURES for variant in variants]
    runs = sorted(cases.parent.glob("*/*/*/done.json"))
    provenance = _provenance(study, [json.loads(run.read_text()) for run in runs])
    output_dir.mkdir(parents=True, exist_ok=True)
    render_page(
        output_dir / "report.html",
        "study.html.jinja",
        title=f"Study: {study.name.replace('_', ' ')}",
        synthetic=synthetic,
        description=study.description,
        reference=reference,
        tables=tables,
        plots=plots,
        ranking=ranking,
        provenance=provenance,
    )
    markdown = _markdown(study, tables, provenance, synthetic)
    write_atomically(output_dir / "table.md", lambda temporary: temporary.write_text(markdown))
    write_atomically(output_dir / "cases.csv", lambda temporary: temporary.write_text(cases.read_text()))
    for structure, plot in plots.items():
        image = base64.b64decode(plot.uri.split(",")[1])
        write_atomically(output_dir / f"{structure}.png", lambda temporary, image=image: temporary.write_bytes(image))


def _of(rows: Rows, structure: str) -> Rows:
    return [row for row in rows if row["structure"] == structure]


def _table(rows: Rows, variants: Sequence[str], reference: str) -> list[dict[str, Any]]:
    means = {metric: case_means(rows, metric) for metric in ("dice", "surface_dice", "hausdorff95_mm")}
    differences = {comparison.variant: comparison for comparison in compare(rows, "dice", reference)}
    table = []
    for variant in variants:
        dice, surface, hausdorff = (
            mean_interval(list(of_variant.get(variant, {}).values())) for of_variant in means.values()
        )
        seeds = {row["seed"] for row in rows if row["variant"] == variant}
        cells = [str(len(seeds)), str(dice.n), _interval(dice), _interval(surface), _interval(hausdorff, digits=1)]
        table.append({"variant": variant, "cells": cells + _comparison(differences.get(variant))})
    return table


def _interval(interval: Interval, digits: int = 3) -> str:
    mean, low, high = (number(value, digits) for value in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def _comparison(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return [number(None, 0)] * 3
    p = "< 0.001" if comparison.p_holm < 0.001 else number(comparison.p_holm, 3)
    return [_interval(comparison.difference), p, number(comparison.effect, 2)]


def _ranking(rows: Rows, variant: str, structure: str) -> dict[str, Any]:
    own = [row for row in rows if row["variant"] == variant]
    dice, uncertainty = (case_means(own, column).get(variant, {}) for column in ("dice", "uncertainty"))
    shared = sorted(dice.keys() & uncertainty.keys())
    pairs = [(uncertainty[case], 1 - dice[case]) for case in shared]
    varied = len(pairs) > 2 and all(len(set(column)) > 1 for column in zip(*pairs, strict=True))
    correlation = float(spearmanr(*zip(*pairs, strict=True)).statistic) if varied else None
    return {"variant": variant, "structure": structure, "n": len(pairs), "correlation": correlation}


def _box_plots(rows: Rows, variants: Sequence[str], structure: str) -> Picture:
    sites = sorted({row["test_site"] for row in rows})
    inches = 2 + 1.1 * len(variants) * max(1, len(sites) / 2)
    figure = Figure(figsize=(inches, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot(ylabel=f"Dice of the {structure}", ylim=(-0.02, 1.02))
    width = 0.8 / len(sites)
    for index, (site, colour) in enumerate(zip(sites, LINE_COLOURS[1:], strict=False)):
        means = case_means([row for row in rows if row["test_site"] == site], "dice")
        values = [list(means.get(variant, {}).values()) for variant in variants]
        positions = [place + (index - (len(sites) - 1) / 2) * width for place in range(len(variants))]
        boxes = axes.boxplot(
            values, positions=positions, widths=0.85 * width, patch_artist=True, showmeans=True, manage_ticks=False
        )
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.5)
        axes.plot([], [], "s", color=colour, alpha=0.5, label=f"{site}, not seen in training")
    axes.set_xticks(range(len(variants)), [variant.replace("_", "\n") for variant in variants], fontsize=8)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize="small", frameon=False)
    caption = f"Dice of the {structure} by variant and unseen site: quartiles over cases, triangle: mean."
    return embed(figure, alt=caption, caption=caption)


def _provenance(study: Study, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    minutes = sum(record["seconds"] for record in records) / 60
    return {
        "study": f"configs/studies/{study.name}.json, {len(records)} runs",
        "commits": ", ".join(sorted({str(record["commit"]) for record in records})),
        "hardware": ", ".join(sorted({record["hardware"] for record in records})),
        "PyTorch": ", ".join(sorted({record["versions"]["torch"] for record in records})),
        "time": f"{minutes:.0f} minutes in total, beside other work of the machine",
    }


def _markdown(
    study: Study, tables: Mapping[str, list[dict[str, Any]]], provenance: Mapping[str, str], synthetic: bool
) -> str:
    lines = [study.description, ""]
    if synthetic:
        lines += ["**Synthetic scans; no statement about patients.**", ""]
    for structure, table in tables.items():
        lines += [f"### {structure.capitalize()}", "", f"| {' | '.join(_HEADER)} |", "|---" * len(_HEADER) + "|"]
        lines += [f"| {' | '.join([row['variant'], *row['cells']])} |" for row in table]
        lines.append("")
    lines += [f"- {name}: {value}" for name, value in provenance.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the report of a study."""
    parser = argparse.ArgumentParser(prog="python -m dualtask.report.study", description=__doc__)
    parser.add_argument("study", type=Path, help="the JSON file of configs/studies")
    parser.add_argument("--cases", type=Path, required=True, help="cases.csv that the study wrote")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--reference", default="full", help="variant that the others are compared with")
    parser.add_argument("--synthetic", action="store_true", help="the scans are computed")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    write_study_report(
        read_study(arguments.study), arguments.cases, arguments.output_dir, arguments.reference, arguments.synthetic
    )
    print("The report is at", arguments.output_dir / "report.html")


if __name__ == "__main__":
    main()
