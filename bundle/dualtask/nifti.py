"""Writes NIfTI files that are either whole or absent."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np

from dualtask.files import write_atomically
from dualtask.memory_order import in_memory_order


def save_nifti(path: str | os.PathLike[str], voxels: np.ndarray, affine: np.ndarray, description: str = "") -> None:
    """Save a volume with its affine as scanner geometry.

    Args:
        path: .nii or .nii.gz.
        voxels: [X, Y, Z], or [X, Y, Z, C] for maps with channels; the file keeps their dtype.
        affine: [4, 4] voxel -> mm, RAS+.
        description: at most 79 characters for the header.
    """
    image = nib.Nifti1Image(in_memory_order(voxels, "F"), affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    write_atomically(path, lambda temporary: nib.save(image, temporary))
