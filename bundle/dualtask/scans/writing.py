"""Names and writes masks and maps, by MONAI's SaveImaged."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from monai.config import DtypeLike, KeysCollection
from monai.data import NibabelWriter
from monai.data.folder_layout import default_name_formatter
from monai.transforms import SaveImaged, Transform

from dualtask.errors import InputError
from dualtask.nifti import save_nifti
from dualtask.scans.headers import NIFTI, NRRD


def without_suffix(path: str | os.PathLike[str]) -> str:
    """Path of a scan without the suffix of its format; the folder of a series has none, whatever dots are in its name.

    >>> without_suffix("a/scan.v2.nii.gz"), without_suffix("a/1.2.840.7")
    ('a/scan.v2', 'a/1.2.840.7')
    """
    path = os.fspath(path)
    suffixes = [suffix for suffix in NIFTI + NRRD if path.lower().endswith(suffix)]
    return path.removesuffix(path[-max(map(len, suffixes)) :]) if suffixes else path


def case_name(image: str | os.PathLike[str], scans_root: str | os.PathLike[str] = "") -> str:
    """Name of the case of a scan: its file or folder without the extension.

    Args:
        image: the scan.
        scans_root: folder that names start below, so that those of scans in different folders differ; "" leaves out
            all folders.

    >>> case_name("imagesTr/metro_004.nii.gz")
    'metro_004'
    """
    path = without_suffix(os.path.abspath(image))
    return os.path.relpath(path, scans_root) if scans_root else os.path.basename(path)


def check_names(scans: Sequence[str | os.PathLike[str]], scans_root: str | os.PathLike[str] = "") -> None:
    """Refuse scans whose results would overwrite each other.

    Args:
        scans: their files or folders.
        scans_root: see :func:`case_name`.

    Raises:
        InputError: two of them have the same name.
    """
    first: dict[str, str | os.PathLike[str]] = {}
    for scan in scans:
        name = case_name(scan, scans_root)
        if name in first:
            raise InputError(
                f"{first[name]} and {scan} would share the results of {name!r}: rename one of them, or name the folder "
                "above both as scans_root."
            )
        first[name] = scan


def saved_name(meta: Mapping[str, Any], saver: Transform) -> dict[str, Any]:
    """What SaveImaged makes the name of a result of; MONAI's own takes the last number of a UID for a suffix."""
    named = default_name_formatter(meta, saver)
    return {**named, "subject": without_suffix(named["subject"]) + NIFTI[0]}


class ScanGeometryWriter(NibabelWriter):
    """Writes a mask or map that already lies in its scan's geometry, whole or not at all; channels come last.

    MONAI's writer resamples even where there is nothing to resample, which fails for a scan whose axes are stored in
    another order than patient right, front, head, and it writes in place.

    Args:
        output_dtype: of the file.
        failures: gets what kept a file from being written, which MONAI's SaveImage takes for the wrong writer.
    """

    def __init__(self, output_dtype: DtypeLike, failures: list[Exception], **options: Any) -> None:
        super().__init__(output_dtype)
        self.failures = failures

    def set_metadata(self, meta_dict: Mapping[str, Any], resample: bool = True, **options: Any) -> None:
        self.affine = np.asarray(meta_dict["affine"])

    def write(self, filename: str, verbose: bool = False, **options: Any) -> None:
        try:
            save_nifti(filename, np.asarray(self.data_obj).astype(self.output_dtype), self.affine)
        except Exception as failure:
            self.failures.append(failure)
            raise


class SaveResultd(SaveImaged):
    """Saves masks or maps in their scan's geometry as ``<scan>_<output_postfix>.nii.gz``.

    Args:
        keys: of MetaTensors [C, X, Y, Z].
        options: of MONAI's SaveImaged.

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """

    def __init__(self, keys: KeysCollection, **options: Any) -> None:
        self.failures: list[Exception] = []
        super().__init__(
            keys,
            output_ext=".nii.gz",
            output_name_formatter=saved_name,
            resample=False,
            separate_folder=False,
            writer=partial(ScanGeometryWriter, failures=self.failures),
            **options,
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The data as they were."""
        self.failures.clear()
        try:
            return super().__call__(data)
        except RuntimeError as error:
            if self.failures:
                raise self.failures[0] from error
            raise
