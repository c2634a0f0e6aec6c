"""What a person says of single voxels, and what it means for each structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dualtask.errors import InputError
from dualtask.scans.labels import LABEL_NAMES
from dualtask.structures import STRUCTURES

_NONE = np.empty((0, 3), dtype=np.int64)


@dataclass(frozen=True)
class Hints:
    """Voxels that belong to a structure, and such that do not: int [N, 3] each, of clicks or of scribbles."""

    inside: np.ndarray = field(default_factory=_NONE.copy)
    outside: np.ndarray = field(default_factory=_NONE.copy)


def hints_of(labelled: Mapping[str, np.ndarray], not_of: Mapping[str, np.ndarray] | None = None) -> dict[str, Hints]:
    """Hints for each structure from voxels whose label is known.

    A lesion lies inside the organ: what is "lesion" is inside both, "pancreas" inside the organ and outside the
    lesion, "background" outside both. What is not organ is not lesion either; what is not lesion may be either.

    Args:
        labelled: one of ``LABEL_NAMES`` -> int [N, 3], voxels of that label.
        not_of: one of ``STRUCTURES`` -> int [N, 3], voxels outside of that structure.

    Raises:
        InputError: one voxel is said to be two things.
    """
    points = {name: labelled.get(name, _NONE) for name in LABEL_NAMES}
    apart = {name: (not_of or {}).get(name, _NONE) for name in STRUCTURES}
    background, pancreas, lesion = points.values()
    hints = {
        "pancreas": Hints(np.concatenate([pancreas, lesion]), np.concatenate([background, apart["pancreas"]])),
        "lesion": Hints(lesion, np.concatenate([background, pancreas, apart["pancreas"], apart["lesion"]])),
    }
    for name, hint in hints.items():
        both = set(map(tuple, hint.inside.tolist())) & set(map(tuple, hint.outside.tolist()))
        if both:
            raise InputError(f"The voxel {list(min(both))} is marked as {name} and as something else: remove one mark.")
    return hints


def check_points(points: object, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Points as a viewer sends them, int [N, 3]: voxels of the scan, which may be given as fractions.

    Args:
        points: list of [i, j, k].
        shape: [X, Y, Z] of the scan.
        name: what the points are of, for the sentence.

    Raises:
        InputError: they are no list of three numbers each, or one lies outside the scan.
    """
    try:
        array = np.asarray(points, dtype=float)
    except (TypeError, ValueError):
        array = np.empty((1, 0))
    if array.size == 0 and array.ndim <= 2 and points in ([], None, ()):
        return _NONE
    if array.ndim != 2 or array.shape[1] != 3 or not np.isfinite(array).all():
        raise InputError(f"The points of {name} are not voxels: give a list of [i, j, k] with three numbers each.")
    voxels = array.round().astype(np.int64)
    beyond = ((voxels < 0) | (voxels >= shape)).any(axis=1)
    if beyond.any():
        raise InputError(
            f"The point {voxels[beyond][0].tolist()} of {name} lies outside the scan of {' x '.join(map(str, shape))} "
            "voxels: click inside it."
        )
    return voxels
