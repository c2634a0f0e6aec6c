"""Every damaged or odd input is read rightly, or refused in one sentence with the name of the file and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from battery.page import listed_inputs
from battery.trial import INPUTS, try_input


@pytest.mark.parametrize("given", INPUTS, ids=lambda given: given.name)
def test_the_input_is_read_rightly_or_refused_in_one_sentence(given, tmp_path: Path):
    assert try_input(given, tmp_path).faults == ()


def test_there_are_at_least_sixty_inputs_of_different_names():
    assert len({given.name for given in INPUTS}) == len(INPUTS) >= 60


def test_the_page_lists_these_inputs():
    assert listed_inputs() == [given.name for given in INPUTS], "run python -m battery"
