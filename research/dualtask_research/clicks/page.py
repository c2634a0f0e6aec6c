"""The page about correction by clicks: tables and curves."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dualtask.files import write_atomically
from dualtask.report.colours import LINE_COLOURS
from dualtask.report.rendering import number
from dualtask.structures import STRUCTURES
from dualtask_research.clicks.study import CLICKS, INTENSITIES, METHODS, NETWORK, Corrected
from dualtask_research.statistics import Interval, mean_interval

_SHOWN = (0, 1, 3, 5, 10)
_TARGETS = (0.8, 0.9)
_METHOD_NAMES = {NETWORK: "with the network", INTENSITIES: "graph cut without it"}

Group = tuple[str, str]
"""Kind of scans, and site or "all"."""


_HOSPITALS = {"btcv_assembled": "BTCV", "msd_partial": "MSD", "nih_slab": "NIH"}
"""Site -> as pages call it."""


def groups(rows: Sequence[Corrected]) -> dict[Group, list[Corrected]]:
    """The rows of each kind of scans, all together and, of several real sites, each."""
    found: dict[Group, list[Corrected]] = defaultdict(list)
    for row in rows:
        found[row.kind, "all"].append(row)
        if row.kind == "real":
            found[row.kind, row.site].append(row)
    return dict(sorted(found.items()))


def after(rows: Sequence[Corrected], structure: str, method: str, clicks: int) -> Interval:
    """Dice after some clicks, mean over cases with its interval."""
    return mean_interval(
        [row.dice for row in rows if (row.structure, row.method, row.clicks) == (structure, method, clicks)]
    )


def clicks_to(rows: Sequence[Corrected], structure: str, method: str, dice: float) -> list[float]:
    """Clicks after which each case first has a Dice; infinity where ``CLICKS`` are not enough."""
    first: dict[tuple[str, str], float] = {}
    for row in rows:
        if (row.structure, row.method) == (structure, method):
            reached = row.clicks if row.dice >= dice else math.inf
            first[row.site, row.case] = min(first.get((row.site, row.case), math.inf), reached)
    return list(first.values())


def table(rows: Sequence[Corrected], structure: str) -> list[str]:
    """Markdown: a line for each group of scans and method."""
    heads = ["kind, site", "scans", "method", *(f"{clicks} click{'s' * (clicks != 1)}" for clicks in _SHOWN)]
    heads += [f"clicks to {target}" for target in _TARGETS]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (kind, site), members in groups(rows).items():
        for method in METHODS:
            dice = [after(members, structure, method, clicks) for clicks in _SHOWN]
            if dice[0].n:
                cells = [
                    f"{kind}, {_HOSPITALS.get(site, site)}",
                    str(dice[0].n),
                    _METHOD_NAMES[method],
                    *map(_interval, dice),
                ]
                cells += [_reached(clicks_to(members, structure, method, target)) for target in _TARGETS]
                lines.append(f"| {' | '.join(cells)} |")
    return lines


def _interval(dice: Interval) -> str:
    return f"{number(dice.mean, 2)} ({number(dice.low, 2)} to {number(dice.high, 2)})"


def _reached(clicks: Sequence[float]) -> str:
    """Median over all patients, and how many get there at all."""
    median = statistics.median_high(clicks)
    words = f"{median:.0f}" if math.isfinite(median) else f"> {CLICKS}"
    return f"{words} ({sum(map(math.isfinite, clicks))} of {len(clicks)})"


def draw(rows: Sequence[Corrected], path: Path) -> None:
    """Curves of Dice over clicks, one panel for each structure and kind of scans, with the intervals as bands."""
    kinds = sorted({row.kind for row in rows})
    figure = Figure(figsize=(5.0 * len(kinds), 7.0), dpi=110, facecolor="white", layout="constrained")
    panels = figure.subplots(len(STRUCTURES), len(kinds), squeeze=False, sharex=True, sharey=True)
    for line, structure in zip(panels, STRUCTURES, strict=True):
        for axes, kind in zip(line, kinds, strict=True):
            members = [row for row in rows if row.kind == kind]
            for method, colour in zip(METHODS, LINE_COLOURS, strict=False):
                dice = [after(members, structure, method, clicks) for clicks in range(CLICKS + 1)]
                axes.plot([each.mean for each in dice], color=colour, marker=".", label=_METHOD_NAMES[method])
                low, high = [each.low for each in dice], [each.high for each in dice]
                axes.fill_between(range(CLICKS + 1), low, high, color=colour, alpha=0.15, linewidth=0)
            axes.set(title=f"{structure}, {dice[0].n} {kind} scans", xlabel="clicks", ylabel="Dice", ylim=(0, 1))
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(fontsize="small", frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def write_page(
    rows: Sequence[Corrected], answers: Mapping[str, Any], page: Path, template: Path, picture: Path
) -> None:
    """Fill figures into a text.

    Args:
        rows: of the study.
        answers: what ``benchmarks/clicks.py`` wrote.
        page: Markdown file.
        template: the text.
        picture: the curves, below the folder above the page's.
    """
    machine = answers["surroundings"]
    text = template.read_text().format(
        **{structure: "\n".join(table(rows, structure)) for structure in STRUCTURES},
        picture=(Path("..") / picture.relative_to(page.parent.parent)).as_posix(),
        surroundings=f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} thread(s), "
        f"commit {machine['commit']}",
        answers="\n".join(answers["markdown"]),
        ratio=answers["figures"]["first / later"],
    )
    write_atomically(page, lambda temporary: temporary.write_text(text))
