"""Muscles of the back, spine, ribs and iliac crests."""

from __future__ import annotations

import numpy as np

from dualtask.phantom.draft import Draft, jitter
from dualtask.phantom.fields import sorted_box, superellipse
from dualtask.phantom.tissue import tissue


def add_skeleton_and_back(draft: Draft) -> None:
    """Muscles of the back, psoas, spine and ribs."""
    body, rng, hu = draft.body, draft.rng, draft.hu

    def fleshy(depth, around):
        marbling = np.clip((around.grain + around.mid - 1.6), 0.0, 1.0)
        return hu["muscle"] + 3 * around.mid + 3 * around.grain - 60 * marbling

    size = rng.uniform(0.85, 1.15)
    for side in (-1, 1):
        low, high = sorted((side * 2, side * 78))
        draft.add(
            body.shape(
                lambda x, y, z, s=side: superellipse(x - s * 36, y - 72, (31, 21), 2.4),
                (low, 44, -135), (high, 102, 135), step=3.0, rough_mm=0.8,
            ),
            fleshy,
        )  # fmt: skip
        psoas = [
            (side * 26, 24, 8, 5),
            (side * 32, 30, -25, 14 * size),
            (side * 39, 29, -70, 18 * size),
            (side * 54, 16, -135, 24 * size),
        ]
        draft.add(body.tube(jitter(rng, psoas, 1.5, 0.05), rough_mm=0.6, step=3.0), fleshy)
        lumborum = [(side * 58, 50, 12, 5), (side * 66, 54, -40, 10), (side * 74, 54, -95, 13)]
        draft.add(body.tube(jitter(rng, lumborum, 1.5), flatten=(0.75, 1.15, 1.0), step=3.0), fleshy)
        crus = [(side * 16, 4, -20, 3), (side * 17, 2, 20, 4.5), (side * 22, -4, 55, 4), (side * 40, -10, 85, 3)]
        draft.add(body.tube(jitter(rng, crus, 1.0)), tissue(hu["muscle"]))

    period, phase = rng.uniform(33, 37), rng.uniform(0, 35)
    disc = 0.24

    def level(z):
        """Position within a vertebra: 0 in the middle of the body, +-0.5 in the middle of the disc."""
        return (z + phase) / period - np.round((z + phase) / period)

    def arch_y(z):
        return 27.0 + 5.0 * np.cos((z + 20) / 75.0)

    def vertebra(x, y, z):
        waist = 1.0 - 0.10 * np.cos(2 * np.pi * level(z))
        dent = 5.0 * np.exp(-((x / 9.0) ** 2)) * (y > arch_y(z))
        return superellipse(x / waist, (y - arch_y(z)) / waist, (23.5, 17.5), 2.2) + dent

    def bone_paint(depth, around):
        z = np.asarray(around.z / body.scale[2])
        between = np.clip((np.abs(level(z)) - (0.5 - disc / 2)) / 0.02 + 0.5, 0, 1)
        plate = np.exp(-(((np.abs(level(z)) - (0.5 - disc / 2) + 0.03) / 0.035) ** 2))
        shell = np.exp(-(((depth + 1.2) / 1.4) ** 2))
        bone = hu["marrow"] + 14 * around.mid + 22 * around.grain + 260 * np.maximum(shell, plate)
        return bone * (1 - between) + (88 + 5 * around.mid) * between

    draft.add(body.shape(vertebra, (-34, 0, -135), (34, 58, 135), step=2.5, rough_mm=0.5), bone_paint)

    def cortical(depth, around):
        shell = np.exp(-(((depth + 0.8) / 1.6) ** 2))
        return hu["marrow"] + 40 + 20 * around.grain + 330 * shell

    def arch(x, y, z):
        v, yy = level(z), y - arch_y(z)
        ring = np.abs(np.hypot(x / 1.15, yy - 26.0) - 13.5) - 3.2
        spine = np.maximum(np.maximum(np.abs(x) - 2.6, np.abs(yy - 50.0) - 12.0), np.abs(v + 0.25) * period - 10)
        wings = np.maximum(np.hypot((yy - 24 - 0.12 * np.abs(x)) * 1.0, (v - 0.08) * period) - 4.2, np.abs(x) - 44)
        facets = (
            np.hypot(np.hypot(np.abs(x) - 17, yy - 31), np.maximum(np.abs((np.abs(v) - 0.5) * period) - 6, 0)) - 7.0
        )
        gap = 6.0 * (np.abs(v + 0.08) - 0.36)  # the arch is open between two vertebrae
        return np.minimum(np.minimum(np.maximum(ring, gap), spine), np.minimum(wings, facets))

    draft.add(
        body.shape(arch, (-52, 36, -135), (52, 100, 135), step=2.0, rough_mm=0.4, rough_wavelength_mm=14), cortical
    )

    def canal(x, y, z):
        return superellipse(x, y - arch_y(z) - 26.0, (11.5, 9.0), 2.0)

    draft.add(body.shape(canal, (-20, 36, -135), (20, 78, 135), step=2.5), tissue(28, 1, 3, 2))

    for side in (-1, 1):
        for i in range(7):
            top = 158 - 32 * i + rng.uniform(-3, 3)
            sweep = (2.45, 2.45, 2.3, 2.0, 1.55, 1.1, 0.8)[i]
            angle = np.linspace(0.32, sweep, 9)
            drop = 42 * (1 - np.cos(np.minimum(angle * 1.1, np.pi))) * 0.9
            points = np.stack(
                [side * 138 * np.sin(angle), 93 * np.cos(angle), top - drop, np.linspace(5.2, 4.2, len(angle))], axis=1
            )
            if points[:, 2].min() < 130:
                draft.add(body.tube(points, step=2.5, pitch_mm=9.0, flatten=(1.1, 1.1, 0.8)), cortical)

        def crest(x, y, z, s=side):
            plate = np.abs(superellipse(x, y - 4, (122, 74), 2.2)) - 4.0
            rim = 0.6 * (z + 92 + ((y - 26) / 8.0) ** 2)
            return np.maximum(np.maximum(plate, rim), 58 - s * x)

        corner = sorted_box((side * 50, -60, -135), (side * 140, 92, -75))
        draft.add(body.shape(crest, *corner, step=2.5, rough_mm=0.6), cortical)
