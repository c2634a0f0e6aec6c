"""The diaphragm and what lies on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualtask.phantom.draft import Draft
from dualtask.phantom.fields import Field, ellipsoid, intersection, smooth_union
from dualtask.phantom.tissue import tissue


@dataclass(frozen=True)
class Diaphragm:
    """The diaphragm: height of its two domes over the axial plane, in reference mm."""

    right: float
    left: float

    def height(self, x, y):
        right = self.right - 42 * (((x + 66) / 74) ** 2 + ((y + 8) / 82) ** 2)
        left = self.left - 42 * (((x - 66) / 72) ** 2 + ((y + 6) / 80) ** 2)
        return -smooth_union(-right, -left, 12.0)


def add_chest(draft: Draft, cavity: Field, dome: Diaphragm) -> None:
    """Lung bases above the diaphragm, and the heart's lower face."""
    body, hu = draft.body, draft.hu

    def lung(x, y, z):
        slope = 1.0 + 0.9 * (((np.abs(x) - 66) / 70) ** 2 + ((y + 6) / 80) ** 2)
        above = (dome.height(x, y) + 2.0 - z) / slope
        mediastinum = 20.0 + 0.08 * np.maximum(-y, 0) - np.hypot(x - 3 + 0.1 * y, 0.8 * np.maximum(y - 8, 0))
        heart = -ellipsoid((x, y, z), (22, -38, 128), (58, 46, 50)) + 2.0
        return np.maximum(np.maximum(above, mediastinum), heart)

    def lung_paint(depth, around):
        vessels = np.clip((around.grain + 0.4 * around.mid - 1.35) / 0.5, 0.0, 1.0)
        return -850 + 25 * around.broad + 20 * around.mid + 20 * around.grain + 560 * vessels

    space = Field(cavity.origin, cavity.step, cavity.values + 1.0)
    chest = body.shape(lambda x, y, z: dome.height(x, y) - z, (-150, -105, 10), (150, 105, 135), step=4.0)
    chest = intersection(chest, space)
    draft.add(chest, tissue(-60, 8, 10, 3))
    lungs = intersection(body.shape(lung, (-150, -105, 10), (150, 105, 135), step=3.0, rough_mm=0.8), space)
    heart = body.blob((22, -38, 128), (54, 42, 46), step=3.5, rough_mm=1.5)
    draft.add(heart, tissue(hu["cava"], 5, 4, 2))
    draft.add(lungs, lung_paint)
