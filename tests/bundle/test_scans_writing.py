"""Masks and maps are written beside each other in their scan's geometry, or the reason why not is told."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from battery.beside import full_disk
from dualtask.errors import InputError, StorageError
from dualtask.scans import SaveResultd, check_names

# Stored front to back, head to foot and right to left, with unequal sides.
AFFINE = np.array([[0.0, 0, -0.8, 20], [-0.7, 0, 0, 30], [0, -2.5, 0, 40], [0, 0, 0, 1]])


@pytest.fixture
def mask() -> MetaTensor:
    voxels = torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4) % 3
    return MetaTensor(voxels, affine=torch.as_tensor(AFFINE), meta={"filename_or_obj": "scans/case.1.nii.gz"})


def test_a_mask_has_the_geometry_and_the_name_of_its_scan(mask, tmp_path: Path):
    SaveResultd("pred", output_dir=tmp_path, output_postfix="seg", output_dtype=np.uint8)({"pred": mask})
    saved = nib.load(tmp_path / "case.1_seg.nii.gz")
    np.testing.assert_allclose(saved.affine, AFFINE, atol=1e-6)
    assert saved.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(saved.get_fdata(), mask[0].numpy())


def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing(mask, tmp_path: Path):
    save = SaveResultd("pred", output_dir=tmp_path, output_postfix="seg", output_dtype=np.uint8)
    with full_disk(left=50), pytest.raises(StorageError, match=r"case\.1_seg\.nii\.gz cannot be written, the disk is"):
        save({"pred": mask})
    assert not list(tmp_path.iterdir())
    save({"pred": mask})
    assert [file.name for file in tmp_path.iterdir()] == ["case.1_seg.nii.gz"]


@pytest.mark.parametrize("twin", ["p2/ct.nii.gz", "p1/ct.nrrd", "p2/ct"], ids=["folder", "format", "series"])
def test_scans_that_would_overwrite_each_others_results_are_refused(twin: str):
    with pytest.raises(InputError, match=r"p1/ct\.nii\.gz and .* would share the results of 'ct': rename one of them"):
        check_names(["a.nii.gz", "p1/ct.nii.gz", twin])


def test_below_a_common_folder_scans_of_one_name_have_results_of_their_own():
    check_names(["p1/ct.nii.gz", "p2/ct.nii.gz"], scans_root=".")
