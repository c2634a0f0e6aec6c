"""Liver with its vessels, and spleen: the two that share the space under the diaphragm."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dualtask.phantom.draft import Draft
from dualtask.phantom.fields import Field, Vector, ellipsoid, intersection, rotate, smooth_union
from dualtask.phantom.organs.chest import Diaphragm
from dualtask.phantom.tissue import tissue, vessel


def _tree(
    rng: np.random.Generator,
    start: Vector,
    direction: Vector,
    length: float,
    radius: float,
    depth: int,
) -> Iterable[np.ndarray]:
    """Branching vessel: control points of each branch."""
    start, ahead = np.asarray(start, float), np.asarray(direction, float)
    ahead = ahead / np.linalg.norm(ahead)
    side = rng.standard_normal(3)
    side -= side @ ahead * ahead
    side /= np.linalg.norm(side)
    middle = start + 0.5 * length * ahead + 0.10 * length * side * rng.uniform(-1, 1)
    end = start + length * ahead
    yield np.array([[*start, radius], [*middle, 0.9 * radius], [*end, 0.75 * radius]])
    if depth > 0:
        spread = rng.uniform(0.45, 0.75)
        for sign in (-1, 1):
            yield from _tree(rng, end, ahead + sign * spread * side, 0.78 * length, 0.72 * radius, depth - 1)


def add_liver_and_spleen(draft: Draft, cavity: Field, dome: Diaphragm, organ: Field) -> tuple[Field, Field]:
    """Liver with its vessels, and spleen; returns both."""
    body, rng, hu = draft.body, draft.rng, draft.hu
    inset = Field(cavity.origin, cavity.step, cavity.values + rng.uniform(2.5, 4.0))
    long = rng.uniform(-12, 10)
    left_tip = rng.uniform(20, 62)

    def liver(x, y, z):
        right = ellipsoid((x, y, z), (-78, -4, 34 - long / 2), (73, 90, 88 + long / 2))
        left = ellipsoid((x, y, z - 0.25 * x), (left_tip - 40, -52, 46), (58, 36, 36))
        both = smooth_union(right, left, 14.0)
        hilum = -ellipsoid((x, y, z), (-16, -20, -16), (50, 46, 50))
        both = -smooth_union(-both, -hilum, 8.0)
        under = (z - dome.height(x, y) + 3.0) * 0.7
        return -smooth_union(-both, -under, 6.0)

    shape = body.shape(liver, (-150, -105, -75), (90, 95, 125), step=3.5, rough_mm=1.6, rough_wavelength_mm=38.0)
    shape = intersection(shape, inset).carved(organ, rng.uniform(1.0, 4.0))
    fatty = rng.uniform(-6, 4) - (35 if rng.random() < 0.15 else 0)
    draft.add(shape, tissue(hu["liver"] + fatty, 3.0, 3.0, 2.0))

    portal = [
        *_tree(rng, (-40, -24, 34), (-1, 0.1, 0.35), 30, 5.0, 3),
        *_tree(rng, (-32, -30, 36), (0.9, -0.8, 0.4), 26, 3.6, 2),
    ]
    hepatic: list[np.ndarray] = []
    for direction in ((-1, 0.35, -0.55), (-0.55, -0.8, -0.45), (0.5, -0.85, -0.35)):
        hepatic.extend(_tree(rng, (-24, -4, 82), direction, 34, 4.6, 2))
    keep = Field(shape.origin, shape.step, shape.values + 5.0)
    for branches, hu_blood in ((portal, hu["portal"]), (hepatic, hu["cava"])):
        blood = vessel(0.9 * hu_blood + 0.1 * (hu["liver"] + fatty))
        for points in branches:
            branch = body.tube(points, step=1.8 if points[0, 3] < 3 else 2.5)
            draft.add(intersection(branch, keep), blood, edge_mm=1.2)

    def spleen(x, y, z):
        u, v = rotate(x - 96, y - 30, 20)
        bean = ellipsoid((u, v, z - 44 - 0.15 * v), (0, 0, 0), (30, 48, 48))
        hollow = -ellipsoid((x, y, z), (60, 12, 44), (34, 34, 44))
        under = (z - dome.height(x, y) + 5.0) * 0.7
        return np.maximum(-smooth_union(-bean, -hollow, 6.0), under)

    pulp = body.shape(spleen, (40, -40, -20), (150, 100, 115), step=3.0, rough_mm=1.4, rough_wavelength_mm=32.0)
    pulp = intersection(pulp, inset).carved(shape, 2.0)

    def mottled(depth, around):
        bands = 22.0 * np.sin(2.2 * around.mid + around.broad) if draft.phase == "pancreatic" else 0.0
        return hu["spleen"] + bands + 3 * around.mid + 2 * around.grain

    draft.add(pulp, mottled)
    return shape, pulp
