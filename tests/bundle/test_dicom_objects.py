"""A series in, DICOM objects out: read again by programs of others, dciodvfy (dicom3tools) and the readers of dcmqi."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from skimage.draw import polygon2mask
from test_cascade import REGION, Threshold

from dualtask.dicom_objects import SaveDicomObjects, check_series
from dualtask.dicom_objects.structure_set import SaveStructureSet
from dualtask.errors import InputError
from dualtask.notice import NOTICE
from dualtask.scans.reading import read_volume
from handmade_scan import LARGE_HU, LARGE_LESION, SMALL_HU, SMALL_LESION, label_map, write_dicom, write_nifti
from small_workflows import build_workflow

MAPS = ("distance", "uncertainty")


@pytest.fixture(scope="module", params=["LPS", "LPI"], ids=["numbered upwards", "numbered downwards"])
def folder(request, bundle_root, tmp_path_factory) -> Path:
    """``series`` and, beside it, ``out`` with what inference with ``--dicom_output true`` wrote of it."""
    folder = tmp_path_factory.mktemp("dicom")
    write_dicom(folder / "series", request.param)
    options = {"network": Threshold(), "localiser": Threshold(), "inferer#region_size": list(REGION)}
    build_workflow(
        bundle_root,
        "inference.json",
        workflow_type="infer",
        datalist=[str(folder / "series")],
        output_dir=str(folder / "out"),
        dicom_output=True,
        maps=list(MAPS),
        **options,
    ).run()
    return folder


@pytest.fixture(scope="module")
def measured(folder) -> dict:
    return json.loads((folder / "out" / "series_measurements.json").read_text())


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on PATH: what it reads is left out")
    return path


def run(*command: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=60)


def on_scan_grid(path: Path, series: Path) -> np.ndarray:
    """Voxels of a NIfTI file that an independent reader wrote, on the grid [X, Y, Z] of the series; NaN elsewhere."""
    volume, scan = nib.load(path), read_volume(series)
    to_scan = np.linalg.inv(scan.affine.numpy()) @ volume.affine
    result = np.full(scan.shape[1:], np.nan)
    voxels = np.asarray(volume.dataobj)
    index = np.argwhere(np.ones(voxels.shape, bool))
    places = index @ to_scan[:3, :3].T + to_scan[:3, 3]
    assert np.abs(places - places.round()).max() < 0.01
    result[tuple(places.round().astype(int).T)] = voxels[tuple(index.T)]
    return result


def true_mask(folder: Path) -> np.ndarray:
    return np.asarray(nib.load(folder / "out" / "series_seg.nii.gz").dataobj)


@pytest.mark.parametrize("name", ["seg", "sr", *(f"{name}_{of}" for name in MAPS for of in ("pancreas", "lesion"))])
def test_dciodvfy_finds_no_error(folder, name):
    outcome = run(program("dciodvfy"), folder / "out" / f"series_{name}.dcm")
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("Error")]
    assert not errors, errors


def test_dcmqi_reads_the_organ_and_each_lesion_as_segments(folder, tmp_path):
    file = folder / "out" / "series_seg.dcm"
    outcome = run(program("segimage2itkimage"), "--inputDICOM", file, "--outputDirectory", tmp_path, "-t", "nii")
    assert outcome.returncode == 0, outcome.stderr
    described = [segment[0] for segment in json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"]]
    assert [segment["SegmentLabel"] for segment in described] == ["pancreas", "lesion 1", "lesion 2"]
    assert [segment["SegmentedPropertyTypeCodeSequence"]["CodeValue"] for segment in described] == [
        "15776009",
        "52988006",
        "52988006",
    ]
    assert {segment["AnatomicRegionSequence"]["CodeMeaning"] for segment in described} == {"Pancreas"}
    assert {segment["SegmentAlgorithmType"] for segment in described} == {"AUTOMATIC"}
    mask = true_mask(folder)
    pancreas, large, small = (on_scan_grid(tmp_path / f"{n}.nii.gz", folder / "series") > 0 for n in (1, 2, 3))
    np.testing.assert_array_equal(pancreas, mask == 1)
    np.testing.assert_array_equal(large | small, mask == 2)
    assert np.count_nonzero(large) > np.count_nonzero(small) > 0


def test_dcmqi_reads_the_measurements_of_each_segment(folder, measured, tmp_path):
    report = tmp_path / "report.json"
    outcome = run(
        program("tid1500reader"), "--inputDICOM", folder / "out" / "series_sr.dcm", "--outputMetadata", report
    )
    assert outcome.returncode == 0, outcome.stderr
    groups = json.loads(report.read_text())["Measurements"]
    segmentation = pydicom.dcmread(folder / "out" / "series_seg.dcm")
    assert [group["TrackingIdentifier"] for group in groups] == ["pancreas", "lesion 1", "lesion 2"]
    assert [group["ReferencedSegment"] for group in groups] == [1, 2, 3]
    assert {group["segmentationSOPInstanceUID"] for group in groups} == {segmentation.SOPInstanceUID}
    assert [group["TrackingUniqueIdentifier"] for group in groups] == [
        segment.TrackingUID for segment in segmentation.SegmentSequence
    ]
    assert [group["FindingSite"]["CodeMeaning"] for group in groups] == [
        "Pancreas",
        "Structure of head of pancreas",
        "Structure of tail of pancreas",
    ]
    for group, region in zip(groups, [measured["gland"], *measured["lesions"]], strict=True):
        found = {
            (item["quantity"]["CodeValue"], item.get("derivationModifier", {}).get("CodeValue")): (
                float(item["value"]),
                item["units"]["CodeValue"],
            )
            for item in group["measurementItems"]
        }
        assert found == {
            ("118565006", None): (pytest.approx(region["volume_ml"], abs=1e-3), "ml"),
            ("103339001", None): (pytest.approx(region["axial_diameter_mm"], abs=1e-3), "mm"),
            ("103340004", None): (pytest.approx(region["perpendicular_diameter_mm"], abs=1e-3), "mm"),
            ("L0JK", None): (pytest.approx(region["diameter_3d_mm"], abs=1e-3), "mm"),
            ("112031", "373098007"): (pytest.approx(region["mean_hu"], abs=1e-3), "[hnsf'U]"),
            ("112031", "386136009"): (pytest.approx(region["sd_hu"], abs=1e-3), "[hnsf'U]"),
        }
    assert [round(lesion["mean_hu"]) for lesion in measured["lesions"]] == [LARGE_HU, SMALL_HU]


def test_report_is_unverified_and_says_what_it_is(folder):
    report = pydicom.dcmread(folder / "out" / "series_sr.dcm")
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    names = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in report.ContentSequence}
    assert names["Observer Type"].ConceptCodeSequence[0].CodeMeaning == "Device"
    comments = [
        item.TextValue for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]
    assert comments[0] == f"{NOTICE}."
    assert any("Lesion 2 lies in the tail" in comment for comment in comments)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("structure", "channel"), [("pancreas", 0), ("lesion", 1)])
def test_dcmqi_reads_the_maps(folder, name, structure, channel, tmp_path):
    file = folder / "out" / f"series_{name}_{structure}.dcm"
    outcome = run(program("paramap2itkimage"), "--inputDICOM", file, "--outputDirectory", tmp_path, "-t", "nii")
    assert outcome.returncode == 0, outcome.stderr
    units = json.loads((tmp_path / "meta.json").read_text())["MeasurementUnitsCode"]["CodeValue"]
    assert units == ("mm" if name == "distance" else "1")
    expected = nib.load(folder / "out" / f"series_{name}.nii.gz").get_fdata()[..., channel]
    found = on_scan_grid(tmp_path / "pmap.nii.gz", folder / "series")
    told = np.isfinite(found).all(axis=(0, 1))
    assert told.any()
    np.testing.assert_allclose(found[..., told], expected[..., told], atol=1e-4)
    assert np.ptp(expected[..., ~told], axis=(0, 1)).max(initial=0) == 0


def test_objects_belong_to_the_patient_study_and_space_of_the_series(folder):
    source = pydicom.dcmread(folder / "series" / "0001.dcm")
    files = sorted((folder / "out").glob("*.dcm"))
    assert len(files) == 2 + 2 * len(MAPS)
    for file in files:
        made = pydicom.dcmread(file)
        assert (made.PatientID, made.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
        assert made.get("FrameOfReferenceUID", source.FrameOfReferenceUID) == source.FrameOfReferenceUID
        assert made.SeriesInstanceUID != source.SeriesInstanceUID


def test_contours_hold_the_masks(folder, tmp_path):
    """Rasterised again here: a voxel is inside where its centre lies in the contour of its slice."""
    program("plastimatch")
    scan = read_volume(folder / "series")
    mask = true_mask(folder)
    SaveStructureSet(str(tmp_path))({"pred": scan.new_tensor(mask)[None]})
    made, source = pydicom.dcmread(tmp_path / "series_rtstruct.dcm"), pydicom.dcmread(folder / "series" / "0001.dcm")
    assert (made.PatientID, made.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert made.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert [roi.ROIName for roi in made.StructureSetROISequence] == ["pancreas", "lesion 1", "lesion 2"]
    slices = {pydicom.dcmread(path).SOPInstanceUID for path in (folder / "series").iterdir()}
    to_voxel = np.linalg.inv(scan.affine.numpy()) @ np.diag([-1, -1, 1, 1])
    found = []
    for roi in made.ROIContourSequence:
        inside = np.zeros(mask.shape, bool)
        for contour in roi.ContourSequence:
            assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID in slices
            places = np.array(contour.ContourData, float).reshape(-1, 3) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
            level = round(places[:, 2].mean())
            inside[..., level] |= polygon2mask(mask.shape[:2], places[:, :2])
        found.append(inside)
    # Contours run through the centres of the outermost voxels, which then lie on either side.
    assert np.count_nonzero(found[0] & (mask > 0)) > 0.6 * np.count_nonzero(mask > 0)
    assert not (found[0] & (mask == 0)).any()
    assert not ((found[1] | found[2]) & (mask != 2)).any() and found[1].any() and found[2].any()


def test_objects_of_what_is_no_series_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="is no DICOM series"):
        check_series([str(write_nifti(tmp_path / "a.nii.gz"))])


def test_nothing_found_is_said_and_no_object_written(tmp_path, caplog):
    volume = read_volume(write_dicom(tmp_path / "series"))
    SaveDicomObjects(str(tmp_path), "name", "1")({"pred": volume * 0})
    assert "Nothing was found in series" in caplog.text
    assert not list(tmp_path.glob("*.dcm"))


def test_truth_of_the_handmade_scan_is_what_inference_finds(folder):
    """Guards the tests above: they compare with the written mask."""
    truth = label_map()
    mask = nib.as_closest_canonical(nib.load(folder / "out" / "series_seg.nii.gz"))
    assert np.count_nonzero(np.asarray(mask.dataobj) == 2) == np.count_nonzero(truth == 2)
    assert (truth[LARGE_LESION] == 2).all() and (truth[SMALL_LESION] == 2).all()
