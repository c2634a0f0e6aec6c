"""A distance head that calls a lesion far away comes back, and calling it so is not what the loss likes best."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dualtask.losses import MeanDistanceError, Regression, Strata, Targets
from dualtask.networks import DualTaskNet, DynUNetBackbone
from dualtask.networks.heads import Heads
from dualtask.transforms import SignedDistanced

SPACING = (3.0, 3.0, 3.0)
TRUNCATION = (15.0, 7.5)
SHARPNESS = [limit / 1.5 for limit in TRUNCATION]
STRATA = Strata(reach=(0.5, 0.0))
LESION = 1
FAR_AWAY = 5.0
STEPS = 120
"""Of the optimizer, within which a head learns a lesion again that it had put far away."""


def crop(shape: tuple[int, int, int], organ_mm: float, lesion_mm: float) -> tuple[torch.Tensor, Targets]:
    """A noisy image and targets of a ball of an organ with a ball of a darker lesion, of the given radii."""
    axes = [side * (torch.arange(count) - count // 2) for count, side in zip(shape, SPACING, strict=True)]
    centre = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    away = centre.norm(dim=0)
    masks = torch.stack([away < organ_mm, away < lesion_mm]).float()
    distance = SignedDistanced(keys="label", spacing=SPACING, truncation=TRUNCATION)({"label": masks})["label_distance"]
    noise = 0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    image = 0.3 + 0.4 * masks[0] - 0.2 * masks[1] + noise
    targets = Targets(masks[None], distance[None], torch.zeros(0), torch.ones(1, 2), torch.ones(1, 1, *shape))
    return image[None, None], targets


@pytest.mark.parametrize(
    ("term", "bounded", "comes_back"),
    [(Regression(STRATA), False, True), (MeanDistanceError(), True, False)],
    ids=["censored and stratified, linear head", "as published"],
)
def test_a_head_that_puts_a_lesion_far_away_learns_it_again(term, bounded, comes_back):
    image, targets = crop((16, 16, 16), organ_mm=20.0, lesion_mm=8.0)
    lesion = targets.masks[:, LESION] > 0
    torch.manual_seed(0)
    network = DualTaskNet(DynUNetBackbone(width=8, stages=3), SHARPNESS, bounded=bounded).train()
    nn.init.constant_(network.regression.bias, FAR_AWAY)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-2)
    first_gradient = []

    def keep_gradient(_head: nn.Module, _features: tuple, output: torch.Tensor) -> None:
        output.register_hook(lambda gradient: first_gradient.append(gradient[:, LESION][lesion].float().sum()))

    hook = network.regression.register_forward_hook(keep_gradient)
    for _ in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            heads = network.heads(image)
        term(heads, targets).backward()
        hook.remove()
        optimizer.step()
    with torch.no_grad():
        found = network.eval().heads(image).distance[:, LESION][lesion] < 0
    # The lesion's inside is a third of the error of one of two structures; the tanh leaves next to nothing of it.
    assert (first_gradient[0] > 0.1) == comes_back
    assert (first_gradient[0] < 1e-5) == (not comes_back)
    assert (found.float().mean() > 0.9) == comes_back
    assert found.any() == comes_back


@pytest.mark.parametrize("lesion_mm", [6.0, 10.0, 20.0])
@pytest.mark.parametrize(("term", "far_away"), [(Regression(STRATA), False), (MeanDistanceError(), True)])
def test_the_best_constant_for_a_lesion_is_not_far_away_as_it_was_for_the_published_error(lesion_mm, term, far_away):
    _, targets = crop((64, 48, 40), organ_mm=30.0, lesion_mm=lesion_mm)
    constants = torch.linspace(-1.5, 1.5, 61)
    silent = torch.zeros_like(targets.distance)
    errors = []
    for constant in constants:
        # The pancreas is answered rightly, so that the lesion decides.
        distance = torch.stack([targets.distance[:, 0], torch.full_like(targets.distance[:, LESION], constant)], dim=1)
        errors.append(term(Heads(silent, distance, silent), targets))
    best = constants[torch.stack(errors).argmin()]
    assert best == pytest.approx(1.0, abs=0.05) if far_away else abs(best) < 0.8
