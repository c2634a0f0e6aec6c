"""Pictures of slices come back to the places that they were cut from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from dualtask.errors import InputError
from dualtask_research.sites.msd_slices import HU_RANGE, UNKNOWN_HU, assemble_msd_slices, partial_scan

SHAPE = (30, 24, 12)
AFFINE = np.array([[-0.8, 0, 0, 20], [0, 0.8, 0, -30], [0, 0, 2.5, 5], [0, 0, 0, 1.0]])
BOX = (slice(6, 20), slice(5, 17), slice(3, 9))


def label() -> np.ndarray:
    """An organ with a lesion, narrower in its upper slices."""
    organ = np.zeros(SHAPE, np.uint8)
    organ[BOX] = 1
    organ[8:12, 7:10, 4:6] = 2
    organ[6:9, :, 6:9] = 0
    return organ


def scan() -> np.ndarray:
    """HU that a picture can hold exactly: multiples of (250 + 150) / 255 are rounded."""
    grey = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.float32)
    return np.round(HU_RANGE[0] + (HU_RANGE[1] - HU_RANGE[0]) / 255 * grey).astype(np.int16)


def picture(place: int) -> np.ndarray:
    """What the public pictures show of a slice: the label's box less its first column and row, turned half round."""
    x, y = (np.flatnonzero(label()[..., place].any(axis)) for axis in (1, 0))
    part = scan()[x[0] + 1 : x[-1] + 1, y[0] + 1 : y[-1] + 1, place]
    low, high = HU_RANGE
    return np.round((part.T[::-1, ::-1].astype(np.float32) - low) / (high - low) * 255).astype(np.uint8)


def test_pictures_are_put_where_they_were_cut_out():
    found = partial_scan(label(), AFFINE, {place: picture(place) for place in (3, 4, 7)})
    known = found.hu != UNKNOWN_HU
    start = np.round(np.linalg.solve(AFFINE, found.affine[:, 3])).astype(int)[:3]
    box = tuple(slice(low, low + side) for low, side in zip(start, found.hu.shape, strict=True))
    np.testing.assert_array_equal(found.hu[known], scan()[box][known])
    np.testing.assert_array_equal(found.label, label()[box])
    assert found.slices == 3
    assert sorted(set(np.argwhere(known)[:, 2] + start[2])) == [3, 4, 7]
    # Two of the label's voxels a slice and side are not on the picture.
    assert known[..., 3 - start[2]].sum() == (14 - 1) * (12 - 1)


def test_a_picture_of_another_size_and_one_of_a_slice_without_label_are_left_out():
    found = partial_scan(label(), AFFINE, {3: picture(3)[1:], 4: picture(4), 0: picture(3)})
    assert found.slices == 1


def repository(folder: Path, files: dict[str, object]) -> Path:
    """A git repository with pictures and label maps."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray) and content.ndim == 2:
            Image.fromarray(content).convert("RGB").save(path)
        else:
            nib.save(nib.Nifti1Image(content, AFFINE), path)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "data"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder / ".git"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pictures = {f"datasets/TC/slices/pancreas_{k}_slice_{z}.png": picture(z) for k in ("001", "004") for z in (4, 5)}
    maps = {f"organ_pseudo_swin_new/pancreas/pancreas_{k}.nii.gz": label() for k in ("001", "004", "006")}
    folder = tmp_path_factory.mktemp("repositories")
    return repository(folder / "images", pictures), repository(folder / "labels", maps)


def test_patients_of_both_repositories_are_written_but_for_those_left_out(repositories, tmp_path):
    assert assemble_msd_slices(*repositories, tmp_path, without=["004"]) == {"001": 2}
    assert {path.name for path in tmp_path.iterdir()} == {"pancreas_001_ct.nii.gz", "pancreas_001_label.nii.gz"}
    expected = partial_scan(label(), AFFINE, {place: picture(place) for place in (4, 5)})
    written = nib.load(tmp_path / "pancreas_001_ct.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), expected.hu)
    np.testing.assert_allclose(written.affine, expected.affine, atol=1e-5)


def test_exchanged_repositories_and_folders_that_are_none_are_refused(repositories, tmp_path):
    with pytest.raises(InputError, match="have no patient in common: give the repositories in this order"):
        assemble_msd_slices(*reversed(repositories), tmp_path)
    with pytest.raises(InputError, match="is no whole git repository"):
        assemble_msd_slices(tmp_path / "absent", repositories[1], tmp_path)
