"""How far the two readers of a study agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from monai.metrics import compute_average_surface_distance, compute_dice
from monai.transforms import ResampleToMatch
from nibabel.affines import voxel_sizes

from dualtask.evaluation.boxes import box_of_union
from dualtask.files import write_atomically
from dualtask.scans.reading import read_volume
from dualtask.structures import STRUCTURES, structure_masks
from lib.datastore import StudyFolder
from lib.reviews import READINGS

COLUMNS = (
    "first_reader",
    "second_reader",
    *(f"readers_dice_{name}" for name in STRUCTURES),
    *(f"readers_surface_mm_{name}" for name in STRUCTURES),
)


class Readings:
    """Compares the first and the second reading of studies that were handed to a second reader.

    Args:
        folder: where what was computed lies.
        datastore: the studies and their labels.
    """

    def __init__(self, folder: Path, datastore: StudyFolder) -> None:
        self.folder = folder
        self.datastore = datastore

    def row(self, study: str) -> dict[str, Any]:
        """``COLUMNS`` of a study, empty unless two people have read it.

        The Dice is 1 where neither reader marks a structure; the surface distance is the mean over both surfaces in mm,
        absent unless both mark it.
        """
        first, second = (self.datastore.label_at_hand(study, tag) for tag in READINGS)
        if not (first and second):
            return {}
        readers = {"first_reader": first[1]["annotator"], "second_reader": second[1]["annotator"]}
        return {**readers, **self._agreement(study, *((Path(file), info["ts"]) for file, info in (first, second)))}

    def _agreement(self, study: str, *readings: tuple[Path, int]) -> dict[str, float]:
        """From the record, unless one of the readings is another one by now."""
        record = self.folder / f"{hashlib.sha256(study.encode()).hexdigest()[:24]}.json"
        times = [time for _, time in readings]
        known = json.loads(record.read_text()) if record.exists() else {}
        if known.get("times") != times:
            known = {"times": times, "agreement": agreement(*(file for file, _ in readings))}
            write_atomically(record, lambda temporary: temporary.write_text(json.dumps(known, indent=1)))
        return known["agreement"]


def agreement(first: Path, second: Path) -> dict[str, float]:
    """Dice and mean surface distance (mm) of each structure, by column."""
    masks, others, spacing = masks_on_one_grid(first, second)
    found = {}
    for name, mask, other in zip(STRUCTURES, masks, others, strict=True):
        found[f"readers_dice_{name}"] = round(dice(mask[None], other[None])[0], 4)
        if mask.any() and other.any():
            box = box_of_union(mask.bool(), other.bool())
            pair = mask[box][None, None], other[box][None, None]
            distance = compute_average_surface_distance(*pair, True, symmetric=True, spacing=spacing)
            found[f"readers_surface_mm_{name}"] = round(distance.item(), 2)
    return found


def dice(masks: torch.Tensor, others: torch.Tensor) -> list[float]:
    """Dice of each channel of [C, X, Y, Z]; 1 where both are empty."""
    return compute_dice(masks[None], others[None], ignore_empty=False)[0].tolist()


def masks_on_one_grid(label: Path, other: Path) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Masks of the structures of two label maps on the grid of the first, [2, X, Y, Z], and its spacing in mm."""
    first, second = read_volume(label), read_volume(other)
    second = ResampleToMatch(mode="nearest")(second, first)
    return structure_masks(first), structure_masks(second), voxel_sizes(first.affine.numpy()).tolist()
