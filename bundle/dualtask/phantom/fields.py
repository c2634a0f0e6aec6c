"""Smooth scalar fields on axis-aligned grids: band-limited noise, implicit shapes, separable resampling.

Coordinates are millimetres, x towards the patient's left, y posterior, z superior (LPS). Implicit shapes are negative
inside and close to a distance in mm near their surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Axes = tuple[np.ndarray, ...]  # along x, y, z
Box = tuple[np.ndarray, np.ndarray]
Vector = Sequence[float] | np.ndarray  # x, y, z
Points = Sequence[Sequence[float]] | np.ndarray  # [n, (x, y, z, radius)]
Region = tuple[slice, ...]  # of voxels along x, y, z

FAR_MM = 12.0  # value of a shape's field where it was not evaluated: well outside


def bspline_weights(positions: np.ndarray, nodes: int) -> np.ndarray:
    """Cubic B-spline weights, [len(positions), nodes], for positions in node units within [1, nodes - 3]."""
    base = np.clip(np.floor(positions).astype(int), 1, nodes - 3)
    t = positions - base
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(positions), nodes))
    rows = np.arange(len(positions))
    for offset, tap in enumerate(taps):
        weights[rows, base - 1 + offset] = tap / 6.0
    return weights


class SmoothNoise:
    """Gaussian noise of unit variance with one length scale over a box, constant beyond it.

    A cubic B-spline over a random lattice: it can be evaluated on any grid, so the patient does not depend on the
    scanner, and evaluation is three small matrix products.
    """

    def __init__(self, rng: np.random.Generator, wavelength_mm: float, box: Box):
        self.pitch = wavelength_mm / 2.0
        self.low = np.asarray(box[0], dtype=float)
        # Extents are often whole multiples of the pitch: the tolerance keeps the lattice's size, and with it all
        # random numbers that follow, from hanging on the last bit of a sum.
        shape = [int(np.ceil(extent / self.pitch - 1e-6)) + 4 for extent in np.asarray(box[1]) - self.low]
        self.lattice = rng.standard_normal(shape) / 0.332  # 0.332: standard deviation left by the spline

    def __call__(self, axes: Axes) -> np.ndarray:
        """Values [x, y, z] on the grid spanned by `axes` (mm)."""
        weights, used = [], []
        for axis, low, nodes in zip(axes, self.low, self.lattice.shape, strict=True):
            full = bspline_weights(np.clip((axis - low) / self.pitch + 1.0, 1.0, nodes - 3.0), nodes)
            touched = np.flatnonzero(full.any(axis=0))
            used.append(slice(touched[0], touched[-1] + 1))
            weights.append(full[:, used[-1]])
        values = self.lattice[tuple(used)]
        for weight in weights:
            # Contracting the first dimension and appending the new one last cycles x, y, z through in order.
            values = np.tensordot(values, weight, axes=(0, 1))
        return values


def interpolate_axis(values: np.ndarray, dim: int, positions: np.ndarray) -> np.ndarray:
    """Linear interpolation along one dimension at `positions` in index units, clamped at both ends."""
    last = values.shape[dim] - 1
    positions = np.clip(positions, 0, last)
    lower = np.minimum(positions.astype(int), max(last - 1, 0))
    shape = [1] * values.ndim
    shape[dim] = -1
    weight = (positions - lower).reshape(shape)
    first = values.take(lower, axis=dim)
    second = values.take(np.minimum(lower + 1, last), axis=dim)
    second -= first
    second *= weight
    second += first
    return second


@dataclass(frozen=True)
class Field:
    """An implicit shape sampled on a regular grid; beyond the grid it counts as `FAR_MM` outside."""

    origin: np.ndarray
    step: float
    values: np.ndarray

    @property
    def axes(self) -> Axes:
        return tuple(self.origin[i] + self.step * np.arange(self.values.shape[i]) for i in range(3))

    @property
    def box(self) -> Box:
        return self.origin, self.origin + self.step * (np.array(self.values.shape) - 1)

    def overlap(self, axes: Axes) -> Region | None:
        """Index ranges of `axes` (ascending) that lie inside the box, or None when nothing does."""
        low, high = self.box
        found = []
        for axis, a, b in zip(axes, low, high, strict=True):
            start, stop = int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b, side="right"))
            if stop <= start:
                return None
            found.append(slice(start, stop))
        return tuple(found)

    def sample(self, axes: Axes) -> np.ndarray:
        """Values on the grid spanned by `axes`, all of it inside the box."""
        values = self.values
        for dim in (2, 1, 0):  # x last: the largest pass then moves whole contiguous planes
            values = interpolate_axis(values, dim, (axes[dim] - self.origin[dim]) / self.step)
        return values

    def trimmed(self, margin_mm: float) -> Field:
        """The same shape on the smallest grid that keeps everything closer than `margin_mm` to it."""
        near = self.values < margin_mm
        if not near.any():
            return Field(self.origin, self.step, self.values[:1, :1, :1])
        slices = []
        for dim in range(3):
            hit = np.flatnonzero(near.any(axis=tuple(d for d in range(3) if d != dim)))
            slices.append(slice(max(hit[0] - 1, 0), hit[-1] + 2))
        start = np.array([s.start for s in slices])
        return Field(self.origin + self.step * start, self.step, self.values[tuple(slices)])

    def carved(self, other: Field, gap_mm: float | np.ndarray = 0.0) -> Field:
        """This shape without `other` widened by `gap_mm`."""
        return Field(self.origin, self.step, self._with(other, gap_mm, -1.0, np.maximum))

    def joined(self, other: Field) -> Field:
        """The union on this shape's grid."""
        return Field(self.origin, self.step, self._with(other, 0.0, 1.0, np.minimum))

    def _with(self, other: Field, gap_mm: float | np.ndarray, sign: float, combine: np.ufunc) -> np.ndarray:
        axes = self.axes
        region = other.overlap(axes)
        if region is None:
            return self.values
        values = self.values.copy()
        gap = gap_mm[region] if isinstance(gap_mm, np.ndarray) else gap_mm
        found = other.sample(tuple(axis[part] for axis, part in zip(axes, region, strict=True)))
        values[region] = combine(values[region], sign * (found - gap))
        return values


def ellipsoid(points: Sequence[np.ndarray], centre: Vector, radii: Vector) -> np.ndarray:
    """First-order distance to an ellipsoid with axes along x, y, z."""
    scaled = [(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    k0 = np.sqrt(sum(s**2 for s in scaled))
    k1 = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True)))
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-6)


def superellipse(x: np.ndarray, y: np.ndarray, radii: Sequence[float], power: float) -> np.ndarray:
    """Radial distance to a superellipse around the origin of the axial plane."""
    norm = (np.abs(x / radii[0]) ** power + np.abs(y / radii[1]) ** power) ** (1.0 / power)
    return np.hypot(x, y) * (1.0 - 1.0 / np.maximum(norm, 1e-3))


def smooth_union(a: np.ndarray, b: np.ndarray, width_mm: float) -> np.ndarray:
    """Polynomial smooth minimum: a union with a fillet of about `width_mm`."""
    h = np.clip(0.5 + 0.5 * (b - a) / width_mm, 0.0, 1.0)
    return b + (a - b) * h - width_mm * h * (1.0 - h)


def rotate(x: np.ndarray, y: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in axes turned by `degrees`."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return c * x + s * y, c * y - s * x


def catmull_rom(points: np.ndarray, pitch_mm: float) -> np.ndarray:
    """A smooth curve through control points [n, k] (first three columns mm, others follow), about every `pitch_mm`."""
    points = np.asarray(points, dtype=float)
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    pieces = []
    for i in range(1, len(padded) - 2):
        p0, p1, p2, p3 = padded[i - 1 : i + 3]
        count = max(2, int(np.ceil(np.linalg.norm((p2 - p1)[:3]) / pitch_mm)))
        t = np.arange(count)[:, None] / count
        pieces.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3)
        )
    return np.vstack([*pieces, points[-1:]])


def intersection(shape: Field, other: Field) -> Field:
    """What `shape` and `other` share, on the grid of `shape`; `other` continues constant beyond its own."""
    axes = shape.axes
    low, high = other.box
    clipped = tuple(np.clip(axis, a, b) for axis, a, b in zip(axes, low, high, strict=True))
    return Field(shape.origin, shape.step, np.maximum(shape.values, other.sample(clipped))).trimmed(6.0)


def sorted_box(a: Vector, b: Vector) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of the box between two corners."""
    return np.minimum(a, b), np.maximum(a, b)
