"""Reads scans: MONAI's readers behind the checks."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from isal import igzip
from monai.config import PathLike
from monai.data import ImageReader, MetaTensor, NibabelReader, NrrdReader
from monai.data.utils import correct_nifti_header_if_necessary
from monai.transforms import LoadImage, MapTransform
from monai.utils import ensure_tuple

from dualtask.memory_order import in_memory_order
from dualtask.scans.damage import refusing_damage
from dualtask.scans.dicom_series import SeriesReader
from dualtask.scans.headers import NRRD, check_scan
from dualtask.scans.voxels import check_ct_values


def _reader(path: Path) -> ImageReader:
    if path.is_dir():
        return SeriesReader()
    if path.name.lower().endswith(NRRD):
        return NrrdReader()
    return _NiftiReader(squeeze_non_spatial_dims=True)


class _NiftiReader(NibabelReader):
    """MONAI's reader, for compressed files that are unpacked once and to their end, where their checksum is.

    nibabel stops at the last voxel and never compares the checksum, and unpacks piece by piece. ISA-L unpacks in half
    the time of zlib. Voxels come as float32 in the order of a tensor.
    """

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> nib.Nifti1Image:
        self.filenames = ensure_tuple(data)
        path = Path(self.filenames[0])
        if path.suffix.lower() != ".gz":
            return super().read(path, **kwargs)
        content = igzip.decompress(path.read_bytes())
        kind = nib.Nifti2Image if nib.Nifti2Header.may_contain_header(content) else nib.Nifti1Image
        return correct_nifti_header_if_necessary(kind.from_bytes(content))

    def get_data(self, img: nib.Nifti1Image) -> tuple[np.ndarray, dict[str, Any]]:
        voxels, meta = super().get_data(img)
        return in_memory_order(voxels, "C", np.float32), meta


def read_volume(path: str | os.PathLike[str]) -> MetaTensor:
    """Read one volume.

    Args:
        path: a NIfTI or NRRD file, or the folder of one DICOM series.

    Returns:
        float32 [1, X, Y, Z] in stored order with the affine voxel -> mm (RAS+).

    Raises:
        InputError: the header is refused (see ``check_scan``) or the voxels cannot be read.
    """
    check_scan(path)
    # A trailing slash would leave results without a name.
    path = Path(os.path.abspath(path))
    with refusing_damage(path, "cannot be read to its end, it is damaged"):
        # A reader given with the call is the only one: a reader of the constructor falls back on others, which may
        # take a damaged file.
        volume = LoadImage(ensure_channel_first=True, dtype=torch.float32)(str(path), reader=_reader(path))
    # MONAI's readers state the shape of the file, which may have further axes or another order.
    volume.meta["spatial_shape"] = tuple(volume.shape[1:])
    return volume


class LoadScand(MapTransform):
    """Replaces the path of a CT scan by its voxels in HU, float32 [1, X, Y, Z], see :func:`read_volume`.

    Raises:
        InputError: the file or its values are refused.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            path = result[key]
            result[key] = read_volume(path)
            check_ct_values(result[key], path)
        return result
