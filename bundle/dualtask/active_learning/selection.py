"""Strategies that choose scans to label from scores and embeddings alone.

Every strategy takes the same arguments:

- ``uncertainty`` [n]: how much the two tasks disagree on each scan of the pool, in [0, 1];
- ``embeddings`` [n, d] of the scans of the pool;
- ``labelled`` [m, d]: embeddings of the scans that have a label, m may be 0;
- ``count``: how many to choose, at most n;
- ``rng``: used for chance and nothing else;

and returns the indices of the chosen scans, best first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Strategy = Callable[[np.ndarray, np.ndarray, np.ndarray, int, np.random.Generator], list[int]]


def by_chance(
    uncertainty: np.ndarray, embeddings: np.ndarray, labelled: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """Scans by chance."""
    return rng.permutation(len(uncertainty))[:count].tolist()


def most_uncertain(
    uncertainty: np.ndarray, embeddings: np.ndarray, labelled: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """The scans on which the two tasks disagree most."""
    return np.argsort(-np.asarray(uncertainty), kind="stable")[:count].tolist()


def core_set(
    uncertainty: np.ndarray, embeddings: np.ndarray, labelled: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """The core set by farthest-first traversal (Sener and Savarese, arXiv 1708.00489).

    Each choice is the scan that is farthest from all labelled and chosen ones. Without labelled scans the first is the
    one nearest to the middle of the pool, so that no outlier is the first to be labelled.
    """
    return _farthest_first(np.ones(len(embeddings)), embeddings, labelled, count)


def uncertain_core_set(
    uncertainty: np.ndarray, embeddings: np.ndarray, labelled: np.ndarray, count: int, rng: np.random.Generator
) -> list[int]:
    """Farthest-first with each distance weighted by the rank of the scan's uncertainty.

    The rank, in (0, 1], makes the weight independent of the scale of the uncertainties, which shrink as the network
    learns.
    """
    ranks = (np.argsort(np.argsort(uncertainty, kind="stable"), kind="stable") + 1) / max(len(uncertainty), 1)
    return _farthest_first(ranks, embeddings, labelled, count)


STRATEGIES: dict[str, Strategy] = {
    "random": by_chance,
    "uncertainty": most_uncertain,
    "diversity": core_set,
    "combined": uncertain_core_set,
}


def _farthest_first(weights: np.ndarray, embeddings: np.ndarray, labelled: np.ndarray, count: int) -> list[int]:
    pool, reference = _standardised(embeddings, labelled)
    free = np.ones(len(pool), dtype=bool)
    if len(reference):
        distance = np.min([np.linalg.norm(pool - known, axis=1) for known in reference], axis=0)
    else:
        from_middle = np.linalg.norm(pool - pool.mean(axis=0), axis=1)
        distance = 1 / (1 + from_middle)
    chosen: list[int] = []
    while len(chosen) < min(count, len(pool)):
        best = int(np.argmax(np.where(free, weights * distance, -np.inf)))
        chosen.append(best)
        free[best] = False
        to_best = np.linalg.norm(pool - pool[best], axis=1)
        distance = to_best if not len(reference) and len(chosen) == 1 else np.minimum(distance, to_best)
    return chosen


def _standardised(embeddings: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets with mean 0 and standard deviation 1 of each feature: features of large values would decide alone."""
    everything = np.concatenate([embeddings, np.reshape(labelled, (-1, np.shape(embeddings)[1]))]).astype(float)
    deviation = everything.std(axis=0)
    scaled = (everything - everything.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return scaled[: len(embeddings)], scaled[len(embeddings) :]
