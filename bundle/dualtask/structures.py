"""The two nested structures and the label map that stores them (Medical Segmentation Decathlon, Task07)."""

from __future__ import annotations

import torch

STRUCTURES = ("pancreas", "lesion")
"""Order of the structure channels everywhere: the whole organ, then the lesion inside it."""


def structure_masks(label: torch.Tensor) -> torch.Tensor:
    """Masks of the structures from a label map.

    Args:
        label: [..., 1, X, Y, Z] or [1, X, Y, Z], values 0 background, 1 pancreas, 2 lesion.

    Returns:
        float32 [..., 2, X, Y, Z]: the whole organ (label >= 1; the lesion is part of it) and the lesion (label == 2).
    """
    return torch.cat([label >= 1, label == 2], dim=-4).float()
