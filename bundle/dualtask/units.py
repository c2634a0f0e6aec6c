"""Units of the tables."""

from __future__ import annotations

MM3_PER_ML = 1000.0
"""Cubic millimetres in a millilitre."""
