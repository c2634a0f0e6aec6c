"""The error of an estimated distance near a structure, in mm."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from dualtask.distances import signed_distance
from dualtask.errors import InputError
from dualtask.evaluation import score_cases
from dualtask.evaluation.distance_error import band_error_mm
from dualtask.nifti import save_nifti

SPACING = (2.0, 2.0, 3.0)
TRUNCATION = (15.0, 7.5)


def ball() -> torch.Tensor:
    centre = np.indices((24, 24, 18)).transpose(1, 2, 3, 0) - (12, 12, 9)
    return torch.as_tensor(np.linalg.norm(centre * SPACING, axis=-1) < 10)


def truth(mask: torch.Tensor, limit: float) -> torch.Tensor:
    return torch.as_tensor(signed_distance(mask.numpy(), SPACING, limit))


def test_a_true_distance_has_no_error_and_a_shifted_one_its_shift():
    mask = ball()
    assert band_error_mm(truth(mask, 7.5), mask, SPACING, 7.5) == 0
    assert band_error_mm(truth(mask, 7.5) + 1.25, mask, SPACING, 7.5) == pytest.approx(1.25)


def test_only_known_voxels_of_the_band_count():
    mask = ball()
    estimate = truth(mask, 7.5)
    far = estimate.abs() == 7.5
    estimate[far] = 100.0
    known = torch.ones_like(mask)
    known[:12] = False
    estimate[:12] += 5
    assert band_error_mm(estimate, mask, SPACING, 7.5, known) == 0
    assert band_error_mm(estimate, mask, SPACING, 7.5) > 1


def test_without_the_structure_there_is_no_band():
    assert math.isnan(band_error_mm(torch.ones(4, 4, 4), torch.zeros(4, 4, 4, dtype=torch.bool), SPACING, 7.5))


@pytest.fixture
def case(tmp_path: Path) -> dict[str, str]:
    """A case with a pancreas and no lesion, its own label as prediction, and a distance map that is 2 mm off."""
    affine, mask = np.diag([*SPACING, 1.0]), ball()
    files = {"image": tmp_path / "a.nii.gz", "label": tmp_path / "label.nii.gz"}
    save_nifti(files["image"], np.zeros(mask.shape, np.int16), affine)
    for path in (files["label"], tmp_path / "a_seg.nii.gz"):
        save_nifti(path, mask.numpy().astype(np.uint8), affine)
    maps = torch.stack([truth(mask, 15.0) + 2, torch.full(mask.shape, 7.5)], dim=-1)
    save_nifti(tmp_path / "a_distance.nii.gz", maps.numpy().astype(np.float32), affine)
    return {name: str(path) for name, path in files.items()}


def test_scores_have_the_error_of_the_maps_that_inference_left(case, tmp_path: Path):
    organ, lesion = score_cases([case], tmp_path, tmp_path, truncation=TRUNCATION)
    assert organ["band_error_mm"] == pytest.approx(2, abs=1e-4)
    assert math.isnan(lesion["band_error_mm"])
    assert math.isnan(score_cases([case], tmp_path, tmp_path)[0]["band_error_mm"])


def test_a_distance_map_of_other_channels_is_refused(case, tmp_path: Path):
    path = tmp_path / "a_distance.nii.gz"
    maps = nib.load(path)
    save_nifti(path, np.asarray(maps.dataobj)[..., :1], maps.affine)
    with pytest.raises(InputError, match=r"a_distance\.nii\.gz is no distance of pancreas and lesion"):
        score_cases([case], tmp_path, tmp_path, truncation=TRUNCATION)
