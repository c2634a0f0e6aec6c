"""Parts of MSD's scans, put together from two public repositories: pictures of slices, and whole label maps."""

from __future__ import annotations

import io
import re
import subprocess
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from dualtask.errors import InputError
from dualtask.nifti import save_nifti

UNKNOWN_HU = -1024
"""Stands for voxels of which there is no picture."""

HU_RANGE = (-150, 250)
"""What black and white of a picture mean."""

_MARGIN = 2
"""Voxels of background that are kept around a label."""

_PICTURE = re.compile(r"datasets/TC/slices/pancreas_(\d{3})_slice_(\d+)\.png")
_LABEL = re.compile(r"organ_pseudo_swin_new/pancreas/pancreas_(\d{3})\.nii\.gz")


class PartialScan(NamedTuple):
    """The part of a scan where its label is: int16 [x, y, z] in HU, uint8 [x, y, z], affine, slices that are known."""

    hu: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    slices: int


def assemble_msd_slices(images: Path, labels: Path, output: Path, without: Collection[str] = ()) -> dict[str, int]:
    """Write ``pancreas_NNN_ct.nii.gz`` and ``pancreas_NNN_label.nii.gz`` of every patient that both repositories have.

    Args:
        images: git directory of elianastasio/MiniGPT-Pancreas, whose pictures show axial slices cut to the label's box.
        labels: git directory of MrGiovanni/TextoMorph, which has label maps of the challenge in whole.
        output: folder, made if absent.
        without: numbers of patients to leave out, such as those who are to stay unseen.

    Returns:
        patient -> known slices.

    Raises:
        InputError: a directory is no git repository, or the two have no patient in common.
    """
    pictures: dict[str, dict[int, str]] = defaultdict(dict)
    for path in _paths(images):
        if match := _PICTURE.fullmatch(path):
            pictures[match[1]][int(match[2])] = path
    maps = {match[1]: path for path in _paths(labels) if (match := _LABEL.fullmatch(path))}
    patients = sorted((pictures.keys() & maps.keys()) - set(without))
    if not patients:
        raise InputError(f"{images} and {labels} have no patient in common: give the repositories in this order.")
    output.mkdir(parents=True, exist_ok=True)
    known = {}
    for patient in tqdm(patients, unit="patient"):
        label = nib.Nifti1Image.from_bytes(igzip.decompress(_content(labels, maps[patient])))
        shown = {place: _grey(_content(images, path)) for place, path in pictures[patient].items()}
        scan = partial_scan(np.asanyarray(label.dataobj).astype(np.uint8), label.affine, shown)
        if scan.slices:
            for name, voxels in (("ct", scan.hu), ("label", scan.label)):
                save_nifti(output / f"pancreas_{patient}_{name}.nii.gz", voxels, scan.affine)
            known[patient] = scan.slices
    return known


def partial_scan(label: np.ndarray, affine: np.ndarray, shown: dict[int, np.ndarray]) -> PartialScan:
    """Put pictures of slices in their places.

    A picture shows the box of the label in its slice without the box's first column and row, turned by half a turn. One
    of another size cannot be placed and is left out.

    Args:
        label: [X, Y, Z], the whole scan's.
        affine: [4, 4], voxel -> mm.
        shown: slice -> grey values uint8 [rows, columns].
    """
    (tight,) = ndimage.find_objects((label > 0).astype(np.uint8))
    box = tuple(slice(max(side.start - _MARGIN, 0), side.stop + _MARGIN) for side in tight)
    hu = np.full(label.shape, UNKNOWN_HU, np.int16)
    slices = 0
    for place, grey in shown.items():
        sides = ndimage.find_objects((label[..., place] > 0).astype(np.uint8))
        if not sides:
            continue
        inner = tuple(slice(side.start + 1, side.stop) for side in sides[0])
        part = hu[..., place][inner]
        if part.shape == grey.T.shape:
            low, high = HU_RANGE
            part[:] = np.round(low + (high - low) / 255 * grey[::-1, ::-1].T.astype(np.float32))
            slices += 1
    return PartialScan(hu[box], label[box], nib.Nifti1Image(label, affine).slicer[box].affine, slices)


def _grey(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def _paths(repository: Path) -> list[str]:
    return _git(repository, "ls-tree", "-r", "--name-only", "HEAD").decode().splitlines()


def _content(repository: Path, path: str) -> bytes:
    return _git(repository, "show", f"HEAD:{path}")


def _git(repository: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", repository, *arguments], capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"{repository} is no whole git repository ({done.stderr.decode().strip()}): fetch it again.")
    return done.stdout
