"""Table and plots of a simulated annotation (`python -m dualtask_research.report.learning`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask.evaluation.presence import with_reference
from dualtask.files import write_atomically
from dualtask.report.colours import LINE_COLOURS
from dualtask.structures import STRUCTURES
from dualtask_research.active_learning.study import LearningStudy, read_learning_study
from dualtask_research.command_lines import report_parser
from dualtask_research.report.study import provenance_of
from dualtask_research.report.study_tables import (
    SIGNIFICANCE,
    Rows,
    Table,
    compare_dice,
    comparison_table,
    introduction,
    read_cases,
    seed_differences,
    seed_table,
    write_interval,
)
from dualtask_research.statistics import Comparison, case_means, mean_interval

_REFERENCE = "random"
_DPI = 110


def write_learning_report(study: LearningStudy, cases: Path, output_dir: Path, synthetic: bool) -> None:
    """Write ``table.md``, ``<structure>.png`` and a copy of ``cases.csv``.

    Strategies are compared with chance by the mean Dice of each case over all rounds but the first, which all share:
    the area under the learning curve.

    Args:
        study: what was simulated.
        cases: ``cases.csv`` of the study, in the folder of its trainings.
        output_dir: folder of the files.
        synthetic: whether the scans are computed; the table then says so.

    Raises:
        InputError: the table is absent.
    """
    rows = read_cases(cases)
    output_dir.mkdir(parents=True, exist_ok=True)
    lines = introduction(study.description, synthetic)
    for structure in STRUCTURES:
        own = [row for row in rows if row["structure"] == structure]
        chosen = [row for row in own if int(row["labelled"]) > study.initial]
        comparisons = compare_dice(chosen, _REFERENCE)
        lines += [f"### {structure.capitalize()}", "", verdict(comparisons, same_in_every_seed(chosen)), ""]
        lines += curve_table(own, study.strategies).markdown() + comparison_table(comparisons, _REFERENCE).markdown()
        lines += seed_table(chosen, study.strategies).markdown()
        figure = draw_curves(own, study.strategies, structure)
        write_atomically(output_dir / f"{structure}.png", partial(figure.savefig, format="png"))
    seeds = sorted({row["seed"] for row in rows})
    records = [json.loads(record.read_text()) for record in sorted(cases.parent.glob("*/*/done.json"))]
    provenance = {"seeds": ", ".join(seeds), **provenance_of(f"configs/active_learning/{study.name}.json", records)}
    lines += [f"- {name}: {value}" for name, value in provenance.items()]
    write_atomically(output_dir / "table.md", lambda path: path.write_text("\n".join(lines) + "\n"))
    write_atomically(output_dir / "cases.csv", lambda path: path.write_text(cases.read_text()))


def same_in_every_seed(rows: Rows) -> set[str]:
    """Strategies that are ahead of chance in every seed, or behind it in every seed; a tie is neither.

    Args:
        rows: of one structure, of the rounds that are compared.
    """
    differences = seed_differences(rows, _REFERENCE)
    return {name for name, each in differences.items() if min(each) > 0 or max(each) < 0}


def verdict(comparisons: Sequence[Comparison], same: Collection[str]) -> str:
    """Which strategies are better or worse than chance over all rounds but the first, in a sentence.

    Args:
        comparisons: with chance.
        same: strategies whose sign is the same in every seed; of the others nothing is said.
    """
    sure = [each for each in comparisons if each.p_holm < SIGNIFICANCE and each.variant in same]
    better = [comparison.variant for comparison in sure if comparison.difference.mean > 0]
    worse = [comparison.variant for comparison in sure if comparison.difference.mean < 0]
    beats = f"{' and '.join(better)} beat" if better else "No strategy beats"
    loses = f"; {' and '.join(worse)} fell behind it" if worse else ""
    return (
        f"**{beats} labelling by chance{loses}** (mean of all rounds but the first: p < {SIGNIFICANCE} after Holm over "
        "the cases, and the same sign in every seed)."
    )


def curve_table(rows: Rows, strategies: Sequence[str]) -> Table:
    """Mean Dice by strategy and number of labelled scans, over cases (means of their seeds), with intervals.

    Args:
        rows: of one structure, with ``labelled``.
        strategies: names, in the order of the table.
    """
    counts = _counts(rows)
    body = [
        (strategy, *(write_interval(mean_interval(_dice(rows, strategy, count))) for count in counts))
        for strategy in strategies
    ]
    header = ("strategy", *(f"{count} labelled" for count in counts))
    return Table("Dice by number of labelled scans", header, tuple(body))


def draw_curves(rows: Rows, strategies: Sequence[str], structure: str) -> Figure:
    """Mean Dice against the number of labelled scans, with 95 % intervals over cases.

    Args:
        rows: of one structure, with ``labelled``.
        strategies: names.
        structure: name.
    """
    counts = _counts(rows)
    figure = Figure(figsize=(7.0, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot(xlabel="labelled scans", ylabel=f"Dice of the {structure}, held-out synthetic scans")
    for index, (strategy, colour) in enumerate(zip(strategies, cycle(LINE_COLOURS), strict=False)):
        intervals = [mean_interval(_dice(rows, strategy, count)) for count in counts]
        # Side by side, or the intervals would hide each other.
        places = [count + 0.15 * (index - (len(strategies) - 1) / 2) for count in counts]
        below = [interval.mean - interval.low for interval in intervals]
        above = [interval.high - interval.mean for interval in intervals]
        means = [interval.mean for interval in intervals]
        axes.errorbar(places, means, (below, above), color=colour, marker="o", markersize=4, capsize=3, label=strategy)
    axes.set_xticks(counts)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize="small", frameon=False)
    return figure


def _counts(rows: Rows) -> list[int]:
    return sorted({int(row["labelled"]) for row in rows})


def _dice(rows: Rows, strategy: str, count: int) -> list[float]:
    own = [row for row in with_reference(rows) if row["variant"] == strategy and int(row["labelled"]) == count]
    return list(case_means(own, "dice").get(strategy, {}).values())


def main() -> None:
    """Write the report of a simulated annotation."""
    parser = report_parser("dualtask_research.report.learning", __doc__, "configs/active_learning")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    study = read_learning_study(arguments.study)
    write_learning_report(study, arguments.cases, arguments.output_dir, arguments.synthetic)
    print("The table is at", arguments.output_dir / "table.md")


if __name__ == "__main__":
    main()
