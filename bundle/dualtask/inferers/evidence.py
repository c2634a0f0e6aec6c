"""What the cascade saw on its way to a result and the maps no longer show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EVIDENCE = "evidence"
"""Under this name it travels in the ``meta`` of the maps. It is no number and no list on purpose: MONAI takes lists in
the meta data of a batch apart, and hands on everything else as it is."""


@dataclass(frozen=True)
class Evidence:
    """Traces of the cascade on one scan; None where there is no such thing.

    Attributes:
        rounds_agreement: Dice of the organ in the last two rounds, of which the localiser's mask may be one.
        localiser_agreement: Dice of the localiser's mask and the final organ on the fine grid.
        localiser_share: share of the largest component in all that the localiser took for the organ.
        embedding: mean of the embedding head over the organ in the last round, [32].
    """

    rounds_agreement: float | None = None
    localiser_agreement: float | None = None
    localiser_share: float | None = None
    embedding: tuple[float, ...] | None = None


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two boolean masks, 0 if both are empty."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2.0 * np.count_nonzero(first & second) / total if total else 0.0
