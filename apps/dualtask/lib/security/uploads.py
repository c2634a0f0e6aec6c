"""Uploaded files: nothing is kept or opened by a task that is not a readable scan, or weights that fit."""

from __future__ import annotations

import copy
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import nrrd
import pydicom
import torch
from starlette.datastructures import UploadFile
from torch import nn

from dualtask.errors import InputError
from dualtask.networks import load_weights
from dualtask.scans.dicom_series import series_slices
from dualtask.scans.headers import check_scan
from dualtask.scans.reading import read_volume
from lib.security.names import check_study, scan_suffix
from lib.segments import check_values

_MOST_VOXELS = 2**29
"""512 x 512 x 2048 voxels, 2 GiB once they are read."""

_LONGEST_VOXEL = 8
"""Bytes of the widest voxel type."""

_MOST_FILES = 4096
"""Slices of one series."""


def check_uploaded_scan(upload: UploadFile) -> torch.Tensor:
    """Voxels [1, X, Y, Z] of an upload that is one scan or label, readable to its end.

    Raises:
        InputError: says what is wrong with the file and what to do.
    """
    name = _base_name(upload)
    scan_suffix(name)
    with tempfile.TemporaryDirectory() as folder:
        return _check_readable(_save(upload, Path(folder) / name))


def check_uploaded_label(upload: UploadFile, segments: Any) -> None:
    """Check that an upload is one label of our structures.

    Args:
        upload: the file.
        segments: what the viewer says of its values, see :func:`lib.segments.as_structures`.

    Raises:
        InputError: says what is wrong with the file and what to do.
    """
    check_values(check_uploaded_scan(upload), segments)


def check_uploaded_files(uploads: Sequence[UploadFile]) -> None:
    """Check that uploads are one scan, or the slices of one DICOM series.

    Raises:
        InputError: says what is wrong with the files and what to do.
    """
    if len(uploads) == 1:
        check_uploaded_scan(uploads[0])
        return
    if len(uploads) > _MOST_FILES:
        raise InputError(f"There are {len(uploads)} files: upload one scan, or the slices of one series.")
    with tempfile.TemporaryDirectory() as folder:
        for upload in uploads:
            _save(upload, Path(folder) / _base_name(upload))
        # The folder's own name would say nothing to the one who sent the files.
        series = Path(folder).rename(Path(folder).with_name(Path(folder).name + "-uploaded series"))
        try:
            _check_readable(series)
        finally:
            series.rename(folder)


def check_uploaded_weights(upload: UploadFile, network: nn.Module) -> None:
    """Check that an upload holds weights of this network and nothing that would be run while loading.

    Raises:
        InputError: it does not.
    """
    name = _base_name(upload)
    if not name.endswith(".pt"):
        raise InputError(f"{name} is not a file of weights: upload the .pt file that a training wrote.")
    with tempfile.TemporaryDirectory() as folder:
        load_weights(copy.deepcopy(network), str(_save(upload, Path(folder) / name)))


def _check_readable(path: Path) -> torch.Tensor:
    """Voxels of a file, or of the folder of a series, read to its end."""
    try:
        check_scan(path)
        _check_size(path)
        return read_volume(path)
    except InputError:
        raise
    except Exception as error:  # whatever the readers raise on a file that was made to break them
        raise InputError(f"{path} is not a readable scan: export it again.") from error


def _base_name(upload: UploadFile) -> str:
    """The last part of the name that a client gave, which may be the whole path on its machine."""
    name = (upload.filename or "").replace("\\", "/").rpartition("/")[2]
    check_study(name)
    return name


def _save(upload: UploadFile, path: Path) -> Path:
    upload.file.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)
    upload.file.seek(0)
    return path


def _check_size(path: Path) -> None:
    """Refuse a scan whose voxels would fill the memory."""
    if path.is_dir():
        headers = [pydicom.dcmread(slice_, stop_before_pixels=True) for slice_ in series_slices(path)]
        _check_voxels(path, (len(headers), headers[0].Rows, headers[0].Columns))
        return
    if not path.name.lower().endswith(".nrrd"):
        _check_voxels(path, nib.load(path).shape)
        return
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        _check_voxels(path, tuple(header["sizes"]))
        if header["encoding"] in ("gz", "gzip"):
            _check_unpacked(path, file)
        elif header["encoding"] != "raw":
            raise InputError(f"{path} is encoded as {header['encoding']}: save it as raw or gzip.")


def _check_voxels(path: Path, shape: Sequence[int]) -> None:
    voxels = 1
    for side in shape:
        voxels *= int(side)
    if voxels > _MOST_VOXELS:
        raise InputError(f"{path} states {voxels} voxels, more than {_MOST_VOXELS}: give the part with the abdomen.")


def _check_unpacked(path: Path, file: IO[bytes]) -> None:
    """Refuse compressed voxels that unpack to more than any scan, which pynrrd would unpack whole."""
    unpack, size = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    try:
        while block := unpack.unconsumed_tail or file.read(1 << 20):
            size += len(unpack.decompress(block, 1 << 24))
            if size > _MOST_VOXELS * _LONGEST_VOXEL:
                raise InputError(f"{path} unpacks to more than any scan holds: save it again.")
    except zlib.error as error:
        raise InputError(f"{path} cannot be unpacked, it is damaged: copy or export it again.") from error
