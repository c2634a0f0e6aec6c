"""Plots of a study's report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dualtask.evaluation.presence import with_reference
from dualtask.evaluation.selective import risk_coverage
from dualtask.report.colours import LINE_COLOURS
from dualtask.report.pictures import Picture, embed
from dualtask_research.report.study_tables import Rows, uncertainty_and_risk
from dualtask_research.statistics import case_means

_DPI = 110
_VARIANTS_OF_A_LINE = 6


def draw_box_plots(rows: Rows, variants: Sequence[str], structure: str) -> Picture:
    """Dice by variant and unseen site: quartiles over the cases whose reference holds the structure.

    Args:
        rows: of one structure.
        variants: names, from left to right.
        structure: name.
    """
    sites = sorted({row["test_site"] for row in rows})
    lines = math.ceil(len(variants) / _VARIANTS_OF_A_LINE)
    # As even as they can be: nine are five and four, not six and three.
    each = math.ceil(len(variants) / lines)
    parts = [variants[first : first + each] for first in range(0, len(variants), each)]
    inches = max(7.0, 2 + 1.1 * len(parts[0]) * max(1, len(sites) / 2))
    figure = Figure(figsize=(inches, 0.6 + 3.6 * lines), dpi=_DPI, layout="constrained")
    for axes, part in zip(figure.subplots(lines, squeeze=False)[:, 0], parts, strict=True):
        axes.set(ylabel=f"Dice of the {structure}", ylim=(-0.02, 1.02), xlim=(-0.6, len(parts[0]) - 0.4))
        _draw_boxes(axes, rows, part, sites)
    handles = [Patch(facecolor=colour, alpha=0.5, label=site) for site, colour in _colours(sites)]
    legend = {"title": "not seen in training", "title_fontsize": "small"}
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize="small", frameon=False, **legend)
    caption = f"Dice of the {structure} by variant and unseen site: quartiles and median over cases; diamond: mean."
    return embed(figure, alt=caption, caption=caption)


def _colours(sites: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(sites, cycle(LINE_COLOURS[1:]), strict=False)


def _draw_boxes(axes: Axes, rows: Rows, variants: Sequence[str], sites: Sequence[str]) -> None:
    width = 0.8 / len(sites)
    for index, (site, colour) in enumerate(_colours(sites)):
        means = case_means([row for row in with_reference(rows) if row["test_site"] == site], "dice")
        boxes = axes.boxplot(
            [list(means.get(variant, {}).values()) for variant in variants],
            positions=[place + (index - (len(sites) - 1) / 2) * width for place in range(len(variants))],
            widths=0.85 * width,
            patch_artist=True,
            showmeans=True,
            manage_ticks=False,
            medianprops={"color": "black"},
            meanprops={"marker": "D", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": "black"},
            flierprops={"marker": ".", "markersize": 5},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.5)
    axes.set_xticks(range(len(variants)), [variant.replace("_", "\n") for variant in variants], fontsize=8)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def line_styles() -> Iterator[tuple[str, str]]:
    """Colour and dashes of each curve: there may be more variants than colours, and the dashes tell them apart."""
    return cycle([(colour, line) for line in ("-", "--", ":") for colour in LINE_COLOURS])


def draw_risk_coverage(rows: Rows, variants: Sequence[str], structure: str) -> Picture | None:
    """Risk-coverage curves, or None where no case has an uncertainty.

    Args:
        rows: of one structure.
        variants: names.
        structure: name.
    """
    pairs = {variant: uncertainty_and_risk(rows, variant) for variant in variants}
    if not any(uncertainty for uncertainty, _ in pairs.values()):
        return None
    figure = Figure(figsize=(7.5, 4.2), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot(xlabel="share of cases kept, the least uncertain first", ylabel="mean 1 \u2212 Dice")
    for (variant, pair), (colour, line) in zip(pairs.items(), line_styles(), strict=False):
        if pair[0]:
            curve = risk_coverage(*pair)
            axes.plot(curve.coverage, curve.risk, line, color=colour, marker=".", markersize=3, label=variant)
    axes.set(xlim=(0, 1.02), ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    caption = (
        f"Risk and coverage, {structure}: a curve that falls to the left says that the uncertainty finds the bad cases."
    )
    return embed(figure, alt=caption, caption=caption)
