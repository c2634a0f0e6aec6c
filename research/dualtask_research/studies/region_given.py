"""What a network does where it is told the region, so that faults of its own are told from those of the localiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch
from monai.utils import ImageMetaKey
from torch import nn

from dualtask.evaluation import case_name
from dualtask.inferers import CascadeInferer, Localised
from dualtask.scans.datalists import Case
from dualtask.scans.labels import read_case_label
from dualtask.scans.reading import read_volume


class RegionGivenInferer(CascadeInferer):
    """The fine stage of the cascade around the reference instead of what a localiser found.

    Args:
        cases: of the scans, with their ``label``.
        others: arguments of :class:`dualtask.inferers.CascadeInferer`; its localiser is never asked.
    """

    def __init__(self, cases: Sequence[Case], **others: Any) -> None:
        super().__init__(**others)
        self.cases = {case_name(case["image"]): case for case in cases}
        self._given = np.zeros(0)

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As the cascade does; ``inputs`` is a MetaTensor [1, 1, X, Y, Z] that names its scan."""
        assert isinstance(inputs, MetaTensor)
        (name,) = inputs.meta[ImageMetaKey.FILENAME_OR_OBJ]
        case = self.cases[case_name(name)]
        scan = read_volume(case["image"])
        label = read_case_label(case, scan)
        grid = MetaTensor(torch.zeros(inputs.shape[1:]), affine=inputs.affine[0])
        self._given = (ResampleToMatch(mode="nearest")(label, grid)[0] > 0).numpy()
        return super().__call__(inputs, network)

    def localise(self, image: torch.Tensor) -> Localised:
        # Of several components it keeps the one that the network itself is surest of.
        return Localised(self._given, np.ones(self._given.shape), None)
