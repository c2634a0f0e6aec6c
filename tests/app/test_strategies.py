"""The strategies as viewers ask them; what they choose from scores is tested with the bundle."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib.reservations import Reservations
from lib.results import Result
from lib.strategies import DEFAULT, strategies

NAMES = ["random", "chance", "uncertainty", "diversity", "combined", "first"]
REVIEW = "review"


def datastore(*unlabelled: str, **labelled: dict | None) -> SimpleNamespace:
    """Studies without a final label, and the record of the label of those that have one."""
    return SimpleNamespace(
        get_unlabeled_images=lambda: list(unlabelled),
        get_labeled_images=lambda: list(labelled),
        final_record=labelled.get,
    )


def label(annotator: str, status: str | None = None, reviewed: float = 0.0, ts: int = 0) -> dict:
    """Record of a final label."""
    review = {"segmentationMeta": {"status": status, "editTime": reviewed}} if status else {}
    return {"annotator": annotator, "ts": ts, **review}


def scored(uncertainty: float, *embedding: float) -> Result:
    params = {"scan_uncertainty": {"pancreas": uncertainty, "lesion": uncertainty}}
    return Result(Path("mask.nii.gz"), params, embedding)


@pytest.fixture
def scores() -> dict[str, Result]:
    return {}


@pytest.fixture
def ask(scores, tmp_path: Path):
    """Ask for the next sample: (strategy, datastore, who) -> study or None."""
    labelling, reviewing = (Reservations(tmp_path / name, minutes=60) for name in ("labelling", "reviewing"))
    known = strategies(labelling, reviewing, scores.get)
    assert list(known) == [*NAMES, REVIEW]

    def ask(name: str, store: SimpleNamespace, who: str = "annotator") -> str | None:
        answer = known[name]({"strategy": name, "client_id": who}, store)
        return answer["id"] if answer else None

    return ask


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_next_when_all_studies_are_labelled(ask, name: str):
    assert ask(name, datastore(a=None)) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_answers_before_anything_is_scored(ask, name: str):
    assert ask(name, datastore("a", "b")) in {"a", "b"}


def test_first_takes_studies_in_alphabetical_order(ask):
    store = datastore("b", "a", "c")
    assert [ask("first", store) for _ in range(3)] == ["a", "b", "c"]


def test_two_annotators_never_get_the_same_study(ask):
    store = datastore("a", "b", "c", "d")
    given = [ask(name, store, who) for name, who in zip(NAMES[:4], "xyxy", strict=True)]
    assert sorted(given) == ["a", "b", "c", "d"]
    assert ask("random", store, "third") is None


def test_annotator_who_was_given_everything_gets_one_of_their_own_again(ask):
    store = datastore("a", "b")
    assert {ask("random", store, "x"), ask("random", store, "x")} == {"a", "b"}
    assert ask("random", store, "x") in {"a", "b"}
    assert ask("random", store, "y") is None


def test_uncertainty_takes_the_study_on_which_the_tasks_disagree_most(ask, scores):
    scores.update(a=scored(0.1, 0.0), b=scored(0.4, 0.0), c=scored(0.2, 0.0))
    assert [ask("uncertainty", datastore("a", "b", "c")) for _ in range(3)] == ["b", "c", "a"]


def test_diversity_takes_the_study_least_like_the_labelled_ones(ask, scores):
    scores.update(a=scored(0.9, 1.0), b=scored(0.1, 5.0), done=scored(0.5, 0.0))
    assert ask("diversity", datastore("a", "b", done=None)) == "b"


def test_name_that_ohif_asks_for_gets_the_default_strategy(ask, scores):
    assert DEFAULT == "combined"
    scores.update(near=scored(0.9, 0.1), far=scored(0.8, 5.0), dull=scored(0.1, 5.0), done=scored(0.5, 0.0))
    assert ask("random", datastore("near", "far", "dull", done=None)) == "far"


def test_scored_studies_come_before_those_without_a_score(ask, scores):
    scores["b"] = scored(0.1, 0.0)
    assert ask("combined", datastore("a", "b", "c")) == "b"


def test_scan_that_turns_out_unusable_is_not_offered_again(ask, scores):
    assert ask("first", datastore("broken")) == "broken"
    scores["broken"] = Result(None, {"error": "it is cut off"}, ())
    assert ask("first", datastore("broken")) is None


def test_scan_that_cannot_be_used_is_not_offered(ask, scores):
    scores["broken"] = Result(None, {"error": "it is cut off"}, ())
    assert ask("combined", datastore("broken", "good")) == "good"
    assert [ask(name, datastore("broken")) for name in NAMES] == [None] * len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_study_that_was_sent_back_comes_first_and_to_its_annotator_before_others(ask, name: str):
    store = datastore("new", theirs=label("y", "flagged", 1.0), own=label("x", "flagged", 2.0))
    assert [ask(name, store, "x") for _ in range(3)] == ["own", "theirs", "new"]


def test_study_is_offered_again_although_its_annotator_has_reserved_it_for_the_first_round(ask):
    assert ask("first", datastore("a", "b"), "x") == "a"
    assert ask("first", datastore("b", a=label("x", "flagged", time.time())), "y") == "a"


@pytest.mark.parametrize("name", NAMES)
def test_study_for_a_second_reader_is_offered_to_anybody_but_the_first_and_those_without_a_name(ask, name: str):
    store = datastore("new", read=label("x", "second reader"))
    assert ask(name, store, "x") == "new"
    assert ask(name, store, None) is None
    assert ask(name, store, "y") == "read"


@pytest.mark.parametrize("name", [*NAMES, REVIEW])
def test_approved_study_is_not_offered_again(ask, name: str):
    assert ask(name, datastore(done=label("x", "approved"))) is None


def test_reviewers_get_the_labels_that_wait_the_oldest_first_and_each_another(ask):
    store = datastore("new", late=label("x", ts=9), early=label("y", ts=5), back=label("x", "flagged"))
    assert [ask(REVIEW, store, who) for who in ("r", "s", "t")] == ["early", "late", None]


def test_label_that_lies_in_the_dicom_server_alone_waits_too(ask):
    assert ask(REVIEW, datastore(elsewhere=None)) == "elsewhere"
