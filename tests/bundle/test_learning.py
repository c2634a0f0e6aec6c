"""All terms together, on the real network and views: each of them learns."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dualtask.distances import SmoothHeaviside
from dualtask.engines import PrepareViews
from dualtask.handlers import WeightAverage
from dualtask.inferers import HeadsInferer
from dualtask.losses import (
    Classification,
    CrossTaskConsistency,
    DistanceToMask,
    DualTaskLoss,
    FeatureContrast,
    MaskToDistance,
    OutputConsistency,
    Regression,
    Strata,
)
from dualtask.networks import AllHeads, DualTaskNet, ResidualUNet
from dualtask.transforms import ContrastSitesd, SignedDistanced
from dualtask.views import AcquisitionView

SPACING, TRUNCATION, SHARPNESS = (2.0, 2.0, 2.5), (15.0, 7.5), (10.0, 5.0)


def crop() -> dict[str, torch.Tensor]:
    label = torch.zeros(2, 32, 32, 24)
    label[0, 6:26, 8:24, 5:19] = 1
    label[1, 10:20, 11:21, 8:16] = 1
    sample = SignedDistanced(keys="label", spacing=SPACING, truncation=TRUNCATION)({"label": label})
    sample["known"] = torch.ones(1, 32, 32, 24)
    sample = ContrastSitesd(keys="label", spacing=SPACING)(sample)
    sample["image"] = 0.2 * torch.rand(1, 32, 32, 24) + 0.3 * label.sum(0, keepdim=True)
    sample["annotated"] = torch.ones(2)
    return {key: value[None] for key, value in sample.items()}


def test_in_two_epochs_every_term_falls():
    torch.manual_seed(0)
    heaviside, strata = SmoothHeaviside(SHARPNESS), Strata(reach=(0.5, 0.0))
    terms = {
        "classification": Classification(),
        "regression": Regression(strata),
        "distance_to_mask": DistanceToMask(heaviside, strata),
        "mask_to_distance": MaskToDistance(SPACING, TRUNCATION, strata),
        "feature_contrast": FeatureContrast(),
        "output_consistency": OutputConsistency(),
        "cross_task_consistency": CrossTaskConsistency(heaviside),
    }
    network = DualTaskNet(ResidualUNet(width=8), SHARPNESS).train()
    # The heads of a fresh network are so near zero that there is no inconsistency to take away.
    nn.init.normal_(network.regression.weight, std=0.3)
    nn.init.normal_(network.classification.weight)
    loss = DualTaskLoss(terms, dict.fromkeys(terms, 1.0))
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    average = WeightAverage(network, optimiser)
    prepare, heads_of, batch = PrepareViews([AcquisitionView()], average.averaged), HeadsInferer(), crop()
    epochs = []
    for _ in range(2):
        steps = []
        for _ in range(10):
            views, targets = prepare(batch, torch.device("cpu"), False)
            optimiser.zero_grad()
            loss(heads_of(views, AllHeads(network)), targets).backward()
            optimiser.step()
            average()
            steps.append(list(loss.values.values()))
        epochs.append(np.mean(steps, axis=0))
    fell = dict(zip(terms, epochs[1] < epochs[0], strict=True))
    assert all(fell.values()), fell
