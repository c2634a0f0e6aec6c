"""What a strategy is worth: annotation simulated on a pool whose labels are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dualtask_research.active_learning.selection import Looks, Selection


@dataclass(frozen=True)
class Learner:
    """A trained network, as far as strategies and tables need it.

    Attributes:
        score: on scans that are not in the pool, such as the mean Dice.
        looks: at the whole pool.
    """

    score: float
    looks: Looks


@dataclass(frozen=True)
class Round:
    """The indices of the scans that were labelled, in the order of labelling, and the score after training on them."""

    labelled: tuple[int, ...]
    score: float


def simulate(
    select: Selection,
    train: Callable[[list[int]], Learner],
    size: int,
    initial: int,
    batch: int,
    rounds: int,
    seed: int,
) -> list[Round]:
    """Label, train, choose, label, ...

    Args:
        select: one of ``SELECTIONS``.
        train: trains on the scans of these indices.
        size: number of scans in the pool.
        initial: number of scans that are labelled before the first choice; the seed alone decides which, so that all
            strategies start alike.
        batch: number of scans that are labelled in each further round.
        rounds: number of trainings; fewer when the pool is exhausted.
        seed: of the start and of the strategy's chance.

    Returns:
        one entry for each training.
    """
    rng = np.random.default_rng(seed)
    labelled = rng.permutation(size)[:initial].tolist()
    result: list[Round] = []
    while True:
        learner = train(labelled)
        result.append(Round(tuple(labelled), learner.score))
        pool = sorted(set(range(size)) - set(labelled))
        if len(result) == rounds or not pool:
            return result
        labelled = [*labelled, *select(learner.looks, pool, labelled, min(batch, len(pool)), rng)]
