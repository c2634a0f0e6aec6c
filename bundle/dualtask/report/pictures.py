"""Drawings as images inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_PNG_URI = "data:image/png;base64,"


@dataclass(frozen=True)
class Picture:
    """An image of the page: its address (a data URI), its text for those who do not see it, and its caption."""

    uri: str
    alt: str
    caption: str

    @property
    def png(self) -> bytes:
        """The image alone, as the content of a file."""
        return base64.b64decode(self.uri.removeprefix(_PNG_URI))


def embed(figure: Figure, alt: str, caption: str) -> Picture:
    """Render a figure as a PNG within a data URI."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    # A palette halves the page. Maximum coverage keeps the hue of a small lesion, which the default gives up for greys.
    buffer = io.BytesIO()
    pixels.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(buffer, "PNG", optimize=True)
    return Picture(_PNG_URI + base64.b64encode(buffer.getvalue()).decode("ascii"), alt, caption)
