"""Label maps beside their scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from battery.given import SCAN, Accepted, Input, Refused, Volume, cut, nifti, read_scan
from dualtask.scans import LoadLabeld

LABEL = Volume((SCAN.voxels > 0).astype(np.uint8) + (SCAN.voxels > 100), SCAN.affine)


def read_label(path: Path) -> object:
    """Read a label map as training and evaluation do."""
    data = {"image": read_scan(path.with_name("scan.nii.gz")), "label": str(path)}
    return LoadLabeld("label", image_key="image")(data)["label"]


def _of(voxels: np.ndarray, affine: np.ndarray = LABEL.affine, name: str = "label.nii.gz") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        nifti(folder / "scan.nii.gz")
        return nifti(folder / name, voxels, affine)

    return make


def _missing(folder: Path) -> Path:
    return nifti(folder / "scan.nii.gz").with_name("label.nii.gz")


def _swapped(folder: Path) -> Path:
    """The label in the scan's place; the sentence is about that file."""
    nifti(folder / "label.nii.gz")
    return nifti(folder / "scan.nii.gz", LABEL.voxels)


def _cut(folder: Path) -> Path:
    return cut(_of(LABEL.voxels)(folder))


def _with(value: float) -> np.ndarray:
    voxels = LABEL.voxels.astype(np.float32)
    voxels[2, 2, 2] = value
    return voxels


_SAME = Accepted(LABEL)
_EMPTY = Volume(np.zeros_like(LABEL.voxels), LABEL.affine)
_SHIFT = np.eye(4, k=3) * 5
_ELSEWHERE = Refused("elsewhere in space")

LABELS = [
    Input(name, "label", make, expected, read_label, uploaded=False)
    for name, make, expected in (
        ("label missing", _missing, Refused("does not exist")),
        ("label cut off", _cut, Refused("not a readable NIfTI")),
        ("label with unknown values", _of(LABEL.voxels + 2), Refused("label values 3, 4")),
        ("label with a negative value", _of(_with(-1)), Refused("label values -1")),
        ("label with fractions", _of(LABEL.voxels * 0.5), Refused("label values 0.5")),
        ("label with a value that is not a number", _of(_with(np.nan)), Refused("label values nan")),
        ("scan in the label's place", _of(SCAN.voxels), Refused("label values")),
        ("label of a smaller grid", _of(LABEL.voxels[:-1]), Refused("8 x 8 x 7 voxels")),
        ("label in another order of axes", _of(LABEL.voxels.transpose(2, 0, 1)), Refused("7 x 9 x 8 voxels")),
        ("label 5 mm away", _of(LABEL.voxels, LABEL.affine + _SHIFT), _ELSEWHERE),
        ("label of another spacing", _of(LABEL.voxels, LABEL.affine * (1.1, 1, 1, 1)), _ELSEWHERE),
        ("label on a mirrored grid", _of(LABEL.voxels, LABEL.affine * (-1, 1, 1, 1)), _ELSEWHERE),
        ("two-dimensional label", _of(LABEL.voxels[..., 0]), Refused("flat image")),
        ("label in channels", _of(np.stack([LABEL.voxels] * 3, -1)), Refused("more than three dimensions")),
        ("empty label", _of(_EMPTY.voxels), Accepted(_EMPTY)),
        ("label of floating-point numbers", _of(LABEL.voxels.astype(np.float64)), _SAME),
        ("label with a rounded affine", _of(LABEL.voxels, LABEL.affine.round(3)), _SAME),
        ("Unicode and spaces in the label's name", _of(LABEL.voxels, name="Müller 胰腺 (3).nii.gz"), _SAME),
    )
] + [Input("label in the scan's place", "label", _swapped, Refused("no voxel below 0"), uploaded=False)]
