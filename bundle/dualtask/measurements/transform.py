"""Measures what inference found."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Transform

from dualtask.measurements.scan import measure_scan


class MeasureScan(Transform):
    """Adds ``measurements``, a :class:`~dualtask.measurements.scan.ScanMeasurements`.

    Args:
        label_key: key of the label map, a MetaTensor [1, x, y, z]: a part of the scan's grid or all of it.
        hu_key: key of the scan as it is stored, a MetaTensor [1, X, Y, Z] in HU.
    """

    def __init__(self, label_key: str = "pred", hu_key: str = "hu") -> None:
        self.label_key = label_key
        self.hu_key = hu_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        label, scan = data[self.label_key], data[self.hu_key]
        affine = np.asarray(label.affine, dtype=float)
        start = np.linalg.solve(np.asarray(scan.affine, dtype=float), affine[:, 3]).round().astype(int)[:3]
        box = tuple(slice(low, low + side) for low, side in zip(start, label.shape[1:], strict=True))
        measured = measure_scan(label[0].cpu().numpy(), scan[(0, *box)].cpu().numpy(), affine)
        return {**data, "measurements": measured}
