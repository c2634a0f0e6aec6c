"""Terms that need no label, or only tell where to look (arXiv 2505.01644, self-supervision in two spaces)."""

from __future__ import annotations

import torch
from torch import nn

from dualtask.contrast import embeddings_at, nt_xent
from dualtask.losses.overlap import supervised_mean
from dualtask.losses.step_term import StepTerm
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
    """Mean squared difference to what the teacher says of another view, of the mask probabilities plus the distances.

    The teacher is the moving average of the network (Tarvainen and Valpola 2017, arXiv 1703.01780), which is ahead of
    it and gets no gradient; so a second view costs a forward pass and not a whole step.

    Raises:
        ValueError: there is no teacher.
    """

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        teacher = targets.teacher
        if teacher is None:
            raise ValueError("the consistency of the outputs needs a teacher: give PrepareViews one.")
        masks = (torch.sigmoid(heads.logits) - torch.sigmoid(teacher.logits)).square()
        distances = (heads.distance.clamp(-1, 1) - teacher.distance.clamp(-1, 1)).square()
        return supervised_mean(masks + distances, targets.known.expand_as(masks))


class CrossTaskConsistency(StepTerm):
    """Mean squared difference between the mask probability and H(distance) of a voxel; the worse one gives way.

    Where a label says which of the two heads is nearer to the truth, only the other one is pulled. Elsewhere the
    distance follows the classification, which knows whether a structure is there at all; the other way round, a
    regression head that has not found lesions yet would talk the classification out of them. What scans without
    labels contribute, together with the consistency of the views (dual-task consistency, Luo et al. 2021, arXiv
    2009.04448, which pulls both).
    """

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        mask, other = torch.sigmoid(heads.logits), self.step(heads.distance)
        labelled = targets.supervision() > 0
        distance_is_better = labelled & ((other - targets.masks).abs() < (mask - targets.masks).abs())
        error = torch.where(distance_is_better, mask - other.detach(), other - mask.detach()).square()
        return supervised_mean(error, targets.known.expand_as(error))
