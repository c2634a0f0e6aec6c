"""The course of training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dualtask.errors import InputError
from dualtask.report.colours import LINE_COLOURS
from dualtask.report.pictures import Picture, embed

_LINE_STYLES = ("-", "--", "-.", ":")

Series = Mapping[str, Sequence[tuple[int, float]]]
"""Name -> points (epoch, value)."""


def draw_curves(history: str | os.PathLike[str]) -> list[Picture]:
    """Draw the loss with its terms and, where there was a validation, its metrics.

    Args:
        history: the JSON file of ``dualtask.handlers.TrainingHistory``.

    Raises:
        InputError: the file is absent or is not such a list.
    """
    if not Path(history).is_file():
        raise InputError(f"{history} does not exist: name the history that the training wrote, or none.")
    try:
        epochs = json.loads(Path(history).read_text(encoding="utf-8"))
        losses = _series([(epoch["epoch"], {"loss": epoch["loss"], **epoch["terms"]}) for epoch in epochs])
        metrics = _series([(epoch["epoch"], epoch.get("validation", {})) for epoch in epochs])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{history} is not the history of a training: name the file that the training wrote."
        ) from error
    charts = (("Training loss and its terms", "loss", losses), ("Validation", "metric", metrics))
    return [_draw(title, unit, series) for title, unit, series in charts if series]


def _series(epochs: Sequence[tuple[int, Mapping[str, float]]]) -> Series:
    names = dict.fromkeys(name for _, values in epochs for name in values)
    return {name: [(epoch, float(values[name])) for epoch, values in epochs if name in values] for name in names}


def _draw(title: str, unit: str, series: Series) -> Picture:
    figure = Figure(figsize=(5.5, 3.6), dpi=160, facecolor="white", layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel=unit)
    for (name, points), colour, style in zip(series.items(), cycle(LINE_COLOURS), cycle(_LINE_STYLES), strict=False):
        # The marker keeps a single point visible.
        axes.plot(*zip(*points, strict=True), style, color=colour, label=_words(name), marker=".", markersize=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, fontsize="small", frameon=False)
    ends = "; ".join(
        f"{_words(name)} from {points[0][1]:.3g} (epoch {points[0][0]}) to {points[-1][1]:.3g} (epoch {points[-1][0]})"
        for name, points in series.items()
    )
    return embed(figure, alt=f"{title} by epoch: {ends}.", caption=title)


def _words(name: str) -> str:
    return name.removeprefix("val_").replace("_", " ")
