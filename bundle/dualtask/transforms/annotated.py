"""States which structures a scan's label annotates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from dualtask.structures import STRUCTURES


class AnnotatedStructures(Transform):
    """Adds ``annotated``: float32 [2], 1 for each structure that the scan's label annotates.

    A case may list them under ``annotates`` (names of structures); without that list a label annotates both. A scan
    without a label annotates none and gets an empty label map, so that both kinds pass through the same transforms.

    Args:
        image_key: key of the image [1, X, Y, Z].
        label_key: key of the label map, which may be absent.
    """

    def __init__(self, image_key: str, label_key: str) -> None:
        self.image_key = image_key
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        named = result.get("annotates", STRUCTURES) if self.label_key in result else ()
        result["annotated"] = torch.tensor([float(structure in named) for structure in STRUCTURES])
        result.setdefault(self.label_key, torch.zeros_like(result[self.image_key]))
        return result
