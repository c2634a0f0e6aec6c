"""A network that is told the region is judged in the region of the reference, without a localiser."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor, list_data_collate

from dualtask.inferers.region import region_of_interest
from dualtask.maps import MAPS
from dualtask.networks import DualTaskNet, ResidualUNet
from dualtask.scans import LoadLabeld, LoadScand, decathlon_datalist
from dualtask_research.studies.region_given import RegionGivenInferer

MARGIN = (3, 3, 2)
LEAST = (16, 16, 8)


def test_the_network_looks_around_the_reference_and_nowhere_else(small_dataset):
    case = decathlon_datalist(small_dataset)[1]
    loaded = LoadLabeld("label", image_key="image")(LoadScand("image")(dict(case)))
    batch = list_data_collate([{"image": torch.clamp(loaded["image"] / 240, 0, 1)}])["image"]
    assert isinstance(batch, MetaTensor)
    network = DualTaskNet(ResidualUNet(width=8), sharpness=(7.5, 3.75)).eval()
    inferer = RegionGivenInferer(
        decathlon_datalist(small_dataset),
        localiser=None,
        factor=2,
        localiser_size=LEAST,
        region_size=LEAST,
        truncation=(15.0, 7.5),
        margin=MARGIN,
        max_rounds=1,
    )
    # Every probability of a region is above 0, and 0 beyond it.
    looked = inferer(batch, network)[0, MAPS["probability"]][0] > 0
    expected = np.zeros(looked.shape, dtype=bool)
    expected[region_of_interest((loaded["label"][0] > 0).numpy(), LEAST, MARGIN)] = True
    assert np.array_equal(looked.numpy(), expected) and not expected.all()
