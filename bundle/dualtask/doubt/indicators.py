"""Figures of one result that tell whether it may be wrong. Each is cheap: masks and maps that exist anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import ndimage

from dualtask.inferers.evidence import Evidence
from dualtask.inferers.region import largest_component
from dualtask.maps import MAPS, scan_uncertainty
from dualtask.structures import STRUCTURES
from dualtask.units import MM3_PER_ML

_ORGAN = STRUCTURES.index("pancreas")

Values = dict[str, float | None]
"""Indicator -> value, None where it is not defined."""


@dataclass(frozen=True)
class Indicator:
    """What an indicator means.

    Attributes:
        doubtful: whether "low" or "high" values raise the doubt, or those "far" from what is usual, either way.
        complaint: what a doubtful value says, as a clause.
        logarithmic: whether ratios matter and not differences.
    """

    doubtful: Literal["low", "high", "far"]
    complaint: str
    logarithmic: bool = False


INDICATORS = {
    "uncertainty_pancreas": Indicator("high", "the two tasks of the network disagree on the organ"),
    "certainty": Indicator("low", "the network is unsure of the organ's voxels"),
    "rounds_agreement": Indicator("low", "the last two rounds of the fine stage disagree"),
    "localiser_agreement": Indicator("low", "localiser and fine stage disagree"),
    "localiser_share": Indicator("low", "the localiser sees the organ in several places"),
    "organ_share": Indicator("low", "the organ lies in several pieces"),
    "volume_ml": Indicator("far", "the organ has an unusual volume", logarithmic=True),
    "left_right": Indicator("far", "the organ lies unusually far to one side of the body"),
    "front_back": Indicator("far", "the organ lies unusually far to the front or back of the body"),
    "brightness": Indicator("far", "the organ has an unusual density"),
    "border_share": Indicator("high", "the organ reaches the border of what the scan shows"),
    "embedding_distance": Indicator("high", "the scan looks unlike those of the training"),
}
"""All indicators, in the order of the columns of ``scans.csv``."""


def scan_indicators(
    maps: torch.Tensor, image: torch.Tensor, known: torch.Tensor, voxel_mm3: float, evidence: Evidence
) -> Values:
    """The indicators of a result, all but ``embedding_distance``, which needs what training scans look like.

    The organ is the largest component of the voxels with a probability above 0.5; that the cascade saw others is in its
    evidence. Places are shares of the body's
    bounding box in the axial slices of the organ: 0 is the patient's left or back, 1 the right or front. The body is
    the largest component of what is brighter than the window's lower end; where parts of these slices are not known,
    it has no box. Without an organ only what the cascade saw is left.

    Args:
        maps: [6, X, Y, Z] with the channels ``dualtask.maps.MAPS``, axes RAS.
        image: [1, X, Y, Z] in [0, 1].
        known: [1, X, Y, Z], above 0.5 where the scan shows anything.
        voxel_mm3: volume of a voxel.
        evidence: of the cascade.
    """
    probability = maps[MAPS["probability"]][_ORGAN].cpu().numpy()
    seen = probability > 0.5
    organ = largest_component(seen)
    result: Values = dict.fromkeys(INDICATORS)
    result |= {
        "uncertainty_pancreas": scan_uncertainty(maps)["pancreas"],
        "rounds_agreement": evidence.rounds_agreement,
        "localiser_agreement": evidence.localiser_agreement,
        "localiser_share": evidence.localiser_share,
    }
    if not organ.any():
        return result
    volume, shown = image[0].cpu().numpy(), known[0].cpu().numpy() > 0.5
    inside = ndimage.binary_erosion(shown, np.ones((3, 3, 3)))
    result |= {
        "certainty": float(probability[organ].mean()),
        "organ_share": evidence.organ_share or np.count_nonzero(organ) / np.count_nonzero(seen),
        "volume_ml": np.count_nonzero(organ) * voxel_mm3 / MM3_PER_ML,
        "brightness": float(volume[organ].mean()),
        "border_share": np.count_nonzero(organ & ~inside) / np.count_nonzero(organ),
    }
    slices = np.flatnonzero(organ.any((0, 1)))
    part = np.s_[:, :, slices[0] : slices[-1] + 1]
    if shown[part].all():
        result |= _places(organ[part], volume[part])
    return result


def _places(organ: np.ndarray, volume: np.ndarray) -> Values:
    body = largest_component(volume > 0)
    if not body.any():
        return {}
    (left, right), (back, front) = (
        (box.start, box.stop - 1) for box in ndimage.find_objects(body.astype(np.uint8))[0][:2]
    )
    if left == right or back == front:
        return {}
    x, y = (float(indices.mean()) for indices in np.nonzero(organ)[:2])
    return {
        "left_right": (x - left) / (right - left),
        "front_back": (y - back) / (front - back),
    }
