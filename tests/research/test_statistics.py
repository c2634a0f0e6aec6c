"""Intervals cover, comparisons are paired by case, corrections are those of the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtask_research.statistics import case_means, compare, holm, mean_interval, rank_biserial


def rows(variant: str, dice: dict[str, list[float]], site: str = "metro") -> list[dict[str, object]]:
    return [
        {"variant": variant, "test_site": site, "case": case, "seed": seed, "dice": str(value)}
        for case, values in dice.items()
        for seed, value in enumerate(values)
    ]


def test_a_case_counts_once_however_many_seeds_it_was_scored_with():
    means = case_means(rows("full", {"a": [0.2, 0.4], "b": [0.9], "c": [math.nan]}), "dice")
    assert means["full"] == {("metro", "a"): pytest.approx(0.3), ("metro", "b"): 0.9}


def test_cases_of_two_sites_may_share_a_name():
    means = case_means(rows("full", {"a": [0.2]}) + rows("full", {"a": [0.4]}, site="valley"), "dice")
    assert means["full"] == {("metro", "a"): 0.2, ("valley", "a"): 0.4}


def test_the_interval_of_many_cases_is_the_one_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(0.6, 0.1, 400)
    interval = mean_interval(values.tolist())
    half_width = 1.96 * values.std() / math.sqrt(400)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * half_width, rel=0.1)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5]])
def test_too_few_different_values_give_no_made_up_interval(values):
    interval = mean_interval(values)
    assert interval.n == len(values)
    assert (math.isnan(interval.low) and math.isnan(interval.high)) if not values else interval.low == interval.high


def test_holm_gives_the_values_of_the_textbook():
    # Holm 1979 by hand: 0.01 x 4, 0.02 x 3, 0.03 x 2, and the last not below the one before.
    assert holm([0.01, 0.03, math.nan, 0.02, 0.04]) == pytest.approx([0.04, 0.06, math.nan, 0.06, 0.06], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_correction_never_lowers_a_p_value_and_keeps_their_order(p_values):
    corrected = holm(p_values)
    assert all(after >= before for before, after in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_the_effect_is_the_difference_of_the_favourable_and_the_unfavourable_rank_sum():
    assert rank_biserial(np.array([0.1, 0.2, 0.3])) == 1
    # Ranks 1, 2, 3 with the largest against it: (1 + 2 - 3) / 6.
    assert rank_biserial(np.array([0.1, 0.2, -0.3, 0.0])) == pytest.approx(0)


def test_a_variant_is_compared_on_the_cases_that_both_have():
    reference = {str(case): [0.5 + 0.01 * case] for case in range(12)}
    better = {case: [values[0] + 0.1] for case, values in reference.items()} | {"only here": [0.0]}
    (comparison,) = compare(rows("full", reference) + rows("better", better), "dice", "full")
    assert comparison.difference.n == 12
    assert comparison.difference.mean == pytest.approx(0.1)
    # All twelve signs are equal: the smallest two-sided p of the exact test.
    assert comparison.p == pytest.approx(2 / 2**12, rel=0.01)
    assert comparison.effect == 1


def test_fewer_than_six_different_cases_are_not_tested():
    reference = {str(case): [0.5] for case in range(5)}
    other = {case: [0.6] for case in reference}
    (comparison,) = compare(rows("full", reference) + rows("other", other), "dice", "full")
    assert math.isnan(comparison.p)


def test_only_seeds_that_both_variants_have_are_compared():
    reference = {str(case): [0.5, 0.9] for case in range(8)}
    other = {case: [0.5] for case in reference}
    (comparison,) = compare(rows("full", reference) + rows("other", other), "dice", "full")
    assert comparison.difference.mean == 0


def test_a_fold_that_one_variant_has_in_fewer_seeds_is_compared_in_these():
    reference = rows("full", {str(case): [0.5, 0.9] for case in range(8)})
    reference += rows("full", {str(case): [0.5, 0.7] for case in range(8)}, site="valley")
    other = rows("other", {str(case): [0.5] for case in range(8)})
    other += rows("other", {str(case): [0.5, 0.7] for case in range(8)}, site="valley")
    (comparison,) = compare(reference + other, "dice", "full")
    assert comparison.difference.n == 16
    assert comparison.difference.mean == 0
