"""Masks as an RT Structure Set, which planning systems read.

Written by the program plastimatch, which is packaged by Debian and others: of the Python libraries rt-utils has had no
release since January 2023 and needs a full OpenCV, and DicomRTTool does not work with pydicom 2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from monai.transforms import Transform
from monai.utils import ImageMetaKey

from dualtask.dicom_objects.segmentation import COLOURS
from dualtask.dicom_objects.transform import check_series
from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask.measurements import numbered_lesions
from dualtask.nifti import save_nifti
from dualtask.scans.dicom_series import series_slices
from dualtask.scans.writing import case_name

_PROGRAM = "plastimatch"


def check_structure_sets(scans: Sequence[str]) -> None:
    """Refuse to begin what cannot be written in the end.

    Raises:
        InputError: the program is absent, or a scan is no folder of a DICOM series.
    """
    if shutil.which(_PROGRAM) is None:
        raise InputError(f"{_PROGRAM} is not installed, which writes structure sets: apt-get install {_PROGRAM}.")
    check_series(scans)


class SaveStructureSet(Transform):
    """Writes ``<case>_rtstruct.dcm``, with contours of the whole pancreas and of each lesion in it.

    An empty mask has no contours: nothing is written for it.

    Args:
        output_dir: folder of the file.
        label_key: key of the label map, a MetaTensor [1, X, Y, Z] that knows the folder of its series.
        scans_root: see ``case_name``.

    Raises:
        RuntimeError: the program fails.
    """

    def __init__(self, output_dir: str, label_key: str = "pred", scans_root: str | os.PathLike[str] = "") -> None:
        self.folder = Path(output_dir)
        self.scans_root = scans_root
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        label = data[self.label_key]
        series = Path(label.meta[ImageMetaKey.FILENAME_OR_OBJ])
        mask = label[0].cpu().numpy()
        if not mask.any():
            return data
        numbered = numbered_lesions(mask).astype(np.uint32)
        # One bit for each structure, since lesions lie inside the organ.
        bits = (mask > 0).astype(np.uint32) | np.where(numbered > 0, np.uint32(1) << numbered, 0).astype(np.uint32)
        names = ["pancreas", *(f"lesion {number}" for number in range(1, int(numbered.max()) + 1))]
        with tempfile.TemporaryDirectory() as folder:
            written = _convert(Path(folder), bits, np.asarray(label.affine, dtype=float), names, series)
        slice_ = pydicom.dcmread(series_slices(series)[0], stop_before_pixels=True)
        # What plastimatch leaves out though DICOM requires it.
        written.FrameOfReferenceUID = slice_.FrameOfReferenceUID
        written.PositionReferenceIndicator = written.OperatorsName = ""
        write_atomically(self.folder / f"{case_name(series, self.scans_root)}_rtstruct.dcm", written.save_as)
        return data


def _convert(folder: Path, bits: np.ndarray, affine: np.ndarray, names: Sequence[str], series: Path) -> pydicom.Dataset:
    """The structure set of a mask whose n-th bit is the n-th structure; ``folder`` is for files on the way."""
    save_nifti(folder / "bits.nii.gz", bits, affine)
    lines = [f"{bit}|{' '.join(map(str, COLOURS[name.partition(' ')[0]]))}|{name}\n" for bit, name in enumerate(names)]
    (folder / "names.txt").write_text("".join(lines))
    options = {
        "--input-ss-img": folder / "bits.nii.gz",
        "--input-ss-list": folder / "names.txt",
        "--referenced-ct": series,
        "--output-dicom": folder / "out",
    }
    command = [_PROGRAM, "convert", *(str(part) for option in options.items() for part in option)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    files = sorted((folder / "out").glob("rtss*.dcm"))
    if outcome.returncode != 0 or len(files) != 1:
        raise RuntimeError(
            f"{_PROGRAM} wrote no structure set of {series}: {(outcome.stderr or outcome.stdout)[-500:]}"
        )
    dataset: pydicom.Dataset = pydicom.dcmread(files[0])
    return dataset
