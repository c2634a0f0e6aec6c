"""A patient under construction, and the random choices that all organs make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dualtask.phantom.body import Body
from dualtask.phantom.fields import Field, Points
from dualtask.phantom.sites import Site
from dualtask.phantom.tissue import Painter, Structure


@dataclass
class Draft:
    """State shared by the builders of one patient."""

    rng: np.random.Generator
    body: Body
    hu: Mapping[str, float]
    site: Site
    phase: str
    oral: bool
    parts: list[Structure] = field(default_factory=list)

    def add(self, shape: Field, paint: Painter, edge_mm: float = 0.6, name: str = "") -> Field:
        self.parts.append(Structure(shape, paint, edge_mm, name))
        return shape


def jitter(rng: np.random.Generator, points: Points, mm: float, radius: float = 0.0) -> np.ndarray:
    """Control points moved by about `mm`, radii changed by about the fraction `radius`."""
    points = np.array(points, dtype=float)
    points[:, :3] += mm * np.clip(rng.standard_normal((len(points), 3)), -2, 2)
    points[:, 3] *= 1.0 + radius * np.clip(rng.standard_normal(len(points)), -2, 2)
    return points


def choose(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """A name drawn with the given probabilities."""
    names = list(shares)
    return names[int(np.searchsorted(np.cumsum(list(shares.values()))[:-1], rng.random(), side="right"))]
