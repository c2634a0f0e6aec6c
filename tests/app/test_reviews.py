"""Reviews of final labels, as they are kept with the labels, and what two readers make of one study. The masks are
made up."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dualtask.errors import InputError
from lib.datastore import StudyFolder
from lib.proposals import Proposals
from lib.readings import Readings
from lib.reviews import APPROVED, READINGS, REVIEW, SECOND_READER, SENT_BACK, review_of, status_of
from lib.table import COLUMNS, AnnotationTable

SLAB, SHIFTED, SPOT = np.s_[4:8, 4:16, 4:16], np.s_[5:9, 4:16, 4:16], np.s_[5:7, 5:7, 5:7]


def mask(path: Path, organ: tuple[slice, ...], lesion: tuple[slice, ...] | None = None) -> str:
    """A label map whose voxels are 3 mm long along x."""
    voxels = np.zeros((20, 20, 20), np.uint8)
    voxels[organ] = 1
    if lesion:
        voxels[lesion] = 2
    nib.save(nib.Nifti1Image(voxels, np.diag([3.0, 1.0, 1.0, 1.0])), path)
    return str(path)


@pytest.fixture
def store(tmp_path: Path, clock) -> StudyFolder:
    (tmp_path / "studies").mkdir()
    for study in "ab":
        (tmp_path / "studies" / f"{study}.nii.gz").touch()
    return StudyFolder(str(tmp_path / "studies"), extensions=["*.nii.gz"])


@pytest.fixture
def save(store, clock, tmp_path: Path):
    """Save a final label a minute later."""

    def save(study: str, who: str, organ=SLAB, lesion=None) -> None:
        clock[0] += 60
        store.save_label(study, mask(tmp_path / "label.nii.gz", organ, lesion), "final", {"client_id": who})

    return save


@pytest.fixture
def review(store, clock):
    """Review a final label a minute later."""

    def review(study: str, status: str, **more: object) -> None:
        clock[0] += 60
        given = {"status": status, "approvedBy": "reviewer", **more}
        store.update_label_info(study, "final", {REVIEW: given})

    return review


@pytest.fixture
def table(store) -> AnnotationTable:
    return AnnotationTable(
        store, Proposals(store.state_dir / "proposals", store), Readings(store.state_dir / "readings", store)
    )


def test_label_waits_for_its_review_again_once_it_is_corrected(store, save, review):
    save("a", "x")
    assert status_of(store.final_record("a")) is None
    review("a", SENT_BACK, comment="The  tail is\nmissing.")
    kept = review_of(store.final_record("a"))
    assert (kept["status"], kept["comment"], kept["approvedBy"]) == (SENT_BACK, "The tail is missing.", "reviewer")
    save("a", "x")
    assert status_of(store.final_record("a")) is None
    review("a", APPROVED)
    assert status_of(store.final_record("a")) == APPROVED


def test_review_outlives_a_restart_and_a_kill_while_it_is_written(store, save, review, monkeypatch):
    save("a", "x")
    review("a", SENT_BACK, comment="Too large.")
    with monkeypatch.context() as killed:
        killed.setattr("os.replace", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            review("a", APPROVED)
    again = StudyFolder(store._datastore_path, extensions=["*.nii.gz"])
    assert review_of(again.final_record("a"))["comment"] == "Too large."


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"status": "fine"}, "no review 'fine': choose one of approved, flagged, second reader"),
        ({}, "no review None"),
        ("approved", "no review None"),
        ({"status": SENT_BACK, "comment": "  "}, "say in a sentence what to correct"),
        ({"status": SENT_BACK, "comment": "x" * 501}, "write another"),
        ({"status": APPROVED, "ts": 5}, "saved anew meanwhile: look at it again"),
    ],
    ids=["unknown status", "no status", "no object", "no sentence", "no end", "another label"],
)
def test_review_that_says_nothing_that_can_be_done_is_refused_in_a_sentence(store, save, given, words: str):
    save("a", "x")
    with pytest.raises(InputError, match=words):
        store.update_label_info("a", "final", {REVIEW: given})
    assert status_of(store.final_record("a")) is None


def test_label_of_nobody_is_not_handed_to_a_second_reader_who_might_be_the_first(store, save, review):
    save("a", "")
    with pytest.raises(InputError, match="could not be told from a second one: sign in"):
        review("a", SECOND_READER)


def test_first_reader_is_no_second_one_and_another_is(store, save, review):
    save("a", "x", SLAB)
    review("a", SECOND_READER)
    save("a", "x", SHIFTED)
    assert status_of(store.final_record("a")) == SECOND_READER
    assert store.label_at_hand("a", READINGS[1]) is None
    save("a", "y", SHIFTED)
    assert status_of(store.final_record("a")) is None
    assert [store.label_at_hand("a", tag)[1]["annotator"] for tag in READINGS] == ["x", "y"]


def test_labels_that_were_sent_back_teach_nobody(store, save, review):
    save("a", "x")
    save("b", "x")
    review("a", SENT_BACK, comment="Too large.")
    review("b", APPROVED)
    assert [Path(pair["image"]).name for pair in store.datalist()] == ["b.nii.gz"]


def test_table_says_how_far_two_readers_agree_whatever_becomes_of_the_final_label(table, save, review):
    save("a", "x", SLAB, SPOT)
    review("a", SECOND_READER)
    save("a", "y", SHIFTED)
    save("a", "z", SPOT)
    review("a", APPROVED)
    (row,) = csv.DictReader(io.StringIO(table.csv()))
    assert tuple(row) == COLUMNS
    assert (row["study"], row["annotator"], row["review"], row["reviewer"]) == ("a", "z", APPROVED, "reviewer")
    assert (row["first_reader"], row["second_reader"], row["proposed"]) == ("x", "y", "")
    assert float(row["readers_dice_pancreas"]) == pytest.approx(3 / 4)
    assert (float(row["readers_dice_lesion"]), row["readers_surface_mm_lesion"]) == (0, "")
    # Two of six faces are a voxel of 3 mm apart, the others lie on one another.
    assert 0 < float(row["readers_surface_mm_pancreas"]) < 3


def test_two_readers_who_draw_the_same_agree(table, save, review):
    save("a", "x", SLAB, SPOT)
    review("a", SECOND_READER)
    save("a", "y", SLAB, SPOT)
    (row,) = table.rows()
    assert [row[f"readers_dice_{name}"] for name in ("pancreas", "lesion")] == [1, 1]
    assert [row[f"readers_surface_mm_{name}"] for name in ("pancreas", "lesion")] == [0, 0]


def test_study_that_is_handed_over_anew_is_compared_anew(table, store, save, review):
    save("a", "x", SLAB)
    review("a", SECOND_READER)
    save("a", "y", SLAB)
    assert table.rows()[0]["readers_dice_pancreas"] == 1
    review("a", SECOND_READER)
    assert store.label_at_hand("a", READINGS[1]) is None
    assert table.rows()[0]["first_reader"] == ""
    save("a", "x", SHIFTED)
    (row,) = table.rows()
    assert (row["first_reader"], row["second_reader"]) == ("y", "x")
    assert row["readers_dice_pancreas"] < 1


def test_study_without_proposal_review_or_second_reader_is_no_row(table, save):
    save("a", "x")
    assert table.rows() == []
