"""Repairs of MONAI Label itself, through the very functions that it calls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pydicom
import pytest
from fastapi import BackgroundTasks
from monailabel.endpoints import batch_infer, infer, proxy, train
from monailabel.utils.async_tasks.task import AsyncTask

from dicom_series import describe_patient_and_study, write_series
from dualtask.errors import InputError
from dualtask.scans.reading import read_volume
from lib.repairs import apply_repairs, refused_tasks


@pytest.fixture(autouse=True)
def repaired(bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "proxy_dicom", proxy.proxy_dicom)  # other tests look at MONAI Label's own
    apply_repairs(bundle)
    apply_repairs(bundle)  # as after POST /reload


LABEL_INFO = [{"name": "pancreas", "model_name": "viewer"}, {"name": "lesion", "model_name": "viewer"}]


@pytest.mark.parametrize("label_info", [LABEL_INFO, LABEL_INFO[::-1], []], ids=["named", "shuffled", "unnamed"])
@pytest.mark.parametrize("values", [[1, 2], [2], [1], []], ids=["both", "lesion", "pancreas", "empty"])
def test_segments_keep_their_names_whatever_the_viewer_says(tmp_path: Path, values: list[int], label_info: list[dict]):
    series = write_series(tmp_path / "series", change=describe_patient_and_study)
    volume = read_volume(series)
    mask = np.zeros(volume.shape[1:], np.uint8)
    mask[0, 0, : len(values)] = values
    nib.save(nib.Nifti1Image(mask, volume.affine.numpy()), tmp_path / "mask.nii.gz")
    written = infer.nifti_to_dicom_seg(str(series), str(tmp_path / "mask.nii.gz"), label_info, use_itk=True)
    segmentation = pydicom.dcmread(written)
    assert [(s.SegmentNumber, s.SegmentLabel) for s in segmentation.SegmentSequence] == [(1, "pancreas"), (2, "lesion")]


def test_programs_installed_beside_python_are_found(bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/somewhere")
    apply_repairs(bundle)
    assert os.environ["PATH"].split(os.pathsep) == ["/somewhere", str(Path(sys.executable).parent)]


@pytest.mark.parametrize(
    ("params", "header"),
    [
        (
            {"doubt": {"score": 0.8, "warning": "The result for é is doubtful."}},
            "The%20result%20for%20%C3%A9%20is%20doubtful.",
        ),
        ({"doubt": {"score": 0.1, "warning": None}}, None),
        ({}, None),
    ],
    ids=["doubtful", "good", "by another task"],
)
def test_a_mask_that_is_doubtful_says_so_in_its_answer(tmp_path: Path, params: dict, header: str | None):
    (tmp_path / "mask.nrrd").write_bytes(b"mask")
    result = {"file": str(tmp_path / "mask.nrrd"), "params": params}
    answer = infer.send_response(None, result, "image", BackgroundTasks())
    assert answer.headers.get("X-Doubt") == header
    assert infer.send_response(None, result, "json", BackgroundTasks()) == params


@pytest.mark.parametrize(
    "start",
    [
        lambda: train.run_model("model", {"max_epochs": -1}),
        lambda: train.run({"model": {"max_epochs": -1}}),
        lambda: batch_infer.run("model", "unlabeled", {"threshold": 3}),
    ],
    ids=["training", "all trainings", "inference on many"],
)
def test_nothing_starts_with_an_option_that_cannot_be_used(start, monkeypatch: pytest.MonkeyPatch):
    known = SimpleNamespace(info=lambda: {"trainers": ["model"], "models": ["model"]})
    monkeypatch.setattr(refused_tasks, "app_instance", lambda: known)
    monkeypatch.setattr(AsyncTask, "run", lambda *args, **options: pytest.fail("it was started"))
    with pytest.raises(InputError, match="choose"):
        start()
