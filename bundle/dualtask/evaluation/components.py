"""Predicted lesions one by one: how large each is, how sure, and whether it is one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import torch

from dualtask.evaluation.boxes import box_of_union
from dualtask.evaluation.detection import match_components
from dualtask.files import read_table, write_table


@dataclass(frozen=True)
class Component:
    """A connected part of a predicted lesion.

    Attributes:
        case, site: where it was predicted; "" for a site that is not known.
        hit: whether it hits a lesion of the reference, see ``match_components``.
        ml: volume.
        probability: mean of the lesion's probability in it, NaN without a map.
    """

    case: str
    site: str
    hit: bool
    ml: float
    probability: float


def lesion_components(
    reference: torch.Tensor,
    prediction: torch.Tensor,
    voxel_ml: float,
    probability: torch.Tensor | None = None,
    case: str = "",
    site: str = "",
) -> list[Component]:
    """The components of a predicted lesion.

    Args:
        reference, prediction: bool [X, Y, Z], masks of the lesion, without what is not known.
        voxel_ml: volume of a voxel.
        probability: [X, Y, Z] of the lesion, where there is a map.
        case, site: see :class:`Component`.
    """
    if not prediction.any():
        return []
    box = box_of_union(reference, prediction)
    matching = match_components(reference[box], prediction[box])
    inside = matching.components > 0
    numbers = matching.components[inside]
    count = len(matching.hit)
    voxels = np.bincount(numbers, minlength=count + 1)[1:]
    means = np.full(count, math.nan)
    if probability is not None:
        means = np.bincount(numbers, weights=probability[box].numpy()[inside], minlength=count + 1)[1:] / voxels
    return [
        Component(case, site, bool(hit), float(size * voxel_ml), float(mean))
        for hit, size, mean in zip(matching.hit, voxels, means, strict=True)
    ]


def write_components(path: str | os.PathLike[str], components: Sequence[Component]) -> None:
    """Write components as CSV, atomically."""
    columns = [field.name for field in fields(Component)]
    write_table(path, columns, map(astuple, components))


def read_components(path: str | os.PathLike[str]) -> list[Component]:
    """Read what :func:`write_components` wrote.

    Raises:
        InputError: the file is absent or is not such a table.
    """

    def component(row: Mapping[str, str]) -> Component:
        hit = {"True": True, "False": False}[row["hit"]]
        return Component(row["case"], row["site"], hit, float(row["ml"]), float(row["probability"]))

    return read_table(path, [field.name for field in fields(Component)], component, "a table of predicted lesions")
