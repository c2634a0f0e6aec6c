"""Arteries and veins outside the liver."""

from __future__ import annotations

import numpy as np

from dualtask.phantom.draft import Draft, jitter
from dualtask.phantom.organs.pancreas import Pancreas
from dualtask.phantom.tissue import vessel


def add_vessels(draft: Draft, organ: Pancreas) -> None:
    """Add the large vessels, and those that run along the pancreas."""
    body, rng, hu = draft.body, draft.rng, draft.hu

    def draw(points, value, mm=1.0, radius=0.05, **options):
        shape = body.tube(jitter(rng, points, mm, radius), **options)
        draft.add(shape, vessel(value))

    aorta = [(12, 2, 140, 12), (10, -2, 70, 11.5), (8, -5, 20, 10.5), (6, -5, -50, 9), (5, -6, -84, 9)]
    draw(aorta, hu["aorta"], 1.0, 0.06)
    for side in (-1, 1):
        draw([(5 + side * 3, -6, -84, 6.5), (5 + side * 16, -2, -105, 6), (side * 36, 8, -140, 6)], hu["aorta"])
        draw([(-18 + side * 2, 2, -92, 7), (-8 + side * 20, 8, -112, 7), (side * 38, 16, -140, 7)], hu["cava"])
    cava = [(-18, 0, -92, 10.5), (-20, -2, -40, 11), (-22, -4, 10, 12), (-24, -6, 60, 12.5), (-22, -8, 100, 12)]
    draw(cava, hu["cava"], 1.2, 0.08, flatten=(0.9, 1.15, 1.0))
    draw([(46, 22, -4, 4), (22, -15, -4, 4.5), (6, -19, -6, 4), (-14, -10, -10, 4.5)], hu["cava"], 0.8)
    draw(
        [(8, -14, 8, 3.6), (6, -26, 0, 3.6), (2, -33, -16, 3.4), (0, -38, -60, 3.0), (-4, -42, -110, 2.2)],
        hu["aorta"],
        0.8,
    )
    draw(
        [(8, -14, 20, 3.6), (7, -26, 24, 3.2), (-8, -34, 22, 2.6), (-28, -32, 26, 2.4), (-40, -26, 34, 2)],
        hu["aorta"],
        1.0,
        step=1.8,
    )
    draw([(-10, -50, -112, 3.5), (-10, -44, -70, 5.5), (-10, -37, -30, 6.2), (-9, -35, -4, 7.0)], hu["portal"], 0.8)
    draw([(-9, -35, -4, 7.0), (-18, -30, 10, 7.2), (-32, -26, 28, 6.8), (-44, -24, 36, 5.5)], hu["portal"], 0.8)
    # The splenic vein runs along the back of the body and tail, the artery winds along its upper edge.
    curve = organ.course
    tail = curve[int(0.42 * len(curve)) :: 2].copy()
    vein = tail.copy()
    vein[:, 1] += 0.95 * tail[:, 3] + 1.0
    vein[:, 2] -= 1.0
    vein[:, 3] = np.linspace(4.6, 3.4, len(vein))
    hilum = [tail[-1, 0] + 8, tail[-1, 1] + 10, tail[-1, 2] + 4, 2.6]
    draw(np.vstack([[(-7, -34, -1, 4.8)], vein, [hilum]]), hu["portal"], 0.5, step=1.8)
    artery = tail.copy()
    artery[:, 1] += 0.5 * tail[:, 3] + 3.0 * np.sin(np.arange(len(tail)) * 1.7)
    artery[:, 2] += tail[:, 3] + 1.5 + 2.5 * np.cos(np.arange(len(tail)) * 1.3)
    artery[:, 3] = np.linspace(2.6, 2.0, len(artery))
    draw(np.vstack([[(7, -26, 24, 2.8)], artery, [hilum]]), hu["aorta"], 0.5, step=1.6)
    for _ in range(14):  # mesenteric branches, fanning out in front of the spine
        root = np.array([-4 + rng.uniform(-6, 6), -40.0, rng.uniform(-80, -20)])
        end = root + rng.uniform((-60, -34, -35), (60, 8, 5))
        draw([(*root, 2.4), (*(0.5 * (root + end) + rng.uniform(-6, 6, 3)), 1.9), (*end, 1.3)],
             0.8 * hu["portal"], 1.0, step=1.8)  # fmt: skip
