"""The check of a copy finds what would spoil a training, and finds nothing in a sound copy."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from dualtask.errors import InputError
from dualtask.nifti import save_nifti
from dualtask.phantom.dicom import write_dicom_series
from dualtask.phantom.generator import Case, generate_case
from dualtask.phantom.sites import SITES
from dualtask.scans.reading import read_volume
from dualtask_research.sites import read_site
from dualtask_research.sites.__main__ import main
from dualtask_research.sites.download import fetch_msd
from dualtask_research.sites.duplicates import Duplicate, find_duplicates, fingerprint
from dualtask_research.sites.inspection import SiteCheck, add_duplicates, inspect_site
from dualtask_research.sites.plausibility import AS_STATED, MIRRORINGS, contrasts, mirrored_axes
from dualtask_research.sites.records import read_fingerprints, write_fingerprints
from dualtask_research.sites.thumbnails import draw_thumbnail
from site_copies import turned, write_folder, write_nih

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs" / "sites"
NIH = replace(read_site(CONFIGS / "nih_pancreas_ct.json"), cases=(3, 3))
FOLDER = read_site(CONFIGS / "folder.json")


@functools.cache
def phantom(site: str, number: int) -> Case:
    return generate_case(SITES[site], 0, number, 72)


def volumes(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return case.image, case.label, case.affine


@pytest.fixture(scope="module")
def nih(tmp_path_factory) -> Path:
    cases = [phantom("coastal", 0), phantom("metro", 0), phantom("alpine", 1)]
    return write_nih(tmp_path_factory.mktemp("nih"), cases)


def test_a_sound_copy_has_no_findings_and_true_measures(nih):
    check = inspect_site(NIH, nih)
    assert check.sound
    assert not check.remarks and not any(case.remarks for case in check.cases)
    first, case = check.cases[0], phantom("coastal", 0)
    assert first.name == "Pancreas-CT/PANCREAS_0001/11-24-2015-NA/Pancreas-1"
    assert np.allclose(first.spacing, nib.affines.voxel_sizes(case.affine), atol=1e-4)
    voxel_ml = np.prod(nib.affines.voxel_sizes(case.affine)) / 1000
    assert first.volumes_ml == {"pancreas": pytest.approx((case.label > 0).sum() * voxel_ml, rel=1e-4)}
    assert first.organ_hu == pytest.approx(case.image[case.label > 0].mean(), abs=0.01)


@pytest.mark.parametrize("axes", ["LPI", "RAI", "LAS", "RPS"])
def test_labels_stated_the_wrong_way_round_are_caught_and_the_right_axes_named(axes, nih):
    check = inspect_site(replace(NIH, label_axes=axes), nih)
    assert not check.sound
    assert any('"label_axes": "LAI"' in problem for problem in check.problems)


def test_a_label_of_a_real_scan_stands_out_from_its_mirror_images(shared_data):
    scan = read_volume(shared_data / "ct_upper_abdomen_3mm.nii.gz")[0].numpy()
    organ = read_volume(shared_data / "ct_upper_abdomen_3mm_organs.nii.gz")[0].numpy() == 7
    measured = contrasts(scan, organ, np.full(3, 3.0))
    assert max(measured, key=measured.get) == AS_STATED


def test_contrast_of_a_ball_in_fat_is_that_of_its_tissues():
    grid = np.stack(np.meshgrid(*(np.arange(48.0),) * 3, indexing="ij"))
    organ = np.linalg.norm(grid - 10, axis=0) < 5
    measured = contrasts(np.where(organ, 80.0, -100.0), organ, np.ones(3))
    assert measured[AS_STATED] == pytest.approx(180)
    assert all(measured[mirroring] == pytest.approx(0) for mirroring in MIRRORINGS if mirroring != AS_STATED)


def test_axes_are_turned_along_the_mirrored_directions():
    assert mirrored_axes("LAI", (True, False, True)) == "RAS"
    assert mirrored_axes("SPL", (False, True, False)) == "SAL"


def test_a_copy_that_is_not_complete_is_told_apart(nih):
    check = inspect_site(replace(NIH, cases=(80, 82)), nih)
    assert [problem for problem in check.problems if "3 labelled cases were found and not 80 to 82" in problem]


def test_labels_beside_the_organ_are_caught_by_their_hu(tmp_path):
    scan, _, affine = volumes(phantom("coastal", 0))
    beside = np.where((scan > -120) & (scan < -80), 1, 0).astype(np.uint8)
    check = inspect_site(FOLDER, write_folder(tmp_path, a=(scan, beside, affine)))
    assert any("where a pancreas has 20 to 200" in problem for problem in check.problems)


def one_problem(check: SiteCheck) -> str:
    (problem,) = [problem for case in check.cases for problem in case.problems]
    return problem


def spoilt(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scan, label, affine = volumes(phantom("valley", 1))
    if kind == "not HU":
        return (scan - scan.min()).astype(np.int16), label, affine
    if kind == "empty":
        return scan, np.zeros_like(label), affine
    return scan, label + np.uint8(2) * (label > 0), affine


@pytest.mark.parametrize(
    ("kind", "words"),
    [("not HU", "no voxel below 0"), ("empty", "holds no pancreas"), ("values", "holds the label values 3")],
)
def test_a_bad_case_is_named_and_the_others_are_checked_all_the_same(kind, words, tmp_path):
    copy = write_folder(tmp_path, a=spoilt(kind), b=volumes(phantom("coastal", 0)))
    check = inspect_site(FOLDER, copy)
    assert words in one_problem(check)
    assert not check.sound
    assert check.cases[1].organ_hu is not None


def test_a_label_on_another_grid_and_a_damaged_scan_are_named(tmp_path):
    scan, label, affine = volumes(phantom("valley", 1))
    copy = write_folder(tmp_path, a=(scan, label, affine), b=(scan, label, affine))
    save_nifti(copy / "labels/a.nii.gz", label, affine + np.eye(4, k=3) * 20)
    (copy / "images/b.nii.gz").write_bytes((copy / "images/b.nii.gz").read_bytes()[:5000])
    problems = [problem for case in inspect_site(FOLDER, copy).cases for problem in case.problems]
    assert "elsewhere in space" in problems[0]
    assert "images/b.nii.gz" in problems[1]


def test_a_scan_without_a_label_and_a_label_without_a_scan_are_named(tmp_path):
    copy = write_folder(tmp_path, a=volumes(phantom("coastal", 0)), b=volumes(phantom("valley", 1)))
    (copy / "labels/a.nii.gz").unlink()
    (copy / "images/b.nii.gz").unlink()
    check = inspect_site(FOLDER, copy)
    assert "a.nii.gz has no label" in one_problem(check)
    assert "labels/b.nii.gz has no scan." in check.remarks


def test_a_site_of_lesions_without_a_lesion_gets_a_remark(tmp_path):
    scan, label, affine = volumes(phantom("coastal", 0))
    check = inspect_site(FOLDER, write_folder(tmp_path, a=(scan, np.minimum(label, 1), affine)))
    assert check.sound
    assert any("No label holds a lesion" in remark for remark in check.remarks)


def upright(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return turned(volume, affine, "RAS")[0]


def shared_slices(one: np.ndarray, other: np.ndarray) -> float:
    duplicates = find_duplicates({"one": {"a": fingerprint(one)}, "other": {"b": fingerprint(other)}})
    return duplicates[0].share if duplicates else 0.0


def test_a_scan_is_known_again_as_dicom_turned_mirrored_in_part_and_with_another_background(tmp_path):
    case = phantom("alpine", 1)
    scan = upright(case.image, case.affine)
    write_dicom_series(tmp_path / "series", case)
    dicom = read_volume(tmp_path / "series")
    assert shared_slices(scan, upright(dicom[0].numpy(), np.asarray(dicom.affine))) == 1
    assert shared_slices(scan, scan[::-1, :, ::-1].transpose(1, 0, 2)) == 1
    assert shared_slices(scan, scan[:, :, 10:]) == 1
    assert shared_slices(scan, np.pad(np.where(scan <= -900, -2048, scan), ((3, 3), (0, 0), (0, 0)))) < 1
    padded = np.pad(np.where(scan <= -900, -2048, scan), ((3, 3), (0, 0), (0, 0)), constant_values=-2048)
    assert shared_slices(scan, padded) == 1


def test_a_slab_cut_from_a_real_scan_is_known_again(shared_data):
    torso, slab = (read_volume(shared_data / f"ct_{name}_3mm.nii.gz")[0].numpy() for name in ("torso", "upper_abdomen"))
    assert np.array_equal(torso[:, :, 82:], slab)
    assert shared_slices(torso, slab) == 1


def test_another_patient_and_another_dose_of_noise_are_no_duplicates():
    scan = upright(phantom("alpine", 1).image, phantom("alpine", 1).affine)
    other = upright(phantom("alpine", 0).image, phantom("alpine", 0).affine)
    noise = np.random.default_rng(0).integers(-5, 6, scan.shape)
    assert shared_slices(scan, other) == 0
    assert shared_slices(scan, scan + noise) == 0


def test_slices_without_tissue_say_nothing():
    assert fingerprint(np.full((20, 20, 5), -1000.0)) == []


def test_duplicates_are_pairs_that_share_half_of_the_shorter_scan():
    sites = {"s": {"a": list("12345678"), "b": list("1234"), "c": list("78xyz")}, "t": {"d": list("87"), "e": []}}
    assert find_duplicates(sites) == [
        Duplicate(("s", "a"), ("s", "b"), 1.0),
        Duplicate(("s", "a"), ("t", "d"), 1.0),
        Duplicate(("s", "c"), ("t", "d"), 1.0),
    ]


def test_a_duplicate_within_a_site_is_a_problem_and_between_sites_a_remark(tmp_path):
    case = phantom("coastal", 0)
    checks = {
        name: inspect_site(replace(FOLDER, name=name), write_folder(tmp_path / name, **scans))
        for name, scans in {
            "ours": {"a": volumes(case), "b": volumes(case)},
            "theirs": {"x": (*turned(case.image, case.affine, "RAS")[:1], *turned(case.label, case.affine, "RAS"))},
        }.items()
    }
    for check in checks.values():
        write_fingerprints(tmp_path / "checks", check)
    found = find_duplicates(read_fingerprints(tmp_path / "checks"))
    for check in checks.values():
        add_duplicates(check, found)
    ours, theirs = checks["ours"], checks["theirs"]
    assert ours.problems == [
        "images/a.nii.gz and images/b.nii.gz are the same scan (100 % of the slices): remove one of them."
    ]
    assert theirs.sound
    assert sum("of ours, too" in remark for remark in theirs.remarks) == 2


def test_a_damaged_record_of_an_earlier_check_is_refused(tmp_path):
    (tmp_path / "x.fingerprints.json").write_text("{")
    with pytest.raises(InputError, match="check that site again"):
        read_fingerprints(tmp_path)


def test_a_thumbnail_shows_the_right_at_the_left_and_the_front_and_head_up():
    scan = np.full((60, 40, 20), -1000.0)
    scan[50:, 30:, :] = 240  # the patient's right front
    scan[:10, :, 17:] = 240  # the left side of the topmost slices
    label = np.zeros(scan.shape)
    label[28:32, 32:36, 9:11] = 1
    picture = np.asarray(Image.open(io.BytesIO(draw_thumbnail(scan, label, np.array([2.0, 2.0, 4.0])))).convert("RGB"))
    assert picture.shape == (40, 62 + 62, 3)
    axial, coronal = picture[:, :60], picture[:, 62:122]
    assert axial[:8, :8].min() > 200 and axial[-8:].max() < 50 and axial[:, -8:].max() < 50
    assert coronal[:5, -8:].min() > 200 and coronal[8:, -8:].max() < 50
    coloured = np.ptp(axial.astype(int), axis=2) > 60
    assert np.argwhere(coloured).mean(axis=0) == pytest.approx([5.5, 29.5], abs=1)


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """Runs ``python -m dualtask_research.sites`` in this process; gives its exit code and what it printed."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["sites", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return run


def test_the_command_prints_a_table_writes_a_page_and_joins_what_it_checked(command, tmp_path):
    copy = write_folder(tmp_path / "copy", a=volumes(phantom("coastal", 0)))
    code, printed = command("check", CONFIGS / "folder.json", copy, "--output_dir", tmp_path / "checks")
    assert code == 0
    assert "images/a.nii.gz  72 x 72 x 70" in printed
    page = (tmp_path / "checks/folder.html").read_text()
    assert "data:image/png;base64," in page
    assert 'src="http' not in page and "<link" not in page and "<script" not in page
    joined = ("--site", CONFIGS / "folder.json", copy, "--checks_dir", tmp_path / "checks")
    code, _ = command("combine", *joined, "--output_dir", tmp_path / "all")
    assert code == 0
    assert (tmp_path / "all/dataset.json").is_file()


def test_the_command_fails_for_a_bad_copy(command, tmp_path):
    copy = write_folder(tmp_path / "copy", a=spoilt("empty"))
    code, printed = command("check", CONFIGS / "folder.json", copy, "--output_dir", tmp_path / "checks")
    assert code == 1
    assert "Problems: 1" in printed


def test_the_command_says_in_one_sentence_that_there_is_no_copy(tmp_path):
    arguments = [CONFIGS / "folder.json", "absent", "--output_dir", tmp_path]
    outcome = subprocess.run(
        [sys.executable, "-m", "dualtask_research.sites", "check", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "bundle:research"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert outcome.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in outcome.stderr


class Downloads(SimpleHTTPRequestHandler):
    """Counts the files that it serves."""

    def do_GET(self) -> None:
        self.server.downloads += 1
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive(tmp_path) -> Iterator[tuple[ThreadingHTTPServer, str, str]]:
    """A server on loopback, the address of a small archive in Task07's form, and its md5."""
    task = write_folder(tmp_path / "Task07_Pancreas", a=volumes(phantom("coastal", 0)))
    named = ("name", "description", "reference", "licence", "tensorImageSize", "modality", "labels")
    cases = [{"image": "./images/a.nii.gz", "label": "./labels/a.nii.gz"}]
    content = dict.fromkeys(named, "") | {"numTraining": 1, "numTest": 0, "training": cases, "test": []}
    (task / "dataset.json").write_text(json.dumps(content))
    path = tmp_path / "served" / "Task07_Pancreas.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        tar.add(task, task.name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Downloads, directory=str(path.parent)))
    server.downloads = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    yield server, f"http://127.0.0.1:{server.server_port}/{path.name}", md5
    server.shutdown()
    server.server_close()


def test_msd_is_fetched_once_and_complete(archive, tmp_path):
    server, url, md5 = archive
    folder = fetch_msd(tmp_path / "data", url, md5)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["Task07_Pancreas"]
    site = replace(read_site(CONFIGS / "msd_task07_pancreas.json"), cases=(1, 1))
    assert inspect_site(site, folder).sound
    assert fetch_msd(tmp_path / "data", url, md5) == folder
    assert server.downloads == 1


def test_an_interrupted_fetch_downloads_nothing_twice(archive, tmp_path):
    server, url, md5 = archive
    fetch_msd(tmp_path / "first", url, md5)
    parts = tmp_path / "second" / ".Task07_Pancreas"
    (parts / "Task07_Pancreas" / "images").mkdir(parents=True)
    (parts / "Task07_Pancreas.tar").write_bytes((tmp_path / "served/Task07_Pancreas.tar").read_bytes())
    folder = fetch_msd(tmp_path / "second", url, md5)
    assert server.downloads == 1
    assert (folder / "labels/a.nii.gz").is_file()


def test_another_archive_or_none_is_refused_and_leaves_no_data_set(archive, tmp_path):
    server, url, md5 = archive
    with pytest.raises(InputError, match="damaged or another one"):
        fetch_msd(tmp_path / "data", url, "0" * 32)
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch_msd(tmp_path / "data", f"{url}.absent", md5)
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch_msd(tmp_path / "data", url, md5)
    assert not (tmp_path / "data" / "Task07_Pancreas").exists()
