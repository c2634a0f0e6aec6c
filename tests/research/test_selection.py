"""What the simulation compares the app's strategies with, on pools where the right choice can be seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from dualtask_research.active_learning.looks import mean_entropy
from dualtask_research.active_learning.selection import Looks, entropy_with_noise, of_the_app, stratified_chance


def looks(entropy=(), groups=(), uncertainty=()) -> Looks:
    count = max(len(entropy), len(groups), len(uncertainty))
    return Looks(np.array(uncertainty), np.array(entropy, float), np.eye(count), list(groups))


def test_a_strategy_of_the_app_chooses_among_the_pool_by_the_indices_of_all_scans():
    chosen = of_the_app(
        "uncertainty", looks(uncertainty=[0.9, 0.1, 0.5, 0.3]), [1, 2, 3], [0], 2, np.random.default_rng(0)
    )
    assert chosen == [2, 3]


def test_stratified_chance_fills_the_groups_of_which_fewest_are_labelled():
    groups = ["a"] * 10 + ["b"] * 3 + ["c"] * 2
    chosen = stratified_chance(looks(groups=groups), list(range(1, 15)), [0], 5, np.random.default_rng(0))
    assert Counter(groups[index] for index in [0, *chosen]) == {"a": 2, "b": 2, "c": 2}
    assert len(set(chosen)) == 5 and 0 not in chosen


def test_within_a_group_only_chance_decides():
    seen = [
        stratified_chance(looks(groups="aaa"), [0, 1, 2], [], 1, np.random.default_rng(seed))[0] for seed in range(300)
    ]
    assert min(np.bincount(seen, minlength=3)) > 70


def test_a_pool_that_is_smaller_than_the_batch_is_taken_whole():
    assert sorted(stratified_chance(looks(groups="aab"), [0, 2], [1], 9, np.random.default_rng(0))) == [0, 2]


def test_scans_are_drawn_as_often_as_their_share_of_the_entropy_says():
    drawn = [
        entropy_with_noise(looks(entropy=[0.6, 0.9, 0.3]), [0, 2], [1], 1, np.random.default_rng(seed))[0]
        for seed in range(900)
    ]
    assert 1 not in drawn
    assert drawn.count(0) == pytest.approx(600, abs=60)


def test_a_scan_without_entropy_is_drawn_last():
    assert entropy_with_noise(looks(entropy=[0.0, 1e-6]), [0, 1], [], 2, np.random.default_rng(0)) == [1, 0]


@pytest.mark.parametrize(
    ("organ", "lesion", "bits"), [(0.5, 0.5, 1.0), (1.0, 0.0, 0.0), (0.5, 0.0, 0.5), (0.05, 0.5, 0.0)]
)
def test_entropy_is_that_of_the_voxels_that_may_be_pancreas(organ, lesion, bits):
    probability = torch.zeros(2, 4, 4, 4)
    probability[0, 1:3], probability[1, 1:3] = organ, lesion
    assert mean_entropy(probability) == pytest.approx(bits, abs=1e-6)
