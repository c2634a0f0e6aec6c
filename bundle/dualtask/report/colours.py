"""Colours of the drawings, distinguishable with the common colour vision deficiencies (Okabe and Ito 2008)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STRUCTURE_COLOURS: Mapping[str, str] = MappingProxyType({"pancreas": "#56B4E9", "lesion": "#E69F00"})
"""One hue for each of ``dualtask.structures.STRUCTURES``."""

LINE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of curves, on white."""
