"""Skin, subcutaneous fat, muscle wall, and the cavity with its fat."""

from __future__ import annotations

import numpy as np

from dualtask.phantom.draft import Draft
from dualtask.phantom.fields import Field, superellipse

_WHOLE = ((-215, -160, -135), (215, 175, 135))


_MUSCLE_RADII = (143.0, 98.0)


def add_wall(draft: Draft, fat_mm: float) -> tuple[Field, Field]:
    """Skin, subcutaneous fat, muscle wall and the cavity with its fat; returns the skin and the cavity."""
    body, rng, hu = draft.body, draft.rng, draft.hu
    side, back, front = fat_mm * rng.uniform(0.8, 1.1), fat_mm * rng.uniform(0.8, 1.2), fat_mm * rng.uniform(0.6, 1.0)
    power, waist = rng.uniform(2.15, 2.45), rng.uniform(-0.03, 0.05)

    def muscle(x, y, z):
        narrow = 1.0 - waist * np.cos(z / 60.0)
        furrow = 7.0 * np.exp(-((x / 16.0) ** 2)) * (y > 0) * (y / 90.0) ** 2
        return superellipse(x / narrow, y / narrow, _MUSCLE_RADII, power) + furrow

    def skin(x, y, z):
        centre = 0.5 * (back - front)
        narrow = 1.0 - 0.6 * waist * np.cos(z / 60.0)
        radii = (_MUSCLE_RADII[0] + side, _MUSCLE_RADII[1] + 0.5 * (back + front))
        furrow = 5.0 * np.exp(-((x / 14.0) ** 2)) * (y > 0) * (y / 90.0) ** 2
        return superellipse(x / narrow, (y - centre) / narrow, radii, power) + furrow

    outside = body.shape(skin, *_WHOLE, step=5.0, rough_mm=1.5, rough_wavelength_mm=110.0)
    muscles = body.shape(muscle, *_WHOLE, step=4.0, rough_mm=1.2, rough_wavelength_mm=70.0)
    thickness = rng.uniform(9.0, 13.0)
    cavity = Field(muscles.origin, muscles.step, muscles.values + thickness)

    def skin_paint(depth, around):
        shell = np.clip((depth + 2.0) / 1.5, 0.0, 1.0)
        septa = np.clip(1.0 - np.abs(around.mid + 0.5 * around.broad) / 0.10, 0.0, 1.0)
        return (-106 + 4 * around.broad + 3 * around.grain + 26 * septa) * (1 - shell) + 10 * shell

    def muscle_paint(depth, around):
        layer = np.abs(((-depth / thickness) * 3.0) % 1.0 - 0.5)
        streak = np.clip((layer - 0.36) / 0.14, 0.0, 1.0) * (np.abs(around.x) > 55) * (around.y < 55)
        marbling = np.clip((around.grain + 0.5 * around.mid - 1.5), 0.0, 1.0)
        midline = np.clip(1.8 - np.abs(around.x - body.shift[0]) / 1.6, 0.0, 1.0) * (around.y < 0)
        return hu["muscle"] + 3 * around.mid + 3 * around.grain - 70 * streak - 45 * marbling - 90 * midline

    strands = rng.uniform(0.06, 0.13)

    def fat_paint(depth, around):
        sheet = np.clip(1.0 - np.abs(around.mid + 0.7 * around.broad) / strands, 0.0, 1.0)
        dots = np.clip((around.grain - 1.7) / 0.5, 0.0, 1.0)
        lining = np.clip((depth + 2.0) / 1.5, 0.0, 1.0)
        fat = -104 + 5 * around.broad + 4 * around.mid + 3 * around.grain + 34 * sheet + 60 * dots
        return fat * (1 - 0.8 * lining) + 0.8 * lining * 40

    draft.add(outside, skin_paint)
    draft.add(muscles, muscle_paint)
    draft.add(cavity, fat_paint)
    return outside, cavity
