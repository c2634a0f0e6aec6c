"""The app on a real DICOM server, asked by MONAI Label's own client. The series are synthetic."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import requests
from monailabel.client import MONAILabelClient

from battery.servers import wait_until
from dualtask.scans.dicom_series import series_slices
from lib.archive import StudyArchive


@pytest.fixture
def client(server: str, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(server, tmpdir=str(tmp_path))


@pytest.fixture
def model(bundle) -> str:
    return bundle.name


def final_label(server: str, series: str, folder: Path) -> nib.Nifti1Image:
    answer = requests.get(f"{server}/datastore/label", params={"label": series, "tag": "final"}, timeout=60)
    assert answer.ok, answer.text
    (folder / "final.nii.gz").write_bytes(answer.content)
    return nib.load(folder / "final.nii.gz")


def reference(series: dict[str, Path], site: str) -> nib.Nifti1Image:
    """The synthetic label, stored as the scans of the DICOM server are: to the left, to the back, upwards."""
    label = nib.load(series[site].with_name(f"{site}_label.nii.gz"))
    return label.as_reoriented(
        nib.orientations.ornt_transform(
            nib.io_orientation(label.affine), nib.orientations.axcodes2ornt(("L", "P", "S"))
        )
    )


def test_training_gets_labels_of_other_workstations_from_an_empty_cache(client, server, uids, series):
    assert client.info()["datastore"]["completed"] == 1
    (pair,) = requests.get(f"{server}/datastore/", params={"output": "train"}, timeout=60).json()
    assert Path(pair["image"]).name == f"{uids['metro'][1]}.nii.gz"
    label, expected = nib.load(pair["label"]), reference(series, "metro")
    np.testing.assert_allclose(label.affine, nib.load(pair["image"]).affine)
    np.testing.assert_allclose(label.affine, expected.affine, atol=1e-3)
    np.testing.assert_array_equal(label.dataobj, expected.dataobj)


def test_next_sample_is_a_series_without_label(client, uids):
    sample = client.next_sample("random", {})
    assert sample["id"] in {uids[site][1] for site in ("coastal", "valley")}
    assert Path(sample["path"]).is_file()
    assert sample["StudyInstanceUID"] in {study for study, _ in uids.values()}


def test_nifti_nrrd_and_dicom_seg_hold_the_same_mask(client, server, model, uids, series, bundle, tmp_path: Path):
    uid = uids["coastal"][1]
    nifti = np.asarray(nib.load(client.infer(model, uid, {})[0]).dataobj)
    assert set(np.unique(nifti)) == {0, 1, 2}
    other = nrrd.read(client.infer(model, uid, {"result_extension": ".nrrd", "result_dtype": "uint8"})[0])[0]
    np.testing.assert_array_equal(other, nifti)

    answer = requests.post(
        f"{server}/infer/{model}",
        params={"image": uid, "output": "dicom_seg"},
        data={"params": json.dumps({"label_info": [{"name": name} for name in bundle.labels]})},
        timeout=120,
    )
    assert answer.ok, answer.text
    left = re.search('filename="(.+)"', answer.headers["content-disposition"])[1]
    wait_until(lambda: not (Path(tempfile.gettempdir()) / left).exists(), seconds=5)
    (tmp_path / "mask.dcm").write_bytes(answer.content)
    segmentation = hd.seg.segread(str(tmp_path / "mask.dcm"))
    assert [segment.SegmentLabel for segment in segmentation.SegmentSequence] == ["pancreas", "lesion"]
    slices = [
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in series_slices(series["coastal"])
    ]
    frames = segmentation.get_pixels_by_source_instance(
        slices, combine_segments=True, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(frames.transpose(2, 1, 0), nifti)


def test_final_label_arrives_in_the_dicom_server_and_counts_instead_of_the_older_one(
    client, server, orthanc, uids, series, tmp_path: Path
):
    study, uid = uids["metro"]
    label = reference(series, "metro")
    corrected = np.asarray(label.dataobj).copy()
    corrected[:2] = 2
    nib.save(nib.Nifti1Image(corrected, label.affine), tmp_path / "corrected.nii.gz")
    MONAILabelClient(server, client_id="reader 1").save_label(uid, str(tmp_path / "corrected.nii.gz"))
    stored = orthanc.client().search_for_series(study_instance_uid=study, search_filters={"Modality": "SEG"})
    assert len(stored) == 2
    np.testing.assert_array_equal(final_label(server, uid, tmp_path).dataobj, corrected)
    info = requests.get(f"{server}/datastore/label/info", params={"label": uid, "tag": "final"}, timeout=60).json()
    assert info["annotator"] == "reader 1"


@pytest.mark.parametrize("copies", ["kept", "lost"])
def test_restart_finds_the_same_labels(server, orthanc, server_copies: Path, bundle, uids, tmp_path: Path, copies: str):
    folder = tmp_path / "copies"
    if copies == "kept":
        shutil.copytree(server_copies, folder)
    archive = StudyArchive(bundle, orthanc.client(), {"Modality": "CT"}, str(folder))
    series = uids["metro"][1]
    assert archive.get_labeled_images() == [series]
    running = requests.get(f"{server}/datastore/label/info", params={"label": series, "tag": "final"}, timeout=60)
    assert archive.get_label_info(series, "final")["annotator"] == running.json()["annotator"]
    np.testing.assert_array_equal(
        nib.load(archive.get_label_uri(series, "final")).dataobj, final_label(server, series, tmp_path).dataobj
    )


@pytest.mark.parametrize("path", ["/datastore/label", "/datastore/image"])
def test_what_lies_in_the_dicom_server_is_not_deleted_here(server, uids, path: str):
    answer = requests.delete(f"{server}{path}", params={"id": uids["metro"][1], "tag": "final"}, timeout=60)
    assert answer.status_code == 422
    assert "delete" in answer.json()["detail"]


def test_series_that_the_server_does_not_have_is_a_sentence(server, model):
    answer = requests.post(f"{server}/infer/{model}", params={"image": "1.2.3"}, timeout=60)
    assert answer.status_code == 404
    assert "1.2.3" in answer.json()["detail"]
