"""Repairs of MONAI Label itself, through the very functions that it calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monailabel.datastore import dicom
from monailabel.datastore.utils import convert
from monailabel.endpoints import infer

from lib.repairs import apply_repairs


@pytest.fixture(autouse=True)
def repaired(bundle) -> None:
    apply_repairs(bundle)
    apply_repairs(bundle)  # as after POST /reload


@pytest.fixture
def segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Returns (value, name) of every segment that a mask with the given values would have in its DICOM SEG."""
    written = {}
    monkeypatch.setattr(convert, "itk_image_to_dicom_seg", lambda label, series, template: written.update(template))

    def names(caller, values: list[int], label_info: list[dict] | None) -> list[tuple[int, str]]:
        mask = np.zeros((4, 4, 4), np.uint8)
        mask.flat[: len(values)] = values
        path = tmp_path / "mask.nii.gz"
        nib.save(nib.Nifti1Image(mask, np.eye(4)), path)
        caller.nifti_to_dicom_seg(str(tmp_path), str(path), label_info)
        return [(s["labelID"], s["SegmentLabel"]) for s in written["segmentAttributes"][0]]

    return names


LABEL_INFO = [{"name": "pancreas", "model_name": "viewer"}, {"name": "lesion", "model_name": "viewer"}]


@pytest.mark.parametrize("caller", [dicom, infer], ids=["saving a final label", "inference"])
@pytest.mark.parametrize("label_info", [None, LABEL_INFO, LABEL_INFO[::-1]], ids=["unnamed", "named", "shuffled"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2], [(1, "pancreas"), (2, "lesion")]), ([2], [(2, "lesion")]), ([1], [(1, "pancreas")])],
)
def test_segments_keep_their_names_when_a_class_is_absent(segments, caller, label_info, values, expected):
    assert segments(caller, values, label_info) == expected


def test_programs_installed_beside_python_are_found(bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/somewhere")
    apply_repairs(bundle)
    assert os.environ["PATH"].split(os.pathsep) == ["/somewhere", str(Path(sys.executable).parent)]
