"""What a scan does not show counts in no score."""

from __future__ import annotations

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtask.errors import InputError
from dualtask.evaluation import read_scores, score_cases, score_label_maps

SPACING = (1.0, 1.5, 2.0)
SHAPE = (20, 18, 16)
UNKNOWN = -1024


def organ(shift: int = 0) -> torch.Tensor:
    """A pancreas with a lesion, clear of the last four slices unless shifted."""
    label = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    label[:, 4 + shift : 14 + shift, 4:14, 3:11] = 1
    label[:, 6 + shift : 10 + shift, 6:10, 5:9] = 2
    return label


def slab() -> torch.Tensor:
    """Known but for the last four slices."""
    known = torch.ones(1, *SHAPE, dtype=torch.bool)
    known[..., -4:] = False
    return known


@given(seed=st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_what_is_predicted_in_unknown_voxels_changes_no_score(seed):
    generator = torch.Generator().manual_seed(seed)
    known = torch.rand(1, *SHAPE, generator=generator) > 0.2
    prediction, probabilities = organ(2), torch.rand(2, *SHAPE, generator=generator)
    wrong = torch.where(known, prediction, torch.randint(0, 3, prediction.shape, generator=generator).byte())
    other = torch.where(known, probabilities, torch.rand(2, *SHAPE, generator=generator))
    expected = score_label_maps(organ(), prediction, SPACING, probabilities=probabilities, known=known)
    found = score_label_maps(organ(), wrong, SPACING, probabilities=other, known=known)
    for structure, scores in expected.items():
        assert found[structure] == pytest.approx(scores, nan_ok=True)


def test_what_is_known_is_scored_as_if_the_scan_ended_there():
    reference, prediction = organ(), organ(2)
    reference[..., 10:14] = prediction[..., 11:] = 1
    probabilities = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    expected = score_label_maps(
        reference[..., :-4], prediction[..., :-4], SPACING, probabilities=probabilities[..., :-4]
    )
    found = score_label_maps(reference, prediction, SPACING, probabilities=probabilities, known=slab())
    for structure, scores in expected.items():
        assert found[structure] == pytest.approx(scores, nan_ok=True)
        assert not math.isnan(scores["calibration_error"])


def test_a_scan_that_is_known_everywhere_is_scored_as_without_the_entry():
    everywhere = torch.ones(1, *SHAPE, dtype=torch.bool)
    expected = score_label_maps(organ(), organ(1), SPACING)
    found = score_label_maps(organ(), organ(1), SPACING, known=everywhere)
    assert all(found[name] == pytest.approx(scores, nan_ok=True) for name, scores in expected.items())


@pytest.fixture
def case(tmp_path: Path) -> dict[str, str]:
    """A slab: the prediction goes on in the padding, and is right elsewhere."""
    prediction = organ()
    prediction[..., -3:] = 2
    scan = np.where(slab()[0].numpy(), 40, UNKNOWN).astype(np.int16)
    scan[0, 0, 0] = -100
    for name, voxels in (("a", scan), ("a_label", organ()[0].numpy()), ("a_seg", prediction[0].numpy())):
        nib.save(nib.Nifti1Image(voxels, np.diag([*SPACING, 1.0])), tmp_path / f"{name}.nii.gz")
    return {"image": str(tmp_path / "a.nii.gz"), "label": str(tmp_path / "a_label.nii.gz")}


def test_a_case_that_names_the_value_is_scored_where_the_scan_has_another(case, tmp_path):
    with_entry = score_cases([case | {"unknown": UNKNOWN}], tmp_path, tmp_path / "with")
    without = score_cases([case], tmp_path, tmp_path / "without")
    assert [row["dice"] for row in with_entry] == [1.0, 1.0]
    assert [row["false_positive_components"] for row in with_entry] == [0, 0]
    assert max(row["dice"] for row in without) < 1
    assert [row["false_positive_components"] for row in without] == [1, 1]
    assert read_scores(tmp_path / "with" / "metrics.csv")[1]["prediction_ml"] == pytest.approx(4**3 * 3 / 1000)


@pytest.mark.parametrize("value", ["air", True, math.nan])
def test_a_value_that_is_no_number_is_refused(value, case, tmp_path):
    with pytest.raises(InputError, match=r"a\.nii\.gz states .* for unknown voxels: give the number"):
        score_cases([case | {"unknown": value}], tmp_path, tmp_path)


def test_a_scan_on_another_grid_is_refused(case, tmp_path):
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), -5.0), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=r"a\.nii\.gz has 4 x 4 x 4 voxels but the label"):
        score_cases([case | {"unknown": UNKNOWN}], tmp_path, tmp_path)


def test_the_evaluation_tells_inference_which_value_is_unknown(workflow, small_dataset, tmp_path):
    description = json.loads((small_dataset / "dataset.json").read_text())
    description["training"][1]["unknown"] = UNKNOWN
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).symlink_to(small_dataset / folder)
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    built = workflow("inference.json", "evaluate.json", workflow_type="infer", dataset_dir=str(tmp_path))
    items = built.parser.get_parsed_content("dataset").data
    assert [set(item) for item in items] == [{"image"}, {"image", "unknown"}, {"image"}, {"image"}]
    assert items[1]["unknown"] == UNKNOWN
