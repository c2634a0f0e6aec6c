"""Annotation simulated on points, where the right choice can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from dualtask_research.active_learning import SELECTIONS, Learner, Looks, simulate


class NearestNeighbour:
    """Learns points on a line; the score is how well the labelled ones cover it."""

    def __init__(self) -> None:
        self.points = np.linspace(0, 1, 21)[:, None]
        self.trainings: list[list[int]] = []

    def __call__(self, labelled: list[int]) -> Learner:
        self.trainings.append(list(labelled))
        distance = np.abs(self.points - self.points[labelled].T).min(axis=1)
        looks = Looks(
            uncertainty=distance, entropy=distance, embeddings=self.points, groups=[p > 0.7 for p in self.points[:, 0]]
        )
        return Learner(score=-distance.max(), looks=looks)


@pytest.mark.parametrize("name", SELECTIONS)
def test_simulation_labels_a_batch_a_round_and_never_a_scan_twice(name: str):
    train = NearestNeighbour()
    rounds = simulate(SELECTIONS[name], train, size=21, initial=2, batch=3, rounds=4, seed=0)
    assert [len(labelled) for labelled in train.trainings] == [2, 5, 8, 11]
    assert all(len(set(labelled)) == len(labelled) for labelled in train.trainings)
    assert [len(one.labelled) for one in rounds] == [2, 5, 8, 11]
    assert [one.score for one in rounds] == [train(list(one.labelled)).score for one in rounds]


def test_simulation_ends_when_all_scans_are_labelled():
    rounds = simulate(SELECTIONS["random"], NearestNeighbour(), size=21, initial=15, batch=5, rounds=10, seed=0)
    assert [len(one.labelled) for one in rounds] == [15, 20, 21]


def test_strategies_of_one_seed_start_from_the_same_scans():
    starts = {
        simulate(strategy, NearestNeighbour(), 21, 3, 1, 1, seed=4)[0].labelled for strategy in SELECTIONS.values()
    }
    assert len(starts) == 1


def test_strategy_that_covers_the_pool_beats_chance_where_coverage_is_the_score():
    def end(name: str) -> float:
        return np.mean(
            [simulate(SELECTIONS[name], NearestNeighbour(), 21, 2, 1, 6, seed)[-1].score for seed in range(20)]
        )

    assert end("diversity") > end("random")
