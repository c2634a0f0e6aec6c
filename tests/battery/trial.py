"""Tries an input as the product takes it, and compares what came of it with what was to come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from starlette.datastructures import UploadFile

from battery.beside import BESIDE
from battery.dicom import DICOM
from battery.given import Input, Refused, Volume
from battery.labels import LABELS
from battery.nifti import NIFTI
from battery.nrrd_files import NRRD
from dualtask.errors import InputError, find_input_error
from lib.security.uploads import check_uploaded_files

INPUTS = [*NIFTI, *NRRD, *DICOM, *LABELS, *BESIDE]

_REMEDIES = {"give", "copy", "export", "check", "put", "remove", "write", "add", "map", "use", "train", "free", "save"}
"""With one of these begins what comes after the last colon of a sentence."""


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    Attributes:
        sentence: of the refusal; "" for what was accepted.
        upload: "kept", "refused", or "" where it is not uploaded.
        faults: in what the product did other than expected; empty if it did right.
    """

    sentence: str
    upload: str
    faults: tuple[str, ...]


def try_input(given: Input, folder: Path) -> Outcome:
    """Make an input in an empty folder and use it.

    Raises:
        Nothing that the product raises: that is a fault of the outcome.
    """
    path = given.make(folder)
    before = _files(folder)
    sentence, faults = "", []
    try:
        result = given.use(path)
    except Exception as error:
        refusal = find_input_error(error)
        sentence = str(refusal or "")
        faults += _faults_of_refusal(given, path, refusal) if refusal else [f"{type(error).__name__}: {error}"]
    else:
        faults += _faults_of_volume(given, result)
    if _files(folder) != before:
        faults.append("files were written")
    upload = ""
    if given.uploaded and path.is_file():
        upload = _upload(path, faults)
        if upload == "refused" and not sentence:
            faults.append("refused at the upload")
    return Outcome(sentence.replace(f"{folder}/", "").replace(str(folder), path.name), upload, tuple(faults))


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def _faults_of_refusal(given: Input, path: Path, refusal: InputError) -> list[str]:
    sentence, faults = str(refusal), []
    if not isinstance(given.expected, Refused):
        return [f"refused: {sentence}"]
    if given.expected.words not in sentence:
        faults.append(f"lacks the words {given.expected.words!r}: {sentence}")
    if path.name not in sentence:
        faults.append(f"does not name the file: {sentence}")
    if "\n" in sentence or not sentence.endswith("."):
        faults.append(f"is not one sentence: {sentence}")
    if sentence.rpartition(": ")[2].split()[0] not in _REMEDIES:
        faults.append(f"names no remedy: {sentence}")
    return faults


def _faults_of_volume(given: Input, result: object) -> list[str]:
    if isinstance(given.expected, Refused):
        return ["accepted"]
    wanted = _canonical(given.expected.volume)
    read = _canonical(Volume(np.asarray(result[0]), np.asarray(result.affine)))
    faults = []
    if not np.array_equal(read.voxels, wanted.voxels):
        faults.append("other voxels than expected")
    if not np.allclose(read.affine, wanted.affine, atol=1e-3):
        faults.append("elsewhere in space than expected")
    return faults


def _canonical(volume: Volume) -> Volume:
    """Axes in the order and direction right, front, head, so that only values and places are compared."""
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.voxels.astype(np.float32), volume.affine))
    return Volume(image.get_fdata(), image.affine)


def _upload(path: Path, faults: list[str]) -> str:
    with path.open("rb") as file:
        try:
            check_uploaded_files([UploadFile(file, filename=path.name)])
        except InputError:
            return "refused"
        except Exception as error:
            faults.append(f"at the upload {type(error).__name__}: {error}")
    return "kept"
