import functools
import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from monai.data import load_decathlon_datalist
from scipy import ndimage

from dualtask.measurements import measure_scan
from dualtask.measurements.centre_line import PARTS, part_at
from dualtask.phantom import decathlon as writing
from dualtask.phantom import synthetic_dataset
from dualtask.phantom.acquisition import scan_patient
from dualtask.phantom.anatomy import Patient
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.dicom import write_dicom_series
from dualtask.phantom.draft import choose
from dualtask.phantom.fields import Field, SmoothNoise, ellipsoid
from dualtask.phantom.generator import Case, generate_case
from dualtask.phantom.sites import SITES
from dualtask.phantom.tissue import LESION, PANCREAS, Structure

MATRIX = 80


WITH_LESION = {"coastal": 0, "valley": 1, "alpine": 1, "metro": 4}


@functools.cache
def case_of(site: str, number: int, seed: int = 0, matrix: int = MATRIX) -> Case:
    return generate_case(SITES[site], seed, number, matrix)


@pytest.fixture(scope="module")
def cases():
    """One case of every site, each with a lesion."""
    return {name: case_of(name, number) for name, number in WITH_LESION.items()}


def canonical(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = nib.as_closest_canonical(nib.Nifti1Image(volume, affine))
    return np.asarray(image.dataobj), image.affine


def random_state(number: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(number))


def phantom_of(*shapes: tuple[float, float, str]) -> Patient:
    """A water cylinder with concentric spheres: (radius mm, HU, name) each."""
    axes = tuple(np.arange(-200.0, 200.1, 4.0) for _ in range(3))
    x, y = axes[0][:, None, None], axes[1][None, :, None]
    cylinder = np.broadcast_to(np.hypot(x, y) - 150.0, (101, 101, 101)).copy()
    structures = [Structure(Field(np.full(3, -200.0), 4.0, cylinder), lambda *_: 0.0)]
    small = np.arange(-40.0, 40.1, 1.0)
    grid = np.meshgrid(small, small, small, indexing="ij")
    for radius, hu, name in shapes:
        sphere = Field(np.full(3, -40.0), 1.0, ellipsoid(grid, (0, 0, 0), (radius,) * 3))
        structures.append(Structure(sphere, lambda *_, hu=hu: hu, name=name))
    flat = tuple(SmoothNoise(random_state(), 60.0, (np.full(3, -210.0), np.full(3, 210.0))) for _ in range(3))
    return Patient(structures, flat, "portal", None, 150.0, 150.0, 60.0, -60.0)


def test_voxels_are_the_same_on_every_machine():
    case = generate_case(SITES["coastal"], seed=0, case=4, matrix=64)
    digest = hashlib.sha256(case.image.tobytes() + case.label.tobytes()).hexdigest()
    assert digest == "fbf8841ba48b1a1b239c12f6d322baa4c5f0fa747b377036a2ef8044f0d9c8ca"


def test_seed_site_and_number_each_give_another_patient():
    pairs = {
        "seed": (case_of("metro", 4), case_of("metro", 4, seed=1)),
        "number": (case_of("metro", 4), case_of("metro", 3)),
        "site": (case_of("valley", 1), case_of("alpine", 1)),
    }
    for first, second in pairs.values():
        assert first.image.shape != second.image.shape or (first.image != second.image).mean() > 0.3


def test_matrix_changes_the_sampling_but_not_the_patient():
    coarse, fine = (case_of("valley", 1, matrix=matrix) for matrix in (MATRIX, 2 * MATRIX))
    assert coarse.lesion == fine.lesion and coarse.phase == fine.phase
    assert coarse.image.shape[2] == fine.image.shape[2]
    volumes = [np.count_nonzero(c.label) * abs(np.linalg.det(c.affine[:3, :3])) for c in (coarse, fine)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


def test_healthy_patient_has_a_pancreas_and_no_lesion():
    healthy = case_of("metro", 3)
    assert healthy.lesion is None
    assert set(np.unique(healthy.label)) == {0, 1}


@pytest.mark.parametrize("name", SITES)
def test_case_is_a_valid_scan(cases, name):
    case, site = cases[name], SITES[name]
    assert case.image.dtype == np.int16 and case.label.dtype == np.uint8
    assert case.image.shape == case.label.shape and case.image.shape[:2] == (MATRIX, MATRIX)
    assert -1024 <= case.image.min() < -950 and 250 < case.image.max() <= 3071
    assert case.lesion is not None and set(np.unique(case.label)) == {0, 1, 2}
    assert "".join(nib.aff2axcodes(case.affine)) == site.orientation
    spacing = np.linalg.norm(case.affine[:3, :3], axis=0)
    assert spacing[2] == pytest.approx(site.slice_thickness_mm)
    low, high = site.field_of_view_mm
    assert spacing[0] == spacing[1] and low <= spacing[0] * MATRIX <= high
    assert 150 <= spacing[2] * case.image.shape[2] <= 250


@pytest.mark.parametrize("name", SITES)
def test_lesion_lies_where_the_truth_says_along_the_organ(cases, name):
    """Measured by the bundle: the tolerance is the radius by which the organ goes on beyond its own centre line."""
    case, tolerance = cases[name], 0.07
    lesion = measure_scan(case.label, case.image, case.affine).lesions[0]
    assert lesion.share == pytest.approx(case.lesion_share, abs=tolerance)
    if all(abs(case.lesion_share - border) > tolerance for border in PARTS.values()):
        assert lesion.part == part_at(case.lesion_share)


@pytest.mark.parametrize("name", SITES)
def test_anatomy_lies_where_it_does_in_people(cases, name):
    image = canonical(cases[name].image, cases[name].affine)[0]
    label = canonical(cases[name].label, cases[name].affine)[0]
    corner = image[:4, :4]
    assert corner.mean() < -900  # air around the body
    bone = ndimage.center_of_mass(image > 280)
    organ = ndimage.center_of_mass(label > 0)
    assert organ[1] > bone[1]  # RAS: the pancreas lies in front of the spine
    x, _, z = np.nonzero(label)
    assert z[x < np.quantile(x, 0.2)].mean() > z[x > np.quantile(x, 0.8)].mean()  # tail (left) higher than head
    assert (image[:, :, -3:] < -700).mean() > (image[:, :, :3] < -700).mean()  # lung at the top


@pytest.mark.parametrize("name", SITES)
def test_pancreas_has_an_adult_volume_and_is_one_piece(cases, name):
    case = cases[name]
    millilitres = np.count_nonzero(case.label) * abs(np.linalg.det(case.affine[:3, :3])) / 1000
    assert 40 <= millilitres <= 150
    parts, _ = ndimage.label(case.label > 0, np.ones((3, 3, 3)))
    assert np.bincount(parts.ravel())[1:].max() >= 0.95 * np.count_nonzero(case.label)
    inside = case.image[case.label == 1]
    assert -20 < np.median(inside) < 160
    assert not case.label[:, :, [0, -1]].any()  # wholly covered


@pytest.mark.parametrize("name", SITES)
def test_lesion_touches_the_organ(cases, name):
    label = cases[name].label
    around = ndimage.binary_dilation(label == 2, np.ones((3, 3, 3))) & (label == 1)
    assert around.any()


def test_lesions_and_phases_come_in_each_sites_proportions():
    rng = random_state(5)
    for site in SITES.values():
        for shares in (site.phases, site.lesions):
            assert sum(shares.values()) == pytest.approx(1.0)
            counts = Counter(choose(rng, shares) for _ in range(2000))
            for kind, share in shares.items():
                assert counts[kind] / 2000 == pytest.approx(share, abs=0.04)


def test_sites_differ_in_what_a_model_notices():
    for feature in ("slice_thickness_mm", "noise_sd_hu", "noise_grain_mm", "kernel_fwhm_mm", "orientation", "matrix"):
        assert len({getattr(site, feature) for site in SITES.values()}) == len(SITES)


@pytest.mark.parametrize("name", SITES)
def test_noise_in_water_has_the_sites_strength_and_grain(name):
    site = SITES[name]
    scan = scan_patient(phantom_of(), site, random_state(1), site.matrix)
    middle = slice(site.matrix // 2 - 20, site.matrix // 2 + 20)
    water = scan.image[middle, middle].astype(float)
    filled = np.mean(scan.image > -300)
    expected = site.noise_sd_hu * np.sqrt(filled) / 0.72 * 1.05
    assert abs(water.mean()) < 3
    assert 0.8 * expected < water.std() < 1.25 * expected
    power = (np.abs(np.fft.rfft(water - water.mean(axis=0), axis=0)) ** 2).mean(axis=(1, 2))
    period = 1.0 / np.average(np.fft.rfftfreq(40, scan.spacing_mm[0]), weights=power)
    assert 0.8 * site.noise_grain_mm < period < 2.2 * site.noise_grain_mm


def test_sharp_kernel_overshoots_at_an_edge_and_soft_kernel_does_not():
    def overshoot(name):
        scan = scan_patient(phantom_of(), SITES[name], random_state(2), 240)
        profile = scan.image[:, 110:130].mean(axis=(1, 2))  # from air through the cylinder and out again
        return profile[:60].max() - profile[100:140].mean()

    assert overshoot("alpine") > 20
    assert overshoot("valley") < 10


@pytest.mark.parametrize("name", SITES)
def test_label_volumes_equal_the_shapes_volumes(name):
    patient = phantom_of((25.0, 90.0, PANCREAS), (15.0, 40.0, LESION))
    scan = scan_patient(patient, SITES[name], random_state(3), SITES[name].matrix)
    voxel = np.prod(scan.spacing_mm)
    assert np.count_nonzero(scan.label) * voxel == pytest.approx(4 / 3 * np.pi * 25**3, rel=0.02)
    assert np.count_nonzero(scan.label == 2) * voxel == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.04)


def test_vessel_through_the_organ_is_background():
    patient = phantom_of((25.0, 90.0, PANCREAS), (10.0, 150.0, ""))
    scan = scan_patient(patient, SITES["alpine"], random_state(3), 200)
    index = np.rint((0 - np.array(scan.origin_mm)) / scan.spacing_mm).astype(int)
    assert scan.label[tuple(index)] == 0


def test_smooth_noise_has_unit_variance_and_does_not_depend_on_the_grid():
    noise = SmoothNoise(random_state(7), 10.0, (np.zeros(3), np.full(3, 200.0)))
    axes = tuple(np.linspace(0, 200, 81) for _ in range(3))
    values = noise(axes)
    assert values.std() == pytest.approx(1.0, abs=0.05) and abs(values.mean()) < 0.05
    part = noise(tuple(axis[10:20] for axis in axes))
    np.testing.assert_allclose(part, values[10:20, 10:20, 10:20], atol=1e-9)


def test_field_sampling_agrees_with_scipy():
    values = random_state(8).standard_normal((7, 8, 9))
    shape = Field(np.array([1.0, -2.0, 3.0]), 2.0, values)
    axes = (np.linspace(1, 13, 11), np.linspace(-2, 12, 12), np.linspace(3, 19, 13))
    grid = np.meshgrid(*((axis - start) / 2.0 for axis, start in zip(axes, shape.origin, strict=True)), indexing="ij")
    np.testing.assert_allclose(shape.sample(axes), ndimage.map_coordinates(values, grid, order=1), atol=1e-12)


def test_carved_and_joined_are_difference_and_union():
    axis = np.arange(-20.0, 20.1, 1.0)
    grid = np.meshgrid(axis, axis, axis, indexing="ij")
    left, right = (
        Field(np.full(3, -20.0), 1.0, ellipsoid(grid, centre, (9.3, 9.3, 9.3))) for centre in ((-5, 0, 0), (5, 0, 0))
    )
    in_left, in_right = left.values < 0, right.values < 0
    assert ((left.carved(right).values < 0) == (in_left & ~in_right)).all()
    assert ((left.joined(right).values < 0) == (in_left | in_right)).all()


@pytest.fixture(scope="module")
def decathlon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_decathlon(folder, [SITES["valley"], SITES["metro"]], cases_per_site=2, matrix=48)
    return folder


def test_decathlon_folder_is_read_by_monai(decathlon):
    entries = load_decathlon_datalist(str(decathlon / "dataset.json"), True, "training")
    assert [Path(entry["image"]).name for entry in entries] == [
        f"{site}_{number:03d}.nii.gz" for site in ("valley", "metro") for number in range(2)
    ]
    for entry in entries:
        image, label = nib.load(entry["image"]), nib.load(entry["label"])
        assert image.shape == label.shape and label.get_data_dtype() == np.uint8
        assert image.get_data_dtype() == np.int16 and image.header.get_slope_inter() in ((1.0, 0.0), (None, None))
        np.testing.assert_array_equal(image.affine, label.affine)
        np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-3)
    description = json.loads((decathlon / "dataset.json").read_text())
    assert description["numTraining"] == 4 and description["numTest"] == 0 and description["test"] == []
    assert description["labels"] == {"0": "background", "1": "pancreas", "2": "lesion"}
    assert description["modality"] == {"0": "CT"} and description["tensorImageSize"] == "3D"
    assert [entry["site"] for entry in description["training"]] == ["valley"] * 2 + ["metro"] * 2
    assert "SYNTHETIC" in description["description"]


def test_case_on_disk_is_independent_of_how_many_are_written(decathlon, tmp_path):
    write_decathlon(tmp_path, [SITES["metro"]], cases_per_site=1, first_case=1, matrix=48)
    for folder in ("imagesTr", "labelsTr"):
        first, second = (nib.load(root / folder / "metro_001.nii.gz") for root in (decathlon, tmp_path))
        np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))


def test_second_run_keeps_whole_cases_and_completes_half_written_ones(decathlon, tmp_path):
    folder = shutil.copytree(decathlon, tmp_path / "interrupted")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("valley_000.nii.gz")}
    half = folder / "labelsTr" / "valley_001.nii.gz"
    half.unlink()
    seen = []
    sites = [SITES["valley"], SITES["metro"]]
    write_decathlon(folder, sites, 2, matrix=48, report=lambda site, number, case: seen.append(case is not None))
    assert seen == [False, True, False, False]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    np.testing.assert_array_equal(
        np.asarray(nib.load(half).dataobj), np.asarray(nib.load(decathlon / "labelsTr" / half.name).dataobj)
    )
    assert not [path for path in folder.rglob(".*") if path.is_file()]  # no scratch file stays behind


def test_default_data_set_is_written_once_and_says_what_it_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writing, "generate_case", lambda site, seed, number, _: generate_case(site, seed, number, 48))
    output = synthetic_dataset(str(tmp_path / "data"), cases_per_site=1)
    assert len(load_decathlon_datalist(Path(output) / "dataset.json")) == len(SITES)
    assert "synthetic scan 0 of the site metro written" in capsys.readouterr().out
    synthetic_dataset(output, cases_per_site=1)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", SITES)
def test_dicom_series_holds_the_same_voxels_in_the_same_place(cases, name, tmp_path):
    case = cases[name]
    files = write_dicom_series(tmp_path, case)
    series = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    read = SimpleITK.ReadImage(series)
    affine = np.eye(4)
    direction = np.array(read.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction @ np.diag(read.GetSpacing())
    affine[:3, 3] = read.GetOrigin()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS to RAS
    volume = SimpleITK.GetArrayFromImage(read).transpose(2, 1, 0)
    (image, image_affine), (found, found_affine) = canonical(case.image, case.affine), canonical(volume, affine)
    np.testing.assert_array_equal(found, image)
    np.testing.assert_allclose(found_affine, image_affine, atol=1e-4)
    assert len(files) == len(series) == case.image.shape[2]


def test_dicom_series_follows_the_scan_direction_and_says_that_it_is_synthetic(cases, tmp_path):
    for name, step in (("coastal", 1), ("metro", -1)):
        slices = [pydicom.dcmread(path) for path in write_dicom_series(tmp_path / name, cases[name])]
        heights = [float(slice_.ImagePositionPatient[2]) for slice_ in slices]
        assert np.all(np.sign(np.diff(heights)) == step)
        assert [slice_.InstanceNumber for slice_ in slices] == list(range(1, len(slices) + 1))
        assert {slice_.SeriesInstanceUID for slice_ in slices} == {slices[0].SeriesInstanceUID}
        assert len({slice_.SOPInstanceUID for slice_ in slices}) == len(slices)
        assert slices[0].SOPClassUID == pydicom.uid.CTImageStorage
        assert slices[0].RescaleIntercept == -1024 and slices[0].PatientPosition == "HFS"
        assert list(slices[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        assert "SYNTHETIC" in str(slices[0].PatientName) and slices[0].Modality == "CT"


def test_writing_a_series_twice_gives_two_studies(cases, tmp_path):
    first, second = (pydicom.dcmread(write_dicom_series(tmp_path / n, cases["valley"])[0]) for n in ("a", "b"))
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def run_command(*arguments: str) -> subprocess.CompletedProcess:
    bundle = Path(__file__).resolve().parents[2] / "bundle"
    return subprocess.run(
        [sys.executable, "-m", "dualtask.phantom", *arguments], cwd=bundle, capture_output=True, text=True
    )


def test_command_line_writes_sites_and_reports_each_case(tmp_path):
    options = ["--sites", "valley", "--cases-per-site", "1", "--matrix", "32", "--dicom"]
    done = run_command("--output", str(tmp_path), *options)
    assert done.returncode == 0, done.stderr
    assert "[1/1] valley_000: 32x32x" in done.stdout
    assert (tmp_path / "labelsTr" / "valley_000.nii.gz").exists()
    assert list((tmp_path / "dicom" / "valley_000").glob("*.dcm"))


@pytest.mark.parametrize("wrong", [("--matrix", "7"), ("--cases-per-site", "0"), ("--seed", "-1")])
def test_command_line_refuses_impossible_numbers_in_one_sentence(tmp_path, wrong):
    done = run_command("--output", str(tmp_path / "new"), *wrong)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
