"""Scans arrive in HU with their own geometry; damaged or impossible voxels are refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - its own convention
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from dicom_series import write_series
from dualtask.errors import InputError
from dualtask.scans import LoadLabeld, LoadScand

AFFINE = np.array([[0, -1.5, 0, 10], [1.2, 0, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
SCAN = (np.arange(60).reshape(5, 4, 3) - 30).astype(np.int16)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


def load(path: str):
    return LoadScand("image")({"image": path})["image"]


def itk_reference(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [x, y, z] and affine (RAS+) by SimpleITK."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine


def assert_same_scan(image, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Equal voxel for voxel in space; a reader may store an axis in the other direction."""
    ours = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(image[0]), np.asarray(image.affine)))
    reference = nib.as_closest_canonical(nib.Nifti1Image(voxels.astype(np.float32), affine))
    np.testing.assert_array_equal(ours.get_fdata(), reference.get_fdata())
    np.testing.assert_allclose(ours.affine, reference.affine, atol=1e-3)


@pytest.mark.parametrize("voxels", [SCAN, SCAN[..., None]])
def test_nifti_keeps_voxels_and_affine(voxels, tmp_path):
    image = load(save(tmp_path / "scan.nii.gz", voxels))
    assert image.shape == (1, *SCAN.shape)
    assert_same_scan(image, SCAN, AFFINE)


def test_nrrd_keeps_voxels_and_affine(tmp_path):
    path = str(tmp_path / "scan.nrrd")
    directions = np.diag([1.5, 1.2, 2.5])
    header = {"space": "left-posterior-superior", "space directions": directions, "space origin": [10, 20, 30]}
    nrrd.write(path, SCAN, header)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, [10, 20, 30]
    assert_same_scan(load(path), SCAN, np.diag([-1, -1, 1, 1]) @ affine)


def test_a_dicom_series_equals_an_independent_reader(tmp_path):
    folder = write_series(tmp_path / "series")
    assert_same_scan(load(str(folder)), *itk_reference(folder))


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (4, 2, 3, 1), (1, 1, 1, 1), (1, None, 3, 4)])
def test_slices_are_stacked_by_position_whatever_their_instance_number(numbers, tmp_path):
    positions = [(0, 0, z) for z in (0, 5, 2.5, 7.5)]

    def number(index: int, header: FileDataset) -> None:
        header.InstanceNumber = numbers[index]

    folder = write_series(tmp_path / "series", positions, change=number)
    assert_same_scan(load(str(folder)), *itk_reference(folder))


def test_what_is_no_slice_of_the_series_is_passed_over(tmp_path):
    folder = write_series(tmp_path / "series")
    report = pydicom.dcmread(folder / "000.dcm")
    report.SeriesInstanceUID, report.Modality = generate_uid(), "SR"
    del report.PixelData, report.Rows
    expected = itk_reference(folder)
    pydicom.dcmwrite(folder / "report.dcm", report)
    (folder / "notes.txt").write_text("notes")
    (folder / "more").mkdir()
    assert_same_scan(load(str(folder)), *expected)


def test_the_real_dicom_series_equals_an_independent_reader(shared_data):
    folder = shared_data / "ct_upper_abdomen_dicom"
    assert_same_scan(load(str(folder)), *itk_reference(folder))


def test_the_name_of_a_series_survives_a_trailing_slash(tmp_path):
    folder = write_series(tmp_path / "series")
    assert Path(load(f"{folder}/").meta["filename_or_obj"]).name == "series"


def assert_refused(action, path: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        action()
    assert path in str(refusal.value)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def corrupted(folder: Path) -> Path:
    """A compressed file of the right length that is overwritten in the middle."""
    path = folder / "scan.nii.gz"
    save(path, np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20), np.int16))
    content = path.read_bytes()
    path.write_bytes(content[:3000] + bytes(500) + content[3500:])
    return path


def cut_nrrd(folder: Path) -> Path:
    path = folder / "scan.nrrd"
    header = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": [0, 0, 0]}
    nrrd.write(str(path), SCAN, header | {"encoding": "raw"})
    path.write_bytes(path.read_bytes()[:-20])
    return path


def cut_slice(folder: Path) -> Path:
    write_series(folder / "series")
    path = folder / "series" / "002.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    return path.parent


def slice_without_pixels(folder: Path) -> Path:
    def remove(index: int, header: FileDataset) -> None:
        if index == 1:
            del header.PixelData

    return write_series(folder / "series", change=remove)


@pytest.mark.parametrize("make", [corrupted, cut_nrrd, cut_slice, slice_without_pixels])
def test_a_damaged_scan_is_refused(make, tmp_path):
    path = str(make(tmp_path))
    assert_refused(lambda: load(path), path, "damaged")


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.where(SCAN == 7, np.nan, SCAN).astype(np.float32), "not numbers"),
        (np.where(SCAN == 7, np.inf, SCAN).astype(np.float32), "not numbers"),
        (np.full_like(SCAN, 40), "everywhere"),
        ((SCAN + 30).astype(np.float32) / 60, "scaled to [0, 1]"),
        (SCAN + 1024, "no voxel below 0"),
    ],
)
def test_values_that_cannot_be_ct_are_refused(voxels, words, tmp_path):
    path = save(tmp_path / "scan.nii.gz", voxels)
    assert_refused(lambda: load(path), path, words)


LABEL = (SCAN > 0).astype(np.uint8) + (SCAN > 20)


def load_label(folder: Path, label: np.ndarray, affine: np.ndarray = AFFINE):
    data = {"image": save(folder / "scan.nii.gz", SCAN), "label": save(folder / "label.nii.gz", label, affine)}
    return LoadLabeld("label", image_key="image")(LoadScand("image")(data))["label"]


def test_a_label_on_the_grid_of_its_scan_is_read(tmp_path):
    np.testing.assert_array_equal(np.asarray(load_label(tmp_path, LABEL))[0], LABEL)


@pytest.mark.parametrize(
    ("label", "affine", "words"),
    [
        (LABEL + 2, AFFINE, "label values 3, 4"),
        (LABEL * 0.5, AFFINE, "label values 0.5"),
        (LABEL[:-1], AFFINE, "4 x 4 x 3 voxels"),
        (LABEL, AFFINE + np.eye(4, k=3) * 5, "elsewhere in space"),
        (LABEL, AFFINE * (1.05, 1, 1, 1), "elsewhere in space"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(label, affine, words, tmp_path):
    assert_refused(lambda: load_label(tmp_path, label, affine), str(tmp_path / "label.nii.gz"), words)


def test_a_label_with_a_rounded_affine_is_read(tmp_path):
    load_label(tmp_path, LABEL, AFFINE + 1e-3)


def test_a_slightly_different_spacing_is_refused_when_it_adds_up_over_the_scan(tmp_path):
    shape, affine = (512, 2, 2), np.diag([0.785, 0.785, 2.5, 1])
    scan = np.zeros(shape, np.int16)
    scan[0] = -1000
    data = {
        "image": save(tmp_path / "scan.nii.gz", scan, affine),
        "label": save(tmp_path / "label.nii.gz", np.zeros(shape, np.uint8), np.diag([0.776, 0.785, 2.5, 1])),
    }
    with pytest.raises(InputError, match="elsewhere in space"):
        LoadLabeld("label", image_key="image")(LoadScand("image")(data))


def test_a_scan_without_a_label_passes_when_labels_may_be_missing(tmp_path):
    data = LoadScand("image")({"image": save(tmp_path / "scan.nii.gz", SCAN)})
    assert set(LoadLabeld("label", image_key="image", allow_missing_keys=True)(data)) == {"image"}
