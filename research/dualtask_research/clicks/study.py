"""Corrections by a simulated annotator, with the network and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dualtask.inferers.evidence import overlap
from dualtask.refinement import Settings, hints_of, refine_label_map, refine_mask
from dualtask.scans.labels import LABEL_NAMES
from dualtask.structures import STRUCTURES
from dualtask_research.clicks.annotator import next_click
from dualtask_research.clicks.cases import ClickCase
from dualtask_research.clicks.intensities import ClickedIntensities

NETWORK, INTENSITIES = "network", "intensities"
METHODS = (NETWORK, INTENSITIES)
"""What the graph cut starts from."""

CLICKS = 10

Points = dict[str, list[tuple[int, int, int]]]


@dataclass(frozen=True)
class Corrected:
    """Dice of a structure of a case after some clicks."""

    kind: str
    site: str
    case: str
    structure: str
    method: str
    clicks: int
    dice: float


def corrections(case: ClickCase, kind: str, settings: Settings | None = None) -> Iterator[Corrected]:
    """All structures of a case that its reference holds, by all methods, after 0 to ``CLICKS`` clicks.

    A click names the label that the reference has there. All clicks so far count at each, from the same start: the
    network's label map, or nothing. Once the mask is the reference no click is left to make.

    Args:
        case: the case.
        kind: of the scan, goes into the rows.
        settings: of the correction.
    """
    settings = settings or Settings()
    for value, structure in enumerate(STRUCTURES, 1):
        truth = case.reference >= value
        if not truth.any():
            continue
        for method in METHODS:
            correct = _correction(case, value, method, settings)
            points: Points = {name: [] for name in LABEL_NAMES}
            mask = correct(points)
            for clicks in range(CLICKS + 1):
                dice = overlap(truth, mask & case.known)
                yield Corrected(kind, case.site, case.name, structure, method, clicks, dice)
                click = next_click(truth, mask & case.known, case.maps.spacing)
                if click is not None and clicks < CLICKS:
                    points[LABEL_NAMES[case.reference[click]]].append(click)
                    mask = correct(points)


def _correction(case: ClickCase, value: int, method: str, settings: Settings) -> Callable[[Points], np.ndarray]:
    maps, structure = case.maps, STRUCTURES[value - 1]
    nothing = np.zeros(maps.label.shape, bool)

    def correct(points: Points) -> np.ndarray:
        hints = hints_of({name: np.array(each, dtype=int).reshape(-1, 3) for name, each in points.items()})
        if method == NETWORK:
            return refine_label_map(maps, maps.label, hints, settings) >= value
        evidence = ClickedIntensities()
        return refine_mask(maps.image, nothing, hints[structure], maps.spacing, evidence, settings)

    return correct
