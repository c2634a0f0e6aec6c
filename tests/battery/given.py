"""What a trial of the battery is: an input, how the product takes it, and what is to come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from dualtask.scans import LoadScand


@dataclass(frozen=True)
class Volume:
    """Voxels [X, Y, Z] and where they lie, affine [4, 4] voxel -> mm (RAS+)."""

    voxels: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True)
class Accepted:
    """The product is to read this volume: these values at these places, in whatever order they are stored."""

    volume: Volume


@dataclass(frozen=True)
class Refused:
    """The product is to say one sentence with these words, the name of the file and a remedy."""

    words: str


def read_scan(path: Path) -> object:
    """Read a scan as training, inference and the app do."""
    return LoadScand("image")({"image": str(path)})["image"]


@dataclass(frozen=True)
class Input:
    """One row of the battery.

    Attributes:
        name: what is damaged or odd, for readers.
        kind: heading in the table.
        make: writes the input to an empty folder and returns its path.
        expected: what is to come of it.
        use: takes the path as the product does; returns the volume that was read.
        uploaded: whether it is tried at the app's upload as well, which keeps readable files only.
    """

    name: str
    kind: str
    make: Callable[[Path], Path]
    expected: Accepted | Refused
    use: Callable[[Path], object] = read_scan
    uploaded: bool = True


def _oblique() -> np.ndarray:
    """Rotated by 10 degrees about the body's long axis, voxels of 0.7 x 0.8 x 2.5 mm."""
    cosine, sine = np.cos(np.radians(10)), np.sin(np.radians(10))
    affine = np.array([[cosine, -sine, 0, 12], [sine, cosine, 0, -34], [0, 0, 1, 56], [0, 0, 0, 1]])
    return affine @ np.diag([0.7, 0.8, 2.5, 1])


SCAN = Volume((np.arange(9 * 8 * 7).reshape(9, 8, 7) - 200).astype(np.int16), _oblique())
"""Synthetic: every voxel has another value, so that one out of its place is seen."""


def nifti(path: Path, voxels: np.ndarray = SCAN.voxels, affine: np.ndarray = SCAN.affine) -> Path:
    """Write a NIfTI-1 file."""
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def with_bytes(path: Path, content: bytes) -> Path:
    """Write a file of any content."""
    path.write_bytes(content)
    return path


def cut(path: Path, lost: int = 20) -> Path:
    """Take the last bytes off a file."""
    return with_bytes(path, path.read_bytes()[:-lost])
