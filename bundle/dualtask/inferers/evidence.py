"""What the cascade saw on its way to a result and the maps no longer show."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import torch
from monai.data import MetaTensor

EVIDENCE = "evidence"
"""Under this name it travels in the ``meta`` of the maps, as text: MONAI takes meta data of a batch apart, and leaves
only numbers and text as they are."""


@dataclass(frozen=True)
class Evidence:
    """Traces of the cascade on one scan; None where there is no such thing.

    Attributes:
        rounds_agreement: Dice of the organ in the last two rounds, of which the localiser's mask may be one.
        localiser_agreement: Dice of the localiser's mask and the final organ on the fine grid.
        localiser_share: share of the largest component in all that the localiser took for the organ.
        organ_share: share of the component that was kept in all that the last round took for the organ.
        embedding: mean of the embedding head over the organ in the last round, [32].
    """

    rounds_agreement: float | None = None
    localiser_agreement: float | None = None
    localiser_share: float | None = None
    organ_share: float | None = None
    embedding: tuple[float, ...] | None = None

    def attached_to(self, maps: torch.Tensor) -> MetaTensor:
        """The maps with this in their meta data."""
        result = maps if isinstance(maps, MetaTensor) else MetaTensor(maps)
        result.meta = {**result.meta, EVIDENCE: json.dumps(asdict(self))}
        return result

    @classmethod
    def of(cls, maps: torch.Tensor) -> Evidence:
        """What is attached to maps; nothing if another inferer made them."""
        stored = json.loads(getattr(maps, "meta", {}).get(EVIDENCE, "{}"))
        if stored.get("embedding") is not None:
            stored["embedding"] = tuple(stored["embedding"])
        return cls(**stored)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two boolean masks, 0 if both are empty."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2.0 * np.count_nonzero(first & second) / total if total else 0.0
