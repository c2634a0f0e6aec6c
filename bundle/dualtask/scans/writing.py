"""Writes masks and maps for MONAI's SaveImaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.data import NibabelWriter

from dualtask.nifti import save_nifti


class ScanGeometryWriter(NibabelWriter):
    """Writes a mask or map that already lies in its scan's geometry, whole or not at all; channels come last.

    MONAI's writer resamples even where there is nothing to resample, which fails for a scan whose axes are stored in
    another order than patient right, front, head, and it writes in place.
    """

    def set_metadata(self, meta_dict: Mapping[str, Any], resample: bool = True, **options: Any) -> None:
        self.affine = np.asarray(meta_dict["affine"])

    def write(self, filename: str, verbose: bool = False, **options: Any) -> None:
        save_nifti(filename, np.asarray(self.data_obj).astype(self.output_dtype), self.affine)
