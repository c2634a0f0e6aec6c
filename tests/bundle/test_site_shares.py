"""How often each hospital's scans are shown in training."""

from __future__ import annotations

import pytest

from dualtask.errors import InputError
from dualtask.scans import site_weights

CASES = [{"site": "metro"}] * 4 + [{"site": "coastal"}]


def test_a_site_gets_its_share_however_many_cases_it_has():
    weights = site_weights(CASES, {"metro": 2.0, "coastal": 1.0})
    assert weights == [0.5] * 4 + [1.0]
    assert sum(weights[:4]) == 2 * weights[4]


def test_without_shares_all_cases_are_alike():
    assert site_weights([*CASES, {}], {}) == [1.0] * 6


def test_cases_without_a_site_are_a_site_without_a_name():
    assert site_weights([{}, {}, {"site": "metro"}], {"": 1.0, "metro": 3.0}) == [0.5, 0.5, 3.0]


@pytest.mark.parametrize(
    ("shares", "named"), [({"metro": 1.0}, "coastal"), ({"metro": 1.0, "coastal": 1.0, "valley": 1.0}, "valley")]
)
def test_a_site_without_a_share_or_a_share_without_a_site_is_one_sentence(shares, named):
    with pytest.raises(InputError) as refusal:
        site_weights(CASES, shares)
    sentence = str(refusal.value)
    assert sentence.startswith("The sites of the training cases are coastal, metro,")
    assert f"differs by {named}: give each of them a share and no other." in sentence
    assert "\n" not in sentence
