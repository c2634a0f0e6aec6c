"""The FROC curve of the lesions."""

from __future__ import annotations

from matplotlib.figure import Figure

from dualtask.evaluation.froc import FALSE_ALARMS, Froc
from dualtask.report.colours import LINE_COLOURS
from dualtask.report.pictures import Picture, embed

CONFIDENCES = {"probability": "mean probability", "ml": "volume"}
"""Field of ``Component`` that is the confidence -> in words."""


def draw_froc(curve: Froc, confidence: str) -> Picture:
    """Draw the share of the lesions found against the mean number of false alarms a scan.

    Args:
        curve: of at least one lesion.
        confidence: one of ``CONFIDENCES``.
    """
    figure = Figure(figsize=(5.5, 3.6), dpi=160, facecolor="white", layout="constrained")
    axes = figure.add_subplot(xlabel="false alarms per scan", ylabel="lesions found", ylim=(-0.02, 1.02))
    axes.plot(curve.false_alarms, curve.sensitivity, color=LINE_COLOURS[1], marker=".", markersize=6)
    # The masks have no more components: what the network would find at more false alarms is not known.
    end = max(*FALSE_ALARMS, curve.false_alarms[0])
    axes.plot([curve.false_alarms[0], end], [curve.sensitivity[0]] * 2, ":", color=LINE_COLOURS[1])
    for rate in FALSE_ALARMS:
        axes.axvline(rate, color="black", alpha=0.15, linewidth=0.8)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    points = ", ".join(f"{curve.sensitivity_at(rate):.2f} at {rate:g}" for rate in FALSE_ALARMS)
    caption = f"Lesions found by false alarms per scan, over the {CONFIDENCES[confidence]} of each predicted lesion"
    return embed(figure, alt=f"{caption}: {points}.", caption=caption)
