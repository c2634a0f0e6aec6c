"""Inference of an archive: each scan has one row, whatever is wrong with it and whoever is killed at it."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from filelock import FileLock
from pydicom.dataset import FileDataset

from dicom_series import write_series
from dualtask.archive import FolderArchive, Records
from dualtask.archive.dicomweb import DicomWebArchive
from dualtask.archive.worker import shard_of
from dualtask.errors import InputError, find_input_error
from dualtask.inferers import CascadeInferer
from small_workflows import SMALL_GRID

CONFIGS = ("inference.json", "archive.json")


SHAPE, SPACING = (40, 32, 16), (5.0, 5.0, 6.0)
"""Just large enough for the networks."""


@pytest.fixture
def archive(tmp_path) -> Path:
    """Three scans of noise, two of them of one name, and one that was cut off."""
    folder, rng = tmp_path / "archive", np.random.default_rng(0)
    for name in ("a/scan.nii.gz", "b/scan.nii.gz", "b/z.nii.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        voxels = rng.integers(-100, 200, SHAPE).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([*SPACING, 1])), folder / name)
    (folder / "a" / "cut.nii.gz").write_bytes((folder / "a" / "scan.nii.gz").read_bytes()[:3000])
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def segment(workflow, archive, out):
    """Runs a worker in this process."""

    def run(**options) -> None:
        settings = {"image_format": SMALL_GRID, "archive_dir": str(archive), "output_dir": str(out), **options}
        workflow(*CONFIGS, workflow_type="infer", **settings).run()

    return run


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "scans.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["scan"] for row in rows}) == len(rows)
    return {row["scan"]: row for row in rows}


def outcomes(out: Path) -> dict[str, str]:
    return {name: row["outcome"] for name, row in table(out).items()}


def masks(out: Path) -> dict[str, int]:
    """When each mask was written, ns."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*_seg.nii.gz")}


ALL_DONE = {"a/scan.nii.gz": "done", "b/scan.nii.gz": "done", "b/z.nii.gz": "done"}
OUTCOMES = {"a/cut.nii.gz": "refused", **ALL_DONE}


def test_a_bad_scan_is_a_row_with_its_sentence_and_those_after_it_get_masks_where_they_lie(segment, out):
    segment()
    assert outcomes(out) == OUTCOMES
    rows = table(out)
    assert "cut off" in rows["a/cut.nii.gz"]["reason"]
    assert rows["a/cut.nii.gz"]["doubt"] == ""
    assert masks(out).keys() == {"a/scan_seg.nii.gz", "b/scan_seg.nii.gz", "b/z_seg.nii.gz"}
    assert {str(path.relative_to(out)) for path in out.rglob("*_measurements.json")} == {
        name.replace(".nii.gz", "_measurements.json") for name in ALL_DONE
    }
    for name in ALL_DONE:
        assert float(rows[name]["pancreas_ml"]) >= 0
        assert 0 <= float(rows[name]["doubt"]) <= 1
        assert float(rows[name]["seconds"]) > 0


def test_a_second_start_does_what_is_missing_and_nothing_else(segment, archive, out):
    segment()
    before, records = masks(out), Records(out)
    records.remove("b/scan.nii.gz")
    records.write("b/z.nii.gz", {"outcome": "begun", "reason": "", "attempts": 1})
    shutil.copy(archive / "a" / "scan.nii.gz", archive / "a" / "later.nii.gz")
    segment()
    after = masks(out)
    assert outcomes(out) == {**OUTCOMES, "a/later.nii.gz": "done"}
    assert {name for name in before if after[name] != before[name]} == {"b/scan_seg.nii.gz", "b/z_seg.nii.gz"}


def test_a_refused_scan_is_looked_at_again_on_demand_only(segment, archive, out):
    segment()
    shutil.copy(archive / "a" / "scan.nii.gz", archive / "a" / "cut.nii.gz")
    segment()
    assert outcomes(out)["a/cut.nii.gz"] == "refused"
    segment(again=["failed", "refused"])
    assert outcomes(out)["a/cut.nii.gz"] == "done"


def test_a_scan_that_ends_its_worker_again_and_again_is_left_out(segment, out):
    Records(out).write("a/scan.nii.gz", {"outcome": "begun", "reason": "", "attempts": 3})
    segment()
    assert outcomes(out) == {**OUTCOMES, "a/scan.nii.gz": "refused"}
    assert "ended its worker 3 times" in table(out)["a/scan.nii.gz"]["reason"]


def fail_at(monkeypatch, *numbers: int) -> None:
    """Let the network's part of the scans of these numbers end in an error that is none of the scan's."""
    calls, infer = iter(range(1000)), CascadeInferer.__call__

    def fail(self, *arguments, **options):
        if next(calls) in numbers:
            raise torch.OutOfMemoryError("out of memory")
        return infer(self, *arguments, **options)

    monkeypatch.setattr(CascadeInferer, "__call__", fail)


def test_a_failure_that_nobody_foresaw_is_a_row_and_the_next_start_tries_it_anew(segment, out, monkeypatch):
    fail_at(monkeypatch, 1)
    segment()
    assert outcomes(out) == {**OUTCOMES, "b/scan.nii.gz": "failed"}
    assert "out of memory" in table(out)["b/scan.nii.gz"]["reason"]
    assert "b/scan_seg.nii.gz" not in masks(out)
    segment()
    assert outcomes(out) == OUTCOMES


def test_many_failures_in_succession_end_the_run(segment, archive, out, monkeypatch):
    for number in range(4):
        shutil.copy(archive / "a" / "scan.nii.gz", archive / "a" / f"{number}.nii.gz")
    fail_at(monkeypatch, *range(1000))
    with pytest.raises(RuntimeError) as failure:
        segment()
    assert "5 scans failed" in str(find_input_error(failure.value))
    assert not masks(out)


def test_a_worker_stopped_by_hand_does_not_count_against_the_scan(segment, out, monkeypatch):
    def interrupt(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(CascadeInferer, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        segment()
    assert Records(out).read("a/scan.nii.gz") == {}


def test_shards_share_the_scans_and_whoever_ends_last_writes_the_table_of_all(segment, out):
    shards = 2
    assert {shard_of(name, shards) for name in OUTCOMES} == {0, 1}
    segment(shard=1, shards=shards)
    assert outcomes(out) == {name: outcome for name, outcome in OUTCOMES.items() if shard_of(name, shards) == 1}
    segment(shard=0, shards=shards)
    assert outcomes(out) == OUTCOMES


def test_shards_are_of_about_one_size_and_do_not_change_when_scans_are_added():
    sizes = Counter(shard_of(f"{number}.nii.gz", 4) for number in range(4000))
    assert sorted(sizes) == [0, 1, 2, 3]
    assert max(sizes.values()) - min(sizes.values()) < 200


def coarse(_: int, header: FileDataset) -> None:
    header.PixelSpacing = list(SPACING[:2])


def test_series_in_folders_named_by_uids_keep_results_of_their_own(segment, archive, out, tmp_path):
    """Dots in the names of folders begin no suffix."""
    shutil.rmtree(archive)
    for uid in ("1.2.840.1", "1.2.840.2"):
        write_series(archive / "patient" / uid, [(0, 0, SPACING[2] * k) for k in range(SHAPE[2])], *SHAPE[:2], coarse)
    (archive / "patient" / "notes.txt").write_text("no scan")
    (archive / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    segment()
    assert outcomes(out) == {"patient/1.2.840.1": "done", "patient/1.2.840.2": "done"}
    assert masks(out).keys() == {"patient/1.2.840.1_seg.nii.gz", "patient/1.2.840.2_seg.nii.gz"}


def test_two_scans_whose_masks_would_have_one_name_are_both_refused(segment, archive, out):
    shutil.copy(archive / "a" / "scan.nii.gz", archive / "a" / "scan.nii")
    segment()
    rows = table(out)
    assert {name for name, row in rows.items() if "share its mask" in row["reason"]} == {
        "a/scan.nii.gz",
        "a/scan.nii",
    }
    assert masks(out).keys() == {"b/scan_seg.nii.gz", "b/z_seg.nii.gz"}


@pytest.fixture
def server(tmp_path):
    """A DICOM server with two whole series and one that lacks a slice."""
    pytest.importorskip("dicomweb_client")
    from battery.dicom_stub import DicomStub

    instances = []
    for number in range(3):
        places = [(0, 0, SPACING[2] * k) for k in range(SHAPE[2]) if number != 1 or k != 7]
        folder = write_series(tmp_path / "sent" / str(number), places, *SHAPE[:2], coarse)
        instances += [pydicom.dcmread(path) for path in folder.iterdir()]
    stub = DicomStub(instances)
    yield stub
    stub.stop()


def test_series_of_a_dicom_server_are_fetched_one_by_one_and_not_kept(workflow, server, out):
    def segment() -> None:
        configs = (*CONFIGS, "archive_dicomweb.json")
        workflow(*configs, workflow_type="infer", image_format=SMALL_GRID, url=server.url, output_dir=str(out)).run()

    server.trouble["fetch"] = lambda answer: answer.properly(part=0.5)
    segment()
    assert set(outcomes(out).values()) == {"failed"}
    del server.trouble["fetch"]
    segment()
    first, second, third = dict.fromkeys(entry.SeriesInstanceUID for entry in server.instances)
    by_series = {name.split("/")[1]: outcome for name, outcome in outcomes(out).items()}
    assert by_series == {first: "done", second: "refused", third: "done"}
    assert {Path(mask).name for mask in masks(out)} == {f"{first}_seg.nii.gz", f"{third}_seg.nii.gz"}
    assert not [path for path in (out / "fetched").rglob("*") if path.is_file()]


def test_a_dicom_server_that_lists_nothing_or_nonsense_is_refused(server, out):
    archive = DicomWebArchive(server.url, out)
    server.instances[0].StudyInstanceUID = "../.."
    server.instances[0].SeriesInstanceUID = "1.2.3"
    with pytest.raises(InputError, match="no UIDs"):
        archive.names()
    server.instances.clear()
    with pytest.raises(InputError, match="has no CT series"):
        archive.names()
    server.trouble["search"] = lambda answer: answer.send(b"", status=404)
    with pytest.raises(InputError, match="does not list its series"):
        archive.names()
    with pytest.raises(InputError, match="no address"):
        DicomWebArchive("somewhere", out)


def test_names_that_are_no_text_reach_the_table_escaped(out):
    Records(out).write("a\udcff.nii.gz", {"outcome": "refused", "reason": "a\udcff.nii.gz is empty"})
    Records(out).collect()
    assert table(out)["a\\udcff.nii.gz"]["reason"] == "a\\udcff.nii.gz is empty"


def one_file(folder: Path, name: str = "scan.nii.gz") -> Path:
    folder.mkdir()
    (folder / name).write_bytes(b"")
    return folder


REFUSED = {
    "absent folder": (lambda d: d / "absent", "no folder"),
    "nothing in it": (lambda d: one_file(d / "empty", "notes.txt"), "holds no NIfTI"),
    "slices in it": (lambda d: write_series(d / "series"), "holds slices itself"),
    "results in it": (lambda d: d, "outside of it"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_an_archive_that_cannot_be_one_is_refused(fault, tmp_path):
    make, words = REFUSED[fault]
    with pytest.raises(InputError, match=words):
        FolderArchive(make(tmp_path), tmp_path / "out").names()


def test_options_that_cannot_be_are_refused_before_a_scan_is_read(segment, out):
    for options, words in (
        ({"shard": 2, "shards": 2}, "from 0 to"),
        ({"again": ["done"]}, "no outcome to try again"),
    ):
        with pytest.raises(RuntimeError) as failure:
            segment(**options)
        assert words in str(find_input_error(failure.value))
    assert not out.exists()


def test_a_shard_that_another_process_is_at_is_refused(segment, out):
    (out / "records").mkdir(parents=True)
    with FileLock(out / "records" / ".shard_0_of_1.lock"), pytest.raises(RuntimeError) as failure:
        segment()
    assert "Another process is at the shard" in str(find_input_error(failure.value))


def test_a_damaged_record_is_named(segment, out):
    (out / "records" / "a").mkdir(parents=True)
    (out / "records" / "a" / "scan.nii.gz.json").write_text("{")
    with pytest.raises(RuntimeError) as failure:
        segment()
    assert "is no record of a scan" in str(find_input_error(failure.value))


def test_a_worker_that_is_killed_loses_nothing_and_its_successor_repeats_nothing(bundle_root, archive, out, segment):
    for number in range(30):
        shutil.copy(archive / "b" / "z.nii.gz", archive / "b" / f"{number:02d}.nii.gz")
    names = FolderArchive(archive, out).names()
    records = Records(out)
    command = [sys.executable, "-m", "monai.bundle", "run", "--image_format", json.dumps(SMALL_GRID)]
    command += ["--config_file", str([str(bundle_root / "configs" / name) for name in CONFIGS])]
    command += ["--archive_dir", str(archive), "--output_dir", str(out)]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while records.read("a/scan.nii.gz").get("outcome") != "done":
            assert worker.poll() is None
            time.sleep(0.01)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    finished = {name for name in names if records.read(name).get("outcome") == "done"}
    assert finished < set(names)
    before = {name: (out / name.replace(".nii.gz", "_seg.nii.gz")).stat().st_mtime_ns for name in finished}
    segment()
    after = {name: (out / name.replace(".nii.gz", "_seg.nii.gz")).stat().st_mtime_ns for name in finished}
    assert after == before
    assert outcomes(out) == {name: "refused" if name == "a/cut.nii.gz" else "done" for name in names}
    assert len(masks(out)) == len(names) - 1
    assert {np.asarray(nib.load(out / mask).dataobj).shape for mask in masks(out)} == {SHAPE}
