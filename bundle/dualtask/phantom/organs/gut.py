"""Gallbladder, stomach, small bowel, colon and duodenum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualtask.phantom.draft import Draft, jitter
from dualtask.phantom.fields import Field, intersection
from dualtask.phantom.tissue import Painter, faeces, fluid_with_gas, hollow, tissue


def add_gallbladder(draft: Draft, organ: Field) -> Field | None:
    """Add the gallbladder, which makes way for the pancreas (`organ`), and return it; some patients lack one."""
    body, rng, hu = draft.body, draft.rng, draft.hu
    if rng.random() > 0.85:
        return None
    centre = np.array((-50, -46, -4)) + rng.uniform(-5, 5, 3)
    bag = body.blob(centre, (15, 24, 17), step=2.5, rough_mm=0.8).carved(organ, 2.0)
    return draft.add(bag, hollow(hu["wall"], 1.4, tissue(rng.uniform(4, 18), 0, 1, 1)))


def add_stomach(draft: Draft, organ: Field, liver: Field, spleen: Field, cavity: Field) -> Field:
    """Add the stomach, which makes way for the pancreas (`organ`), liver and spleen, and return it."""
    body, rng, hu = draft.body, draft.rng, draft.hu
    full = rng.uniform(0.68, 1.05)
    course = np.array([
        (30, 2, 76, 16), (58, 8, 68, 34 * full), (68, -22, 48, 33 * full), (58, -50, 28, 27 * full),
        (30, -64, 10, 21 * full), (2, -64, 6, 17 * full), (-24, -54, 8, 11),
    ])  # fmt: skip
    shape = body.tube(jitter(rng, course, 3.0, 0.05), step=3.0, rough_mm=1.8, rough_wavelength_mm=34.0)
    gap = rng.uniform(-0.5, 2.0)
    shape = shape.carved(organ, gap).carved(liver, 2.0).carved(spleen, 2.5)
    shape = intersection(shape, Field(cavity.origin, cavity.step, cavity.values + 3.0))
    content = rng.uniform(150, 280) if draft.oral else rng.uniform(5, 45)
    level = body.shift[1] + rng.uniform(-72, -30) * body.scale[1]
    paint = hollow(hu["wall"], rng.uniform(3.0, 5.0), fluid_with_gas(content, rng.uniform(2, 16), level))
    return draft.add(shape, paint)


def add_bowel(draft: Draft, organ: Field, solid: Sequence[Field], cavity: Field) -> None:
    """Add small bowel, colon and duodenum, which make way for the pancreas (`organ`) and for `solid`."""
    body, rng, hu = draft.body, draft.rng, draft.hu
    space = Field(cavity.origin, cavity.step, cavity.values + 2.5)

    def place(shape: Field, paint: Painter) -> Field:
        for other in solid:
            shape = shape.carved(other, 2.0)
        return draft.add(intersection(shape.carved(organ, gap), space), paint)

    def content(shape: Field) -> Painter:
        low, high = shape.box
        level = low[1] + (high[1] - low[1]) * rng.uniform(0.2, 0.5)
        roll = rng.random()
        hu_in = rng.uniform(120, 300) if draft.oral and rng.random() < 0.7 else rng.uniform(5, 55)
        return fluid_with_gas(hu_in, rng.uniform(4, 14), level if roll < 0.22 else -1e3)

    gap = rng.uniform(-0.3, 1.5)
    # Small bowel: bent capsules on a jittered lattice, each with its own content.
    loops = []
    for z in np.arange(-130, 14, 25.0):
        for x in np.arange(-90, 95, 29.0):
            for y in np.arange(-70, 5, 27.0):
                p = np.array([x, y, z]) + rng.uniform(-10, 10, 3)
                turn = rng.standard_normal((2, 3)) * (1.0, 0.7, 0.7)
                radius, present = rng.uniform(9.5, 14.0), rng.random()
                near_spine = abs(p[0] + 4) < 34 and p[1] > -26
                if present > 0.84 or near_spine or (p[0] / 112) ** 2 + (p[1] / 80) ** 2 > 1.0 or p[2] > 4 + 0.2 * p[0]:
                    continue
                ends = [p + 17 * turn[i] / np.linalg.norm(turn[i]) for i in range(2)]
                loops.append(np.array([[*ends[0], 0.85 * radius], [*p, radius], [*ends[1], 0.85 * radius]]))
    for points in loops:
        shape = body.tube(points, step=2.5, rough_mm=1.0, rough_wavelength_mm=16.0)
        place(shape, hollow(hu["wall"] + rng.uniform(-6, 12), rng.uniform(1.8, 3.2), content(shape)))

    colon = [
        [(-92, 14, -132, 24), (-96, 12, -100, 23), (-97, 6, -72, 21), (-92, -16, -54, 20)],
        [(-92, -18, -54, 19), (-70, -56, -50, 19), (-34, -72, -44, 17), (4, -74, -40, 17), (42, -68, -28, 17),
         (76, -48, -4, 18), (98, -12, 22, 18)],
        [(98, -12, 22, 17), (106, 14, 4, 16), (106, 22, -30, 15), (104, 20, -70, 15), (98, 10, -132, 16)],
    ]  # fmt: skip
    for i, course in enumerate(colon):
        points = jitter(rng, course, 3.5, 0.10)
        points[:, 3] *= rng.uniform(0.7, 1.1)
        shape = body.tube(points, step=3.0, pitch_mm=7.0, radius_noise=0.12, rough_mm=1.6, rough_wavelength_mm=22.0)
        if i == 1:
            filling = fluid_with_gas(rng.uniform(0, 40), 18, body.shift[1] + body.scale[1] * rng.uniform(-80, -55))
        else:
            filling = faeces(rng.uniform(-20, 40) + (90 if draft.oral else 0), rng.uniform(0.1, 0.7))
        place(shape, hollow(hu["wall"], rng.uniform(2.0, 3.2), filling))

    frame = [
        (-24, -56, 10, 12), (-46, -44, 9, 13), (-57, -28, -2, 12.5), (-59, -22, -24, 13), (-52, -18, -46, 12.5),
        (-26, -20, -58, 11), (2, -22, -58, 9), (30, -24, -48, 11), (38, -36, -30, 12),
    ]  # fmt: skip
    duodenum = body.tube(
        jitter(rng, frame, 1.6, 0.08), step=2.5, radius_noise=0.10, rough_mm=0.8, rough_wavelength_mm=18.0
    )
    level = body.shift[1] + body.scale[1] * rng.uniform(-62, -42)
    fluid = rng.uniform(120, 250) if draft.oral else rng.uniform(8, 60)
    gap = -0.5  # the head lies in the duodenum's curve without a fat plane
    place(duodenum, hollow(hu["wall"] + 8, rng.uniform(2.4, 4.0), fluid_with_gas(fluid, 12, level)))
