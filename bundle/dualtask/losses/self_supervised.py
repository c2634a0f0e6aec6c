"""Terms that need no label, or only tell where to look (arXiv 2505.01644, self-supervision in two spaces)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dualtask.contrast import embeddings_at, nt_xent
from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class FeatureContrast(nn.Module):
    """Supervised NT-Xent between bottleneck embeddings on the lesion's skeleton and on that of the ring around it.

    Args:
        temperature: divides the cosine similarity.
    """

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = float(temperature)

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        return nt_xent(*embeddings_at(heads.embedding, targets.sites), self.temperature)


class OutputConsistency(nn.Module):
    """Mean squared difference between two views of a scan, of the mask probabilities plus of the distances."""

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        first_mask, second_mask = torch.sigmoid(heads.logits).chunk(2)
        first_distance, second_distance = heads.distance.chunk(2)
        return functional.mse_loss(first_mask, second_mask) + functional.mse_loss(first_distance, second_distance)


class CrossTaskConsistency(nn.Module):
    """Mean squared difference between the mask probability and H(distance) of one and the same voxel.

    Needs no label: it is what scans without labels contribute, together with the consistency of the views
    (dual-task consistency, Luo et al. 2021, arXiv 2009.04448).

    Args:
        step: H, see :mod:`dualtask.distances.heaviside`.
    """

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        return functional.mse_loss(torch.sigmoid(heads.logits), self.step(heads.distance))
