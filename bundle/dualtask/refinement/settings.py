"""How far the word of a person reaches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Constants of the correction, chosen on cases that no figure is taken from (docs/reference/clicks.md).

    Attributes:
        reach_mm: the mask changes within this distance of a hint that contradicts it, and nowhere else.
        fading_mm: geodesic distance over which the weight of a hint falls by the factor e.
        edge_cost: mm that a path gets longer by where the intensity changes by the whole window within a block.
        certainty: largest log odds of the evidence; the more, the less a hint moves.
        distance_share: log odds that the distance map adds at its truncation distance.
        weight: of the boundary in the cut, see ``graph_cut``.
        contrast: change of intensity that counts as an edge, as a share of the window.
        block_mm: voxels are joined to blocks of at most this side, which are what is divided.
        hu_window: the window.
    """

    reach_mm: float = 25.0
    fading_mm: float = 20.0
    edge_cost: float = 10.0
    certainty: float = 2.0
    distance_share: float = 1.0
    weight: float = 0.3
    contrast: float = 0.1
    block_mm: float = 2.0
    hu_window: tuple[float, float] = (-100.0, 240.0)
