"""Kidneys with their capsules, veins and adrenal glands."""

from __future__ import annotations

import numpy as np

from dualtask.phantom.draft import Draft, jitter
from dualtask.phantom.fields import Field, ellipsoid, rotate, smooth_union, sorted_box
from dualtask.phantom.tissue import tissue, vessel


def add_kidneys(draft: Draft, organ: Field) -> list[Field]:
    """Add both kidneys, left first, which make way for the pancreas (`organ`), and return them."""
    body, rng, hu = draft.body, draft.rng, draft.hu
    found = []
    for side, low in ((1, rng.uniform(-6, 8)), (-1, rng.uniform(-22, -8))):
        x0, y0 = side * rng.uniform(65, 71), rng.uniform(40, 46)
        size = rng.uniform(0.92, 1.08)

        def kidney(x, y, z, s=side, x0=x0, y0=y0, low=low, size=size):
            u, v = rotate((x - x0) * s + 0.16 * (z - low), y - y0 + 0.12 * (z - low), -28)
            bean = ellipsoid((u, v, z - low), (0, 0, 0), (26 * size, 29 * size, 54 * size))
            hilum = -ellipsoid((u, v, z - low), (-25, 0, 0), (13, 9, 17))
            return -smooth_union(-bean, -hilum, 5.0)

        corner = sorted_box((x0 - 48, y0 - 48, low - 66), (x0 + 48, y0 + 48, low + 66))
        shape = body.shape(kidney, *corner, step=2.5, rough_mm=1.0, rough_wavelength_mm=26.0).carved(organ, 2.5)
        capsule = Field(shape.origin, shape.step, shape.values - rng.uniform(3, 5))
        draft.add(capsule, tissue(-104, 4, 4, 3), edge_mm=2.0)

        def renal(depth, around, split=hu["cortex"] - hu["medulla"]):
            inner = np.clip((-depth - 6.0) / 2.0, 0.0, 1.0)
            pyramid = np.clip((around.mid + 0.3) / 0.5 + 0.5, 0.0, 1.0)
            return hu["cortex"] - split * inner * pyramid + 3 * around.grain

        draft.add(shape, renal)

        def sinus(x, y, z, s=side, x0=x0, y0=y0, low=low):
            u, v = rotate((x - x0) * s + 0.16 * (z - low), y - y0 + 0.12 * (z - low), -28)
            return ellipsoid((u, v, z - low), (-10, 0, 0), (15, 8, 24))

        def fatty(depth, around):
            urine = np.clip((around.mid * 1.2 + around.grain * 0.4 - 0.2) / 0.4, 0.0, 1.0)
            return -70 * (1 - urine) + hu["calyx"] * urine

        draft.add(body.shape(sinus, *corner, step=2.0, rough_mm=1.8, rough_wavelength_mm=12.0), fatty, edge_mm=1.5)
        vein = [(side * 16, -10, -6, 5), (side * 32, 6, low - 2, 4.5), (x0 - side * 18, y0 - 12, low, 4)]
        draft.add(body.tube(jitter(rng, vein, 1.0)), vessel(hu["cava"] * 0.6 + hu["cortex"] * 0.4))
        found.append(shape)
        gland = [(side * 26, 10, 30, 2.4), (side * 30, 14, 34, 3.0), (side * 38, 24, 36, 2.0)]
        other = [(side * 30, 14, 34, 2.6), (side * 28, 25, 34, 1.8)]
        for limb in (gland, other):
            draft.add(body.tube(jitter(rng, limb, 1.0), step=1.6, flatten=(1, 1, 0.5)), tissue(hu["muscle"] + 10))
    return found
