"""The reference body's map to one patient, and the implicit shapes drawn through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dualtask.phantom.fields import (
    FAR_MM,
    Axes,
    Box,
    Field,
    Points,
    SmoothNoise,
    Vector,
    catmull_rom,
    ellipsoid,
    rotate,
)

SPACE: Box = (np.array((-245.0, -190.0, -165.0)), np.array((245.0, 210.0, 165.0)))  # holds every patient


class Body:
    """The reference body's map to this patient, and the shapes drawn through it."""

    def __init__(self, rng: np.random.Generator, scale: np.ndarray):
        self.rng = rng
        self.scale = scale
        self.roll = float(np.clip(rng.normal(0, 1.8), -5, 5))
        self.shift = np.array([rng.normal(0, 4), rng.normal(0, 4), 0.0])
        self.bend = [SmoothNoise(rng, 95.0, SPACE) for _ in range(3)]
        self.bend_mm = (4.0, 3.0, 4.0)

    def reference(self, axes: Axes) -> list[np.ndarray]:
        """Reference coordinates of a patient grid, each [x, y, z]."""
        x = (axes[0] - self.shift[0])[:, None, None]
        y = (axes[1] - self.shift[1])[None, :, None]
        z = (axes[2] - self.shift[2])[None, None, :]
        x, y = rotate(x, y, self.roll)
        flat = [x / self.scale[0], y / self.scale[1], z / self.scale[2]]
        return [
            f + mm * np.tanh(noise(axes) / 2.0) * 2.0
            for f, mm, noise in zip(flat, self.bend_mm, self.bend, strict=True)
        ]

    def patient_box(self, low: Vector, high: Vector) -> Box:
        """A patient box that holds the reference box however the body bends."""
        bend = 2.0 * np.array(self.bend_mm)
        first, last = (np.asarray(low) - bend) * self.scale, (np.asarray(high) + bend) * self.scale
        corners = np.array([rotate(x, y, -self.roll) for x in (first[0], last[0]) for y in (first[1], last[1])])
        first, last = np.array([*corners.min(axis=0), first[2]]), np.array([*corners.max(axis=0), last[2]])
        return first + self.shift, last + self.shift

    def grid(self, low: Vector, high: Vector, step: float) -> Axes:
        """Axes of a patient grid that covers the reference box."""
        low, high = self.patient_box(low, high)
        return tuple(a + step * np.arange(int(np.ceil((b - a) / step)) + 1) for a, b in zip(low, high, strict=True))

    def shape(
        self,
        function: Callable[..., np.ndarray],
        low: Vector,
        high: Vector,
        step: float = 3.0,
        rough_mm: float = 0.0,
        rough_wavelength_mm: float = 24.0,
        trim_mm: float = 6.0,
    ) -> Field:
        """Sample function(x, y, z) of reference coordinates over a reference box, every `step` mm.

        The surface is moved by smooth noise of standard deviation `rough_mm`; the grid is cut back to what lies closer
        than `trim_mm`.
        """
        axes = self.grid(low, high, step)
        values = function(*self.reference(axes))
        if rough_mm:
            values = values + rough_mm * SmoothNoise(self.rng, rough_wavelength_mm, _corners(axes))(axes)
        return Field(np.array([a[0] for a in axes]), step, np.ascontiguousarray(values)).trimmed(trim_mm)

    def blob(self, centre: Vector, radii: Vector, **options: Any) -> Field:
        """An ellipsoid in reference mm; options as for `shape`."""
        centre, radii = np.asarray(centre, float), np.asarray(radii, float)
        margin = 6.0
        return self.shape(
            lambda x, y, z: ellipsoid((x, y, z), centre, radii),
            centre - radii - margin,
            centre + radii + margin,
            **options,
        )

    def tube(
        self,
        points: Points,
        step: float = 2.5,
        pitch_mm: float = 6.0,
        flatten: Sequence[float] = (1.0, 1.0, 1.0),
        rough_mm: float = 0.0,
        rough_wavelength_mm: float = 24.0,
        radius_noise: float = 0.0,
        trim_mm: float = 6.0,
    ) -> Field:
        """A tube along smooth control points (x, y, z, radius) in reference mm; `flatten` stretches the metric."""
        curve = catmull_rom(np.asarray(points, float), pitch_mm)
        if radius_noise:
            knots = np.arange(0, len(curve) + 3, 3)
            wobble = np.interp(np.arange(len(curve)), knots, self.rng.standard_normal(len(knots)))
            curve[:, 3] *= 1.0 + radius_noise * np.clip(wobble, -1.5, 1.5)
        curve[:, 3] = np.maximum(curve[:, 3], 0.4)
        reach = curve[:, 3:4] / np.minimum(np.asarray(flatten), 1.0) + 6.0
        low, high = (curve[:, :3] - reach).min(axis=0), (curve[:, :3] + reach).max(axis=0)
        axes = self.grid(low, high, step)
        reference = self.reference(axes)
        values = np.full([len(a) for a in axes], FAR_MM)
        for a, b, ra, rb in zip(curve[:-1], curve[1:], reach[:-1], reach[1:], strict=True):
            near = self.patient_box(np.minimum(a[:3] - ra, b[:3] - rb), np.maximum(a[:3] + ra, b[:3] + rb))
            part = tuple(
                slice(int(np.searchsorted(axis, lo)), int(np.searchsorted(axis, hi, side="right")))
                for axis, lo, hi in zip(axes, *near, strict=True)
            )
            found = _round_cone([r[part] for r in reference], a, b, flatten)
            np.minimum(values[part], found, out=values[part])
        if rough_mm:
            values = values + rough_mm * SmoothNoise(self.rng, rough_wavelength_mm, _corners(axes))(axes)
        return Field(np.array([a[0] for a in axes]), step, values).trimmed(trim_mm)


def _corners(axes: Axes) -> Box:
    return np.array([a[0] for a in axes]), np.array([a[-1] for a in axes])


def _round_cone(points: Sequence[np.ndarray], a: np.ndarray, b: np.ndarray, flatten: Sequence[float]) -> np.ndarray:
    """Distance to the segment a-b less the radius at the nearest point (a, b: x, y, z, radius)."""
    offset = [(p - c) * f for p, c, f in zip(points, a[:3], flatten, strict=True)]
    along = [(d - c) * f for c, d, f in zip(a[:3], b[:3], flatten, strict=True)]
    length2 = max(sum(v * v for v in along), 1e-9)
    t = np.clip(sum(o * v for o, v in zip(offset, along, strict=True)) / length2, 0.0, 1.0)
    distance2 = sum((o - t * v) ** 2 for o, v in zip(offset, along, strict=True))
    return np.sqrt(distance2) - (a[3] + (b[3] - a[3]) * t)
