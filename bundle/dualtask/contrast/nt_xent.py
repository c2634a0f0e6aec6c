"""Supervised normalised-temperature cross entropy."""

from __future__ import annotations

import torch
from torch.nn import functional


def nt_xent(embeddings: torch.Tensor, labels: torch.Tensor, temperature: float = 0.05) -> torch.Tensor:
    """Mean over ordered pairs (i, j) of one class of -log(e^s_ij / (e^s_ij + sum over k of other classes e^s_ik)).

    s is the cosine divided by the temperature (arXiv 2505.01644, feature-space self-supervision). Unlike in SimCLR
    other members of the anchor's class do not count as negatives.

    Args:
        embeddings: [N, C], any length; computed in float32 at least, also under autocast.
        labels: [N] integer classes.
        temperature: divides the cosine.

    Returns:
        Scalar. Zero with a zero gradient when no class has two members or there is only one class.
    """
    same = labels[:, None] == labels[None, :]
    pairs = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if not pairs.any() or same.all():
        return embeddings[:0].sum(dtype=torch.promote_types(embeddings.dtype, torch.float32))
    with torch.autocast(embeddings.device.type, enabled=False):
        unit = functional.normalize(embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)), dim=1)
        similarity = unit @ unit.T / temperature
        negatives = similarity.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
        return functional.softplus(negatives - similarity)[pairs].mean()
