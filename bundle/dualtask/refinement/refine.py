"""Near what a person contradicts a structure is divided anew, elsewhere it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from dualtask.refinement.evidence import Evidence, NetworkEvidence, Part, Region, blocks
from dualtask.refinement.graph_cut import MOST, graph_cut
from dualtask.refinement.hints import Hints
from dualtask.refinement.scan_maps import ScanMaps
from dualtask.refinement.settings import Settings
from dualtask.structures import STRUCTURES

_LEAST = 1e-3


def refine_label_map(
    maps: ScanMaps, label: np.ndarray, hints: Mapping[str, Hints], settings: Settings | None = None
) -> np.ndarray:
    """Correct a label map.

    Every hint is obeyed, voxels farther than ``reach_mm`` from each hint that contradicts the label map stay as they
    are, and the lesion stays inside the organ: where it grows the organ grows with it, where the organ is taken away
    it goes, too.

    Args:
        maps: of the scan.
        label: uint8 [X, Y, Z], values 0 background, 1 pancreas, 2 lesion: the network's, or one that was edited.
        hints: of each of ``STRUCTURES``, see ``hints_of``.
        settings: see there.

    Returns:
        uint8 [X, Y, Z].

    Raises:
        InputError: numpymaxflow is not installed.
    """
    settings = settings or Settings()
    before = [label >= value for value in range(1, len(STRUCTURES) + 1)]
    organ, lesion = (
        refine_mask(maps.image, mask, hints[name], maps.spacing, NetworkEvidence(maps, index, settings), settings)
        for index, (name, mask) in enumerate(zip(STRUCTURES, before, strict=True))
    )
    organ |= lesion & ~before[1]
    return organ.astype(np.uint8) + (organ & lesion)


def refine_mask(
    image: np.ndarray,
    mask: np.ndarray,
    hints: Hints,
    spacing: Sequence[float],
    evidence: Evidence,
    settings: Settings,
) -> np.ndarray:
    """Correct the mask of one structure.

    In blocks around the hints that contradict the mask the probability of the evidence and the word of the hints are
    mixed, the latter with the weight exp(-g / ``fading_mm``) at the geodesic distance g from them (as in MIDeepSeg, Luo
    et al., MedIA 2021), and a graph cut draws the boundary along the edges of the image.

    Args:
        image: [X, Y, Z] in HU.
        mask: bool [X, Y, Z].
        hints: what is known of the structure.
        spacing: voxel sides in mm.
        evidence: what else speaks for it.
        settings: see there.

    Returns:
        bool [X, Y, Z].
    """
    result = mask.copy()
    inside, outside = tuple(hints.inside.T), tuple(hints.outside.T)
    wrong = np.concatenate([hints.inside[~mask[inside]], hints.outside[mask[outside]]])
    if len(wrong):
        factors = tuple(max(int(settings.block_mm / side + 1e-3), 1) for side in spacing)
        region = _around(wrong, mask.shape, spacing, factors, settings.reach_mm)
        part = _part(image, mask, hints, spacing, region, factors, settings)
        reached = _distance(_hinted(wrong, part), part.sides) <= settings.reach_mm
        flipped = _cut(part, reached, evidence, settings) != part.mask
        result[region] = _with_blocks(mask[region], part, flipped)
    result[inside], result[outside] = True, False
    return result


def _around(
    points: np.ndarray, shape: Sequence[int], spacing: Sequence[float], factors: Sequence[int], reach_mm: float
) -> Region:
    """The box of points with all that they reach; blocks begin at multiples of their size, wherever the box begins."""
    region = []
    for values, size, side, factor in zip(points.T, shape, spacing, factors, strict=True):
        reach = int(reach_mm / side) + factor
        start = max(int(values.min()) - reach, 0) // factor * factor
        region.append(slice(start, min(int(values.max()) + reach + 1, size)))
    return tuple(region)


def _part(
    image: np.ndarray,
    mask: np.ndarray,
    hints: Hints,
    spacing: Sequence[float],
    region: Region,
    factors: tuple[int, ...],
    settings: Settings,
) -> Part:
    low, high = settings.hu_window
    grey = blocks((image[region].astype(np.float32).clip(low, high) - low) / (high - low), factors)
    sides = tuple(side * factor for side, factor in zip(spacing, factors, strict=True))
    nothing = np.zeros(grey.shape, bool)
    part = Part(region, factors, sides, grey, blocks(mask[region], factors) >= 0.5, nothing, nothing)
    inside, outside = _hinted(hints.inside, part), _hinted(hints.outside, part)
    return Part(region, factors, sides, grey, part.mask, inside & ~outside, outside & ~inside)


def _hinted(points: np.ndarray, part: Part) -> np.ndarray:
    """Blocks of a part that hold one of some voxels [N, 3] of the scan."""
    mask = np.zeros(part.grey.shape, bool)
    index = (points - [side.start for side in part.region]) // part.factors
    held = ((index >= 0) & (index < mask.shape)).all(axis=1)
    mask[tuple(index[held].T)] = True
    return mask


def _distance(blocks_: np.ndarray, sides: Sequence[float]) -> np.ndarray:
    """Distance in mm from the nearest of some blocks."""
    return ndimage.distance_transform_edt(~blocks_, sampling=sides)


def _cut(part: Part, reached: np.ndarray, evidence: Evidence, settings: Settings) -> np.ndarray:
    """The blocks inside; what is not reached, and the blocks with hints, are given."""
    odds = evidence.log_odds(part).clip(-settings.certainty, settings.certainty)
    costs = 1 + settings.edge_cost * ndimage.gaussian_gradient_magnitude(part.grey, 1.0)
    costs[~reached] = -1  # no way leads there, nor is time spent on it
    given_inside, given_outside = reached & part.inside, reached & part.outside
    word_inside, word_outside = (_word(given, costs, part.sides, settings) for given in (given_inside, given_outside))
    word = np.maximum(word_inside, word_outside)
    probability = (1 - word) / (1 + np.exp(-odds)) + word * (word_inside > word_outside)
    inside, outside = -np.log(probability.clip(_LEAST)), -np.log((1 - probability).clip(_LEAST))
    given_inside |= ~reached & part.mask
    given_outside |= ~reached & ~part.mask
    inside[given_inside], outside[given_inside] = 0, MOST
    inside[given_outside], outside[given_outside] = MOST, 0
    return graph_cut(inside, outside, part.grey, settings.weight, settings.contrast)


def _word(hinted: np.ndarray, costs: np.ndarray, sides: Sequence[float], settings: Settings) -> np.ndarray:
    """Weight in [0, 1] of hints in each block: 1 at the hint, less the farther away and the more edges lie between."""
    if not hinted.any():
        return np.zeros(hinted.shape)
    lengths, _ = MCP_Geometric(costs, sampling=tuple(sides)).find_costs(np.argwhere(hinted))
    return np.exp(-lengths / settings.fading_mm)


def _with_blocks(mask: np.ndarray, part: Part, flipped: np.ndarray) -> np.ndarray:
    """The mask [X, Y, Z] of a part with some blocks turned to the other side; the others keep their own voxels."""
    turned = flipped
    value = ~part.mask
    for axis, factor in enumerate(part.factors):
        turned, value = turned.repeat(factor, axis=axis), value.repeat(factor, axis=axis)
    whole = tuple(slice(0, size) for size in mask.shape)
    return np.where(turned[whole], value[whole], mask)
