"""The pancreas, its lesion and its duct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from dualtask.phantom.draft import Draft, choose, jitter
from dualtask.phantom.fields import FAR_MM, Field, SmoothNoise, catmull_rom, intersection
from dualtask.phantom.tissue import LESION, PANCREAS, Painter, tissue

# How far a lesion's HU lies from the organ's, by kind and phase (range).
_CONTRAST: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "solid": dict(native=(-14, -6), pancreatic=(-58, -34), portal=(-46, -26), late=(-28, -14)),
        "neuroendocrine": dict(native=(-3, 6), pancreatic=(25, 60), portal=(4, 28), late=(0, 14)),
    }
)


@dataclass(frozen=True)
class Pancreas:
    """The pancreas before it is painted."""

    course: np.ndarray  # centre line (x, y, z, radius), reference mm, head to tail
    shape: Field
    lesion: Field | None
    lesion_paint: Painter | None
    lesion_edge_mm: float
    lesion_text: str | None
    lesion_share: float | None  # of the centre line's length, from the head's end to the lesion
    duct: Field


def plan_pancreas(draft: Draft) -> Pancreas:
    """Draw course, shape and lesion before the neighbours are placed, since they make way for it."""
    body, rng, hu, site = draft.body, draft.rng, draft.hu, draft.site
    rise = rng.uniform(-12, 16)  # the tail's height differs most between people
    bulk = rng.uniform(0.88, 1.12)
    course = [
        (-33, -24, -34, 10), (-35, -30, -16, 14), (-27, -37, -4, 12.5), (-9, -46, 2, 8.5),
        (14, -45, 8 + 0.2 * rise, 9.5), (38, -30, 15 + 0.5 * rise, 10), (58, -12, 21 + 0.8 * rise, 9.5),
        (75, 4, 25 + rise, 8),
    ]  # fmt: skip
    points = jitter(rng, course, 2.4, 0.08)
    points[:, 3] *= bulk
    points[:, 1] += rng.uniform(-4, 4)
    curve = catmull_rom(points, 6.0)
    lobules = rng.uniform(0.7, 1.7)
    options: dict[str, Any] = dict(step=2.0, flatten=(1.0, 1.0, 0.82))
    main = body.tube(points, rough_mm=1.0, rough_wavelength_mm=30.0, trim_mm=FAR_MM, **options)
    hook = body.tube(jitter(rng, [(-36, -24, -24, 11), (-24, -20, -30, 9), (-14, -21, -32, 5)], 1.2), **options)
    axes = main.axes
    values = main.joined(hook).values
    values = (
        values
        + lobules * np.tanh(SmoothNoise(rng, 13.0, main.box)(axes))
        + 0.4 * lobules * SmoothNoise(rng, 8.0, main.box)(axes)
    )
    # Bring the organ into the range of adults by moving its surface: the offset is the quantile of the field itself.
    voxel_ml = main.step**3 / 1000.0
    count = int(np.clip(np.count_nonzero(values < 0), 52.0 / voxel_ml, 120.0 / voxel_ml))
    values = values - np.partition(values.ravel(), count)[count]
    shape = Field(main.origin, main.step, values)

    kind = choose(rng, site.lesions) if rng.random() < site.lesion_rate else None
    lesion = paint = text = share = None
    edge = 1.0
    sizes = dict(solid=(3.05, 0.33), cyst=(2.95, 0.42), neuroendocrine=(2.55, 0.3))
    size = float(np.clip(rng.lognormal(*sizes.get(kind or "", (3.0, 0.3))), 8.0, 40.0))
    spot = int(rng.integers(2, len(curve) - 2))
    start = spot if rng.random() < 0.6 else 2 + spot // 3  # more of them in the head
    squash = rng.uniform(0.85, 1.15, 3)
    away = rng.standard_normal(3) - (0.0, 0.8, 0.0)  # rather to the front: the large vessels lie behind
    away *= 0.55 * min(float(curve[start, 3]), size / 2) / np.linalg.norm(away)
    shade = rng.uniform(0, 1)
    if kind is not None:
        centre = curve[start, :3] + away
        radii = 0.5 * size * squash / np.cbrt(squash.prod())
        rough = dict(solid=0.07, cyst=0.03, neuroendocrine=0.05)[kind] * size
        lesion = body.blob(
            centre, radii, step=1.6, rough_mm=min(rough, 2.6), rough_wavelength_mm=max(12.0, 0.8 * size), trim_mm=FAR_MM
        )
        if kind == "cyst":
            water = 6 + 14 * shade
            septa = 18.0 if size > 22 else 0.0

            def cyst(depth, around):
                rim = np.clip((depth + 1.6) / 1.2, 0.0, 1.0)
                wall = np.clip(1.0 - np.abs(around.mid) / 0.12, 0.0, 1.0)
                return water + 1.5 * around.grain + septa * wall + 0.35 * (hu["pancreas"] - water) * rim

            paint = cyst
        else:
            low, high = _CONTRAST[kind][draft.phase]
            level = hu["pancreas"] + low + (high - low) * shade
            edge = min(2.0 + 0.16 * size, 6.0) if kind == "solid" else 1.2
            necrosis = 12.0 if kind == "solid" and size > 26 else 0.0

            def tumour(depth, around):
                core = np.clip((-depth - 5.0) / 5.0, 0.0, 1.0)
                return level - necrosis * core * (1 + 0.5 * around.mid) + 4 * around.mid + 3 * around.grain

            paint = tumour

        where = ("head", "neck and body", "tail")[int(np.searchsorted([0.36, 0.72], start / (len(curve) - 1)))]
        text = f"synthetic {kind} lesion, about {size:.0f} mm, in the {where}"
        steps = np.linalg.norm(np.diff(curve[:, :3], axis=0), axis=1)
        share = float(steps[:start].sum() / steps.sum())

    blocked = kind == "solid" and start / (len(curve) - 1) < 0.6 and rng.random() < 0.75
    width = rng.uniform(1.6, 3.2) if blocked else 0.8
    line = curve[start + 1 if blocked else 3 : -2].copy()
    line[:, 3] = np.linspace(width, 0.5 * width, len(line))
    duct = body.tube(line, step=1.6)
    return Pancreas(curve, shape, lesion, paint, edge, text, share, duct)


def add_pancreas(draft: Draft, organ: Pancreas) -> None:
    """Add the planned pancreas with its duct and lesion."""
    rng, hu = draft.rng, draft.hu
    infiltration = rng.uniform(-1.0, -0.2)
    base = hu["pancreas"] + rng.uniform(-7, 7)

    def gland(depth, around):
        shallow = np.clip(1.0 + depth / 9.0, 0.25, 1.0)
        cleft = np.clip((around.grain + 0.7 * around.mid - 1.6 + infiltration) / 0.9, 0.0, 1.0) * shallow
        return base + 3 * around.broad + 4 * around.mid + 4 * around.grain - 75 * cleft

    shape = organ.shape
    draft.add(shape.trimmed(6.0), gland, name=PANCREAS)
    draft.add(
        intersection(organ.duct, Field(shape.origin, shape.step, shape.values + 2.0)),
        tissue(12, 0, 2, 1),
        edge_mm=1.0,
        name=PANCREAS,
    )
    if organ.lesion is not None and organ.lesion_paint is not None:
        draft.add(organ.lesion.trimmed(8.0), organ.lesion_paint, edge_mm=organ.lesion_edge_mm, name=LESION)
