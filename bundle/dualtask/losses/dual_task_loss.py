"""The weighted sum of the terms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from dualtask.losses.targets import Targets
from dualtask.networks.heads import Heads


class DualTaskLoss(nn.Module):
    """Weighted sum of terms, each a module called with (heads, targets) that returns a scalar.

    Args:
        terms: name -> term.
        weights: name -> weight of the term; a term whose weight is 0 or absent is left out, so that a config overlay
            removes a term with one line.

    Attributes:
        values: name -> unweighted value of each term in the last call, for logging.

    Raises:
        ValueError: a weight names no term, or no term is left.
    """

    def __init__(self, terms: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        if unknown := set(weights) - set(terms):
            raise ValueError(f"weights for unknown loss terms {sorted(unknown)}; the terms are {sorted(terms)}.")
        self.weights = {name: float(weights[name]) for name in terms if weights.get(name)}
        if not self.weights:
            raise ValueError("the loss has no term with a weight.")
        self.terms = nn.ModuleDict({name: terms[name] for name in self.weights})
        self.values: dict[str, float] = {}

    def forward(self, heads: Heads, targets: Targets) -> torch.Tensor:
        heads = heads.in_float32()
        losses = {name: term(heads, targets) for name, term in self.terms.items()}
        # In one transfer: an accelerator stands still at each.
        self.values = dict(zip(losses, torch.stack([loss.detach() for loss in losses.values()]).tolist(), strict=True))
        return sum(self.weights[name] * loss for name, loss in losses.items())
