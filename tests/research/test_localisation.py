"""How much of the pancreas lies in the box that the localiser points to."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dualtask.inferers import CascadeInferer, Localised
from dualtask_research import localisation
from dualtask_research.localisation import locate

SHAPE = (24, 20, 16)


class Told(CascadeInferer):
    """A cascade whose localiser says what it is told."""

    def __init__(self, organ: np.ndarray) -> None:
        super().__init__(torch.nn.Identity(), 2, (8, 8, 8), (4, 4, 4), (15.0, 7.5), margin=(0, 0, 0))
        self.organ = organ

    def localise(self, image: torch.Tensor) -> Localised:
        return Localised(self.organ, self.organ.astype(float), None)


def box(*sides: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


@pytest.mark.parametrize(
    ("organ", "share"),
    [
        (box((4, 12), (4, 12), (4, 12)), 1.0),
        (box((8, 16), (4, 12), (4, 12)), 0.5),
        (box((14, 22), (4, 12), (4, 12)), 0.0),
        (box((0, 0), (0, 0), (0, 0)), 0.0),
    ],
    ids=["right", "half beside", "elsewhere", "nothing"],
)
def test_the_share_of_the_pancreas_in_the_box(monkeypatch, organ, share):
    reference = box((4, 12), (4, 12), (4, 12))
    scan = {"image": torch.zeros(1, *SHAPE), "label": torch.as_tensor(reference)[None]}
    empty = {**scan, "label": torch.zeros(1, *SHAPE)}
    cases = [{"image": "a.nii.gz", "site": "north"}, {"image": "without.nii.gz", "site": "north"}]
    monkeypatch.setattr(localisation, "preprocessed", lambda *_: zip(cases, (scan, empty), strict=True))
    (located,) = locate(cases, SimpleNamespace(inferer=Told(organ)), "cache")
    assert (located.case, located.site, located.share) == ("a", "north", pytest.approx(share))
    assert located.dice == pytest.approx(share)
