import time
from types import SimpleNamespace

import pytest

from lib.strategies import strategies


def datastore(**offered: float) -> SimpleNamespace:
    """A datastore of unlabelled studies, with the time at which each was last offered."""
    return SimpleNamespace(
        get_unlabeled_images=lambda *_: list(offered),
        get_image_info=lambda study: {"strategy": {"random": {"ts": offered[study]}}} if offered[study] else {},
    )


@pytest.mark.parametrize("name", ["random", "first"])
def test_nothing_is_next_when_all_studies_are_labelled(name: str):
    assert strategies()[name]({"strategy": name}, datastore()) is None


def test_first_takes_studies_in_alphabetical_order():
    assert strategies()["first"]({"strategy": "first"}, datastore(b=0, a=0)) == {"id": "a"}


def test_random_offers_a_study_again_within_the_same_second():
    assert strategies()["random"]({"strategy": "random"}, datastore(only=time.time())) == {"id": "only"}


def test_random_reaches_every_study():
    store = datastore(a=time.time(), b=time.time(), c=time.time())
    assert {strategies()["random"]({"strategy": "random"}, store)["id"] for _ in range(200)} == {"a", "b", "c"}


def test_random_prefers_what_was_not_offered_lately():
    store = datastore(offered=time.time(), fresh=0)
    assert {strategies()["random"]({"strategy": "random"}, store)["id"] for _ in range(50)} == {"fresh"}
