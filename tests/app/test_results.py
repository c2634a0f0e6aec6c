"""Results that are stored, and when they are no longer used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dualtask.errors import InputError
from lib.infer import STUDY
from lib.options import SegmentationOptions
from lib.results import Result, ResultStore

OPTIONS = SegmentationOptions()


@pytest.fixture
def scan(tmp_path: Path) -> str:
    (tmp_path / "scan.nii.gz").write_bytes(b"scan")
    return str(tmp_path / "scan.nii.gz")


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.fixture
def result(tmp_path: Path) -> Result:
    (tmp_path / "mask.nii.gz").write_bytes(b"mask")
    return Result(tmp_path / "mask.nii.gz", {"version": "1.0"}, (0.5, 1.5))


def test_stored_result_is_found_again_and_outlives_its_source(store, scan, result):
    store.save(scan, "w1", OPTIONS, result)
    result.mask.unlink()
    found = store.find(scan, "w1", OPTIONS)
    assert found.mask.read_bytes() == b"mask"
    assert (found.params, found.embedding) == (result.params, result.embedding)


def test_result_belongs_to_its_options(store, scan, result):
    store.save(scan, "w1", OPTIONS, result)
    for other in ({"threshold": 0.4}, {"flip_averaging": False}, {"refine": False}, {"head": "regression"}):
        assert store.find(scan, "w1", SegmentationOptions.of(other)) is None


def test_new_weights_make_a_stored_result_worthless(store, scan, result):
    store.save(scan, "w1", OPTIONS, result)
    assert store.find(scan, "w2", OPTIONS) is None
    store.save(scan, "w2", OPTIONS, result)
    assert store.find(scan, "w1", OPTIONS) is None


def test_scan_that_was_replaced_is_another_scan(store, scan, result):
    store.save(scan, "w1", OPTIONS, result)
    os.utime(scan, (1, 1))
    assert store.find(scan, "w1", OPTIONS) is None


def test_half_written_result_is_none(store, scan, result):
    saved = store.save(scan, "w1", OPTIONS, result)
    saved.mask.unlink()
    assert store.find(scan, "w1", OPTIONS) is None


def test_unusable_scan_is_remembered_with_its_sentence(store, scan):
    store.save(scan, "w1", OPTIONS, Result(None, {"error": "It is cut off."}, ()))
    assert store.find(scan, "w1", OPTIONS) == Result(None, {"error": "It is cut off."}, ())


@pytest.fixture
def counted(bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A task that notes each scan that it really segments."""
    from test_infer import BOXES, affine_of, infer_task, write_scan

    task = infer_task(bundle, tmp_path)
    write_scan(tmp_path / "scan.nii.gz", affine_of("LPS", (2, 2, 2.5)), BOXES)
    segmented = []
    run = task.run_inferer
    monkeypatch.setattr(
        task, "run_inferer", lambda data, *rest, **more: segmented.append(data) or run(data, *rest, **more)
    )
    return task, str(tmp_path / "scan.nii.gz"), segmented


def test_second_request_for_a_study_is_answered_from_the_store_in_any_format(counted):
    import nibabel as nib
    import nrrd

    task, scan, segmented = counted
    first, params = task({"image": scan, STUDY: "a", "device": "cpu"})
    again, same = task({"image": scan, STUDY: "a", "device": "cpu"})
    other, _ = task({"image": scan, STUDY: "a", "device": "cpu", "result_extension": ".nrrd", "result_dtype": "uint16"})
    assert len(segmented) == 1
    assert params == same
    assert set(params["scan_uncertainty"]) == {"pancreas", "lesion"}
    mask = np.asarray(nib.load(first).dataobj)
    np.testing.assert_array_equal(np.asarray(nib.load(again).dataobj), mask)
    voxels, header = nrrd.read(other)
    assert voxels.dtype == np.uint16
    np.testing.assert_array_equal(voxels, mask)
    np.testing.assert_allclose(header["space origin"], (-12.5, 80, 300))


def test_new_weights_segment_anew(counted, tmp_path: Path):
    task, scan, segmented = counted
    task({"image": scan, STUDY: "a", "device": "cpu"})
    state = torch.load(task.get_path(), weights_only=True)
    state["classification.bias"] += 0.1
    torch.save(state, tmp_path / "new.pt")
    task.versions.publish(tmp_path / "new.pt", {"taught": []})
    _, params = task({"image": scan, STUDY: "a", "device": "cpu"})
    assert len(segmented) == 2
    assert params["version"] == "1.2.3+1"


def test_uploaded_scan_is_not_kept(counted):
    task, scan, segmented = counted
    for _ in range(2):
        task({"image": scan, "device": "cpu"})
    assert len(segmented) == 2
    assert not task.results.folder.exists()


def test_embedding_is_stored_for_the_strategies_and_not_sent_to_viewers(counted):
    task, scan, _ = counted
    _, params = task({"image": scan, STUDY: "a", "device": "cpu"})
    assert "embedding" not in params
    embedding = np.array(task.stored(scan).embedding)
    assert embedding.shape == (task.network.backbone.bottleneck_channels,)
    assert np.isfinite(embedding).all()


def test_unusable_study_is_not_read_twice(counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    task, _, _ = counted
    (tmp_path / "broken.nii.gz").write_bytes(b"not a scan")
    request = {"image": str(tmp_path / "broken.nii.gz"), STUDY: "b", "device": "cpu"}
    with pytest.raises(Exception) as first:
        task(request)
    monkeypatch.setattr(task, "_segment", lambda request: pytest.fail("read again"))
    with pytest.raises(InputError, match=r"broken\.nii\.gz") as second:
        task(request)
    from dualtask.errors import find_input_error

    assert str(find_input_error(first.value)) == str(second.value)
