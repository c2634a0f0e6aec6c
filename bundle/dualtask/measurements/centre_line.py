"""The line through the pancreas from head to tail, and the parts that it is divided into.

The borders of the parts are vessels, which a mask of the organ does not show: the head ends at the left border of the
superior mesenteric vein, the body at that of the aorta (UICC TNM Classification of Malignant Tumours, 8th edition).
Shares of the length stand for them here. The pancreas of an adult is 12 to 20 cm long, its neck 2 cm (Skandalakis'
Surgical Anatomy); the neck follows the first third, which is the head's, and what is left of it is halved into body and
tail. A lesion near such a border may lie on its other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import edt
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.graph import MCP_Geometric
from skimage.measure import block_reduce

from dualtask.inferers.region import largest_component

PARTS: Mapping[str, float] = MappingProxyType({"head": 0.33, "neck": 0.46, "body": 0.73, "tail": 1.0})
"""Share of the length, counted from the head's end, at which each part ends."""

SHORTEST_MM = 80.0
"""A shorter mask is a piece of an organ, which says nothing about parts."""

_STEP_MM = 3.0
"""Voxels are joined to blocks of at most this size: the line need not be finer, and the search is many times faster."""

_SMOOTHING_STEPS = 2.0
"""Standard deviation of the smoothing along the line, which takes away the corners of a path from voxel to voxel."""


@dataclass(frozen=True)
class CentreLine:
    """A line through the organ.

    Attributes:
        points: [n, 3] in mm (RAS+), from the head's end to the tail's; n is at least 2.
    """

    points: np.ndarray

    @property
    def length_mm(self) -> float:
        """From end to end along the line."""
        return float(self._lengths()[-1])

    def share_at(self, places: np.ndarray) -> float:
        """Where some places [m, 3] in mm (RAS+) lie along the line, in [0, 1]: the median over their nearest points."""
        nearest = KDTree(self.points).query(places)[1]
        return float(np.median(self._lengths()[nearest]) / self.length_mm)

    def _lengths(self) -> np.ndarray:
        """Length [n] from the head's end to each point."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points, axis=0), axis=1))])


def part_at(share: float) -> str:
    """The part of the organ at a share of the length, one of ``PARTS``.

    >>> part_at(0.2), part_at(0.4), part_at(1.0)
    ('head', 'neck', 'tail')
    """
    return next(part for part, end in PARTS.items() if share <= end)


def find_centre_line(organ: np.ndarray, affine: np.ndarray) -> CentreLine | None:
    """The line along the middle of the organ between the two points that are farthest apart within it.

    Its largest component counts. The head's end is the one further to the patient's right.

    Args:
        organ: boolean [X, Y, Z], with its lesions.
        affine: [4, 4], voxel -> mm (RAS+).

    Returns:
        None for a mask that is empty or shorter than ``SHORTEST_MM``.
    """
    if not organ.any():
        return None
    sides = voxel_sizes(affine)
    blocks = tuple(np.maximum(_STEP_MM // sides, 1).astype(int))
    mask = largest_component(block_reduce(organ, blocks, np.max))
    spacing = tuple(sides * blocks)
    depth = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing, black_border=True)
    # Two sweeps: what is farthest from anywhere is an end, and what is farthest from that is the other one.
    within = np.where(mask, 1.0, -1.0)  # negative: no way through
    start = _farthest(within, spacing, np.unravel_index(depth.argmax(), depth.shape))
    end = _farthest(within, spacing, start)
    # Dear at the surface, so that the way keeps to the middle.
    search = MCP_Geometric(np.where(mask, 1 / np.maximum(depth, 0.1) ** 2, -1.0), sampling=spacing)
    search.find_costs([start], [end])
    path = np.array(search.traceback(end), dtype=float)
    # The centre of a block among the voxels.
    points = apply_affine(affine, path * blocks + (np.array(blocks) - 1) / 2)
    points = ndimage.gaussian_filter1d(points, _SMOOTHING_STEPS, axis=0, mode="nearest")
    line = CentreLine(points if points[0, 0] >= points[-1, 0] else points[::-1])
    return line if len(points) > 1 and line.length_mm >= SHORTEST_MM else None


def _farthest(costs: np.ndarray, spacing: tuple[float, ...], start: tuple[int, ...]) -> tuple[int, ...]:
    """The voxel that is the farthest from another one on ways inside the mask."""
    reached = MCP_Geometric(costs, sampling=spacing).find_costs([start])[0]
    reached[~np.isfinite(reached)] = -1
    return tuple(int(index) for index in np.unravel_index(reached.argmax(), reached.shape))
