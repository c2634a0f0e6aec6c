"""Strategies as the simulation asks them: those of the app, and two more that they are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dualtask.active_learning import STRATEGIES


@dataclass(frozen=True)
class Looks:
    """What a trained network makes of every scan of the pool, labelled or not.

    Attributes:
        uncertainty: [n] how much the two tasks disagree, in [0, 1].
        entropy: [n] of the probabilities where the pancreas may be, in bits.
        embeddings: [n, d].
        groups: [n] of the scans, such as (site, whether a lesion was predicted).
    """

    uncertainty: np.ndarray
    entropy: np.ndarray
    embeddings: np.ndarray
    groups: Sequence[Hashable]


Selection = Callable[[Looks, Sequence[int], Sequence[int], int, np.random.Generator], list[int]]
"""(looks, indices that may be chosen, indices that have a label, how many, chance) -> the chosen indices."""


def of_the_app(
    name: str,
    looks: Looks,
    pool: Sequence[int],
    labelled: Sequence[int],
    count: int,
    rng: np.random.Generator,
) -> list[int]:
    """By a strategy of ``dualtask.active_learning.STRATEGIES``."""
    known, free = list(labelled), list(pool)
    chosen = STRATEGIES[name](looks.uncertainty[free], looks.embeddings[free], looks.embeddings[known], count, rng)
    return [free[index] for index in chosen]


def stratified_chance(
    looks: Looks, pool: Sequence[int], labelled: Sequence[int], count: int, rng: np.random.Generator
) -> list[int]:
    """By chance, each time from a group of which fewest have a label: what a careful project does without a network's
    uncertainty."""
    known = Counter(looks.groups[index] for index in labelled)
    free = [pool[index] for index in rng.permutation(len(pool))]
    chosen: list[int] = []
    while free and len(chosen) < count:
        # The first of equals, in an order that chance made.
        scan = min(free, key=lambda index: known[looks.groups[index]])
        free.remove(scan)
        chosen.append(scan)
        known[looks.groups[scan]] += 1
    return chosen


def entropy_with_noise(
    looks: Looks, pool: Sequence[int], labelled: Sequence[int], count: int, rng: np.random.Generator
) -> list[int]:
    """Scans drawn without replacement, with probabilities that go as their entropies.

    The highest entropies alone are often those of scans that are alike (Kirsch et al. 2023, arXiv 2106.12059, power
    acquisition). Drawn as the largest sums of a logarithm and Gumbel noise.
    """
    free = list(pool)
    entropy = np.maximum(looks.entropy[free], np.finfo(float).tiny)
    order = np.argsort(-(np.log(entropy) + rng.gumbel(size=len(free))), kind="stable")
    return [free[index] for index in order[:count]]


SELECTIONS: dict[str, Selection] = {
    **{name: partial(of_the_app, name) for name in STRATEGIES},
    "stratified": stratified_chance,
    "entropy_with_noise": entropy_with_noise,
}
