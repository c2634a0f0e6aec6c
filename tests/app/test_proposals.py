"""Comparison of what was proposed with what the annotator saved."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lib.datastore import StudyFolder
from lib.proposals import COLUMNS, Proposals


def save(path: Path, box: tuple[slice, ...], lesion: tuple[slice, ...] | None = None, flip: bool = False) -> Path:
    voxels = np.zeros((20, 20, 20), np.uint8)
    voxels[box] = 1
    if lesion:
        voxels[lesion] = 2
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    if flip:
        voxels, affine = voxels[::-1], affine @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


BOX, HALF, SPOT = np.s_[4:12, 4:12, 4:12], np.s_[4:8, 4:12, 4:12], np.s_[5:7, 5:7, 5:7]


@pytest.fixture
def store(tmp_path: Path) -> StudyFolder:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.nii.gz").touch()
    return StudyFolder(str(tmp_path / "studies"), extensions=["*.nii.gz"])


@pytest.fixture
def proposals(store) -> Proposals:
    return Proposals(store.state_dir / "proposals", store)


def test_row_says_how_much_was_kept_by_whom_and_how_long_it_took(proposals, store, clock, tmp_path: Path):
    proposals.shown("a", save(tmp_path / "mask.nii.gz", HALF), "1.0+2")
    clock[0] += 300
    store.save_label("a", str(save(tmp_path / "label.nii.gz", BOX)), "final", {"client_id": "reader"})
    (row,) = proposals.rows()
    assert tuple(row) == COLUMNS
    assert (row["study"], row["annotator"], row["version"], row["minutes"]) == ("a", "reader", "1.0+2", 5)
    assert row["dice_pancreas"] == pytest.approx(2 * 0.5 / 1.5, abs=1e-4)
    assert row["dice_lesion"] == 1


def test_empty_label_is_a_label(proposals, store, clock, tmp_path: Path):
    proposals.shown("a", save(tmp_path / "mask.nii.gz", BOX, SPOT), "1.0")
    store.save_label("a", str(save(tmp_path / "label.nii.gz", np.s_[0:0])), "final", {})
    (row,) = proposals.rows()
    assert (row["dice_pancreas"], row["dice_lesion"]) == (0, 0)


def test_label_that_a_viewer_stored_the_other_way_round_is_the_same_label(proposals, store, clock, tmp_path: Path):
    proposals.shown("a", save(tmp_path / "mask.nii.gz", BOX, SPOT), "1.0")
    store.save_label("a", str(save(tmp_path / "label.nii.gz", BOX, SPOT, flip=True)), "final", {})
    (row,) = proposals.rows()
    assert (row["dice_pancreas"], row["dice_lesion"]) == (1, 1)


def test_clock_runs_from_the_first_proposal_and_the_last_one_is_compared(proposals, store, clock, tmp_path: Path):
    proposals.shown("a", save(tmp_path / "mask.nii.gz", HALF), "1.0")
    clock[0] += 60
    proposals.shown("a", save(tmp_path / "mask.nii.gz", BOX), "1.0")
    clock[0] += 60
    store.save_label("a", str(save(tmp_path / "label.nii.gz", BOX)), "final", {})
    (row,) = proposals.rows()
    assert (row["minutes"], row["dice_pancreas"]) == (2, 1)


def test_proposal_after_the_label_does_not_count(proposals, store, clock, tmp_path: Path):
    store.save_label("a", str(save(tmp_path / "label.nii.gz", BOX)), "final", {})
    proposals.shown("a", save(tmp_path / "mask.nii.gz", BOX), "1.0")
    assert proposals.rows() == []


def test_corrected_label_is_compared_anew_and_a_restart_changes_nothing(proposals, store, clock, tmp_path: Path):
    proposals.shown("a", save(tmp_path / "mask.nii.gz", BOX), "1.0")
    store.save_label("a", str(save(tmp_path / "label.nii.gz", HALF)), "final", {})
    assert proposals.rows()[0]["dice_pancreas"] < 1
    clock[0] += 60
    store.save_label("a", str(save(tmp_path / "label.nii.gz", BOX)), "final", {})
    assert proposals.rows()[0]["dice_pancreas"] == 1
    assert Proposals(proposals.folder, store).rows() == proposals.rows()
