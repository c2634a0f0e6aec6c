"""Page, Markdown table and plots of a study (`python -m dualtask_research.report.study`)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.evaluation import case_name, read_label_maps
from dualtask.evaluation.presence import with_reference
from dualtask.files import write_atomically
from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.examples import extremes
from dualtask.report.overlays import draw_overlays
from dualtask.report.pictures import Picture
from dualtask.report.rendering import number, render_page
from dualtask.scans import decathlon_datalist
from dualtask.scans.reading import read_volume
from dualtask.structures import STRUCTURES
from dualtask_research.command_lines import report_parser
from dualtask_research.report.courses import Epochs, course_table, draw_courses, read_epochs, write_epochs
from dualtask_research.report.study_plots import draw_box_plots, draw_risk_coverage
from dualtask_research.report.study_tables import (
    Rows,
    Table,
    compare_dice,
    comparison_table,
    group_table,
    introduction,
    patients,
    read_cases,
    score_table,
    seed_table,
    seeds_ahead,
    site_table,
    trust_table,
    verdicts,
)
from dualtask_research.sites.lesion_contrast import read_groups
from dualtask_research.statistics import case_means
from dualtask_research.studies.plan import Run, Study, Variant, read_study

_TEMPLATE = Path(__file__).with_name("study.html.jinja")


@dataclass(frozen=True)
class StructureReport:
    """What the report says about one structure; ``overlays`` are the slices of some cases, by their captions."""

    verdicts: list[str]
    tables: list[Table]
    plots: list[Picture]
    overlays: Mapping[str, list[Picture]]


def write_study_report(
    study: Study,
    cases: Path,
    output_dir: Path,
    reference: str,
    synthetic: bool,
    dataset_dir: str | os.PathLike[str] | None = None,
    groups: Mapping[str, str] | None = None,
) -> None:
    """Write ``report.html``, ``table.md``, one ``<structure>.png`` each and a copy of ``cases.csv``.

    Where the folder of the runs has the histories of their trainings, the courses of these are part of the page and the
    table, and in ``courses.csv``.

    Args:
        study: what was compared.
        cases: ``cases.csv`` of the study, in the folder of its runs.
        output_dir: folder of the files.
        reference: variant that the others are compared with.
        synthetic: whether the scans are computed; the page and the table then say so.
        dataset_dir: Decathlon folder of the scans; the page then shows the worst, the median and the best case of the
            reference variant, from the masks in the folder of the runs.
        groups: case -> group, for a table of the Dice of lesions by group.

    Raises:
        InputError: the table is absent or lacks the reference variant, or a scan, mask or history is refused.
    """
    rows = read_cases(cases)
    variants = [variant for variant in study.variants if any(row["variant"] == variant.name for row in rows)]
    by_name = {variant.name: variant for variant in variants}
    if reference not in by_name:
        raise InputError(f"{cases} has no finished run of the variant {reference}: run it, or name another reference.")
    epochs = read_epochs(study, cases.parent)
    structures = {}
    # No row where the sites of the study do not annotate a structure.
    for structure in STRUCTURES:
        sites = study.endpoints.get(structure)
        own = [row for row in rows if row["structure"] == structure and (not sites or row["site"] in sites)]
        if not own:
            continue
        examples = _examples(own, structure, by_name[reference], cases.parent, dataset_dir) if dataset_dir else {}
        of_structure = groups if structure == "lesion" else None
        structures[structure] = _report(own, list(by_name), reference, structure, examples, of_structure, epochs)
    runs = sorted(cases.parent.glob("*/*/*/done.json"))
    records = [json.loads(run.read_text()) for run in runs]
    provenance = provenance_of(f"configs/studies/{study.name}.json", records)
    if not synthetic:
        provenance = {"patients": patients(rows), **provenance}
    output_dir.mkdir(parents=True, exist_ok=True)
    render_page(
        output_dir / "report.html",
        _TEMPLATE,
        title=f"Study: {study.name.replace('_', ' ')}",
        synthetic=synthetic,
        description=study.description,
        reference=reference,
        structures=structures,
        colours=STRUCTURE_COLOURS,
        provenance=provenance,
    )
    markdown = _markdown(study, structures, provenance, synthetic)
    write_atomically(output_dir / "table.md", lambda temporary: temporary.write_text(markdown))
    if output_dir.resolve() != cases.parent.resolve():
        write_atomically(output_dir / "cases.csv", lambda temporary: temporary.write_text(cases.read_text()))
    if epochs:
        write_epochs(output_dir / "courses.csv", epochs)
    for structure, report in structures.items():
        image = report.plots[0].png
        write_atomically(output_dir / f"{structure}.png", partial(Path.write_bytes, data=image))


def _report(
    rows: Rows,
    variants: Sequence[str],
    reference: str,
    structure: str,
    overlays: Mapping[str, list[Picture]],
    groups: Mapping[str, str] | None,
    epochs: Epochs,
) -> StructureReport:
    comparisons = compare_dice(rows, reference)
    tables = [score_table(rows, variants), comparison_table(comparisons, reference)]
    # At one site the table of the sites would say the first table again.
    if len({row["test_site"] for row in rows}) > 1:
        tables.append(site_table(rows, variants))
    if groups:
        tables.append(group_table(rows, variants, groups))
    if len({row["seed"] for row in rows}) > 1:
        tables.append(seed_table(rows, variants))
    tables.append(trust_table(rows, variants))
    curves = draw_risk_coverage(rows, variants, structure)
    plots = [draw_box_plots(rows, variants, structure), *([curves] if curves else [])]
    if epochs:
        tables.append(course_table(epochs, variants, structure))
        plots.append(draw_courses(epochs, variants, structure))
    return StructureReport(verdicts(comparisons, reference, seeds_ahead(rows, reference)), tables, plots, overlays)


def _examples(
    rows: Rows, structure: str, variant: Variant, folder: Path, dataset_dir: str | os.PathLike[str]
) -> dict[str, list[Picture]]:
    """Slices of the worst, the median and the best case of a variant, by Dice over seeds, as its first seed did it."""
    own = [row for row in with_reference(rows) if row["variant"] == variant.name]
    means = case_means(own, "dice").get(variant.name, {})
    cases = {case_name(case["image"]): case for case in decathlon_datalist(dataset_dir)}
    examples = {}
    for words, (site, name) in extremes(means).items():
        if name not in cases:
            raise InputError(f"{dataset_dir} has no case {name}: give the folder that the study was run on.")
        seeds = {int(row["seed"]): row for row in own if (row["test_site"], row["case"]) == (site, name)}
        seed, row = min(seeds.items())
        maps = read_label_maps(cases[name], folder / Run(variant, site, seed).name)
        mean, shown = number(means[site, name], 3), number(float(row["dice"]), 3)
        caption = f"{words}: {name} ({site}), Dice {mean} over seeds; shown is seed {seed} with {shown}"
        scan, unknown = read_volume(cases[name]["image"]), cases[name].get("unknown")
        examples[caption] = draw_overlays(name, scan, *maps, structure, unknown)
    return examples


def provenance_of(study: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What a table was made of and with.

    Args:
        study: path of its file in the repository.
        records: of its runs (``dualtask_research.jobs.commands``).
    """
    minutes = sum(record["seconds"] for record in records) / 60
    return {
        "study": f"{study}, {len(records)} runs",
        "commits": ", ".join(sorted({record["commit"] or "not known" for record in records})),
        "hardware": ", ".join(sorted({record["hardware"] for record in records})),
        "PyTorch": ", ".join(sorted({record["versions"]["torch"] for record in records})),
        "time": f"{minutes:.0f} minutes in total, beside other work of the machine",
    }


def _markdown(
    study: Study, structures: Mapping[str, StructureReport], provenance: Mapping[str, str], synthetic: bool
) -> str:
    lines = introduction(study.description, synthetic)
    for structure, report in structures.items():
        lines += [f"### {structure.capitalize()}", "", *(f"- {sentence}" for sentence in report.verdicts), ""]
        for table in report.tables:
            lines += table.markdown()
    lines += [f"- {name}: {value}" for name, value in provenance.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the report of a study."""
    parser = report_parser("dualtask_research.report.study", __doc__, "configs/studies")
    parser.add_argument("--reference", default="full", help="variant that the others are compared with")
    parser.add_argument("--dataset_dir", type=Path, help="folder of the scans, to show the worst, median and best case")
    parser.add_argument(
        "--groups", type=Path, help="CSV with case and group (sites contrast): Dice of lesions by group"
    )
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    write_study_report(
        read_study(arguments.study),
        arguments.cases,
        arguments.output_dir,
        arguments.reference,
        arguments.synthetic,
        arguments.dataset_dir,
        read_groups(arguments.groups) if arguments.groups else None,
    )
    print("The report is at", arguments.output_dir / "report.html")


if __name__ == "__main__":
    main()
