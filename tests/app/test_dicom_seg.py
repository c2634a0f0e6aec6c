"""Label maps as DICOM SEG, and back; read again by a reader of others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pydicom_seg
import pytest
import SimpleITK as sitk  # noqa: N813 - its own convention

from dicom_series import describe_patient_and_study, write_series
from dualtask.errors import InputError
from dualtask.scans.reading import read_volume
from lib.dicom_seg import is_untouched, read_segmentation, structures_of, write_segmentation, written_at

UPWARDS = [(0.0, 0.0, 2.5 * k) for k in range(4)]


@pytest.fixture(params=[UPWARDS, UPWARDS[::-1]], ids=["numbered upwards", "numbered downwards"])
def series(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_series(tmp_path / "series", request.param, change=describe_patient_and_study)


@pytest.fixture
def scan(series: Path, tmp_path: Path) -> Path:
    volume = read_volume(series)
    nib.save(nib.Nifti1Image(volume[0].numpy(), volume.affine.numpy()), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def label(scan: Path) -> np.ndarray:
    """Pancreas with a lesion, without any symmetry."""
    mask = np.zeros(nib.load(scan).shape, np.uint8)
    mask[1:4, 2:6, 1:] = 1
    mask[3, 2, 3] = 2
    return mask


@pytest.fixture
def written(series: Path, scan: Path, bundle, tmp_path: Path):
    """Returns the segmentation of a label map."""

    def write(mask: np.ndarray, annotator: str | None = None) -> pydicom.Dataset:
        nib.save(nib.Nifti1Image(mask, nib.load(scan).affine), tmp_path / "label.nii.gz")
        write_segmentation(tmp_path / "label.dcm", series, tmp_path / "label.nii.gz", bundle, annotator)
        return pydicom.dcmread(tmp_path / "label.dcm")

    return write


def test_label_comes_back_as_it_was(written, scan, bundle, label):
    result = read_segmentation(written(label), scan, bundle)
    np.testing.assert_array_equal(result[0].numpy(), label)
    np.testing.assert_allclose(result.affine.numpy(), nib.load(scan).affine)


def test_other_readers_find_the_same_voxels(written, scan, label):
    image = pydicom_seg.MultiClassReader().read(written(label)).image
    on_scan = sitk.Resample(image, sitk.ReadImage(str(scan)), sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(on_scan).transpose(2, 1, 0), label)


def test_segments_say_what_they_are_even_when_absent(written, label):
    label[label == 1] = 0
    segments = written(label).SegmentSequence
    assert [(s.SegmentNumber, s.SegmentLabel) for s in segments] == [(1, "pancreas"), (2, "lesion")]
    types = [s.SegmentedPropertyTypeCodeSequence[0] for s in segments]
    assert [(t.CodeValue, t.CodeMeaning) for t in types] == [("15776009", "Pancreas"), ("52988006", "Lesion")]


def test_empty_label_is_a_label(written, scan, bundle, label):
    assert not read_segmentation(written(np.zeros_like(label)), scan, bundle).any()


def test_names_count_and_not_numbers(written, scan, bundle, label):
    segmentation = written(label)
    first, second = segmentation.SegmentSequence
    first.SegmentLabel, second.SegmentLabel = "Lesion", "pancreas"
    expected = np.array([0, 2, 1])[label]
    np.testing.assert_array_equal(read_segmentation(segmentation, scan, bundle)[0].numpy(), expected)


def test_newer_label_counts_whatever_clock_its_workstation_shows(written, label):
    before, ours = datetime.now(UTC), written(label)
    assert before - timedelta(seconds=1) <= written_at(ours) <= datetime.now(UTC)
    viewers = pydicom.Dataset()  # OHIF writes UTC and does not say so
    viewers.ContentDate, viewers.ContentTime = "20260301", "120000"
    elsewhere = pydicom.Dataset()
    elsewhere.ContentDate, elsewhere.ContentTime, elsewhere.TimezoneOffsetFromUTC = "20260301", "130000.5", "+0200"
    assert written_at(elsewhere) < written_at(viewers) < written_at(ours)
    nonsense = pydicom.Dataset()
    nonsense.ContentDate = "99999999"
    assert written_at(pydicom.Dataset()) == written_at(nonsense) < written_at(elsewhere)


def test_corrected_label_names_its_annotator(written, label):
    assert str(written(label, annotator="reader^1").ContentCreatorName) == "reader 1^"
    assert not written(label).get("ContentCreatorName")


def test_lesions_with_segments_of_their_own_are_lesions(written, scan, bundle, label):
    segmentation = written(label)
    segmentation.SegmentSequence[1].SegmentLabel = "Lesion 2"
    assert structures_of(segmentation, bundle) == {1: 1, 2: 2}
    np.testing.assert_array_equal(read_segmentation(segmentation, scan, bundle)[0].numpy(), label)


def test_result_is_no_label_until_somebody_has_corrected_it(written, bundle, label):
    assert is_untouched(written(label), bundle)
    assert not is_untouched(written(label, annotator="reader"), bundle)
    exported = written(label)
    exported.Manufacturer = "OHIF"
    assert not is_untouched(exported, bundle)


def test_segmentation_of_other_organs_is_told_in_a_sentence(written, scan, bundle, label):
    segmentation = written(label)
    for segment in segmentation.SegmentSequence:
        segment.SegmentLabel = "liver"
    with pytest.raises(InputError, match="no segment called pancreas or lesion"):
        read_segmentation(segmentation, scan, bundle)


@pytest.mark.parametrize(
    "damage",
    [
        lambda segmentation: segmentation.__delattr__("SharedFunctionalGroupsSequence"),
        lambda segmentation: segmentation.PerFrameFunctionalGroupsSequence.pop(),
        lambda segmentation: setattr(segmentation.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2.4.90"),
    ],
    ids=["no shared groups", "fewer groups than frames", "pixels of another syntax"],
)
def test_segmentation_that_lacks_a_part_is_told_in_a_sentence(written, scan, bundle, label, damage):
    segmentation = written(label)
    damage(segmentation)
    with pytest.raises(InputError, match=r"^The segmentation .* cannot be read .*: export it anew, uncompressed"):
        read_segmentation(segmentation, scan, bundle)


@pytest.mark.parametrize("shift", [0.3, 1000.0], ids=["between voxels", "outside"])
def test_segmentation_of_another_grid_is_told_in_a_sentence(written, scan, bundle, label, shift: float):
    segmentation = written(label)
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0]
        position.ImagePositionPatient = [position.ImagePositionPatient[0] + shift, *position.ImagePositionPatient[1:]]
    with pytest.raises(InputError, match="another grid"):
        read_segmentation(segmentation, scan, bundle)
