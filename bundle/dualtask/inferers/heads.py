"""Forward passes that give the heads of the dual-task network instead of their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from dualtask.inferers.precision import autocast
from dualtask.networks.heads import Heads


class HeadsInferer(Inferer):
    """Forward pass of training in bf16 where the processor has it; the network is ``dualtask.networks.AllHeads``."""

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Heads:
        with autocast(inputs.device, inputs.shape[-1]):
            return network(inputs)


def head_outputs(image: torch.Tensor, network: nn.Module, flips: Sequence[Sequence[int]] = ()) -> torch.Tensor:
    """Logits of the classification head and distances of the regression head, see :func:`embedded_outputs`."""
    return embedded_outputs(image, network, flips)[0]


def embedded_outputs(
    image: torch.Tensor, network: nn.Module, flips: Sequence[Sequence[int]] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the classification head and distances of the regression head, and the embedding.

    Args:
        image: [B, 1, X, Y, Z] in [0, 1].
        network: dual-task network.
        flips: mirror images to average over beside the image itself, each named by its spatial axes (0, 1, 2). Only
            axes that training mirrors help: on others the network is wrong, and takes the mean with it.

    Returns:
        float32 [B, 4, X, Y, Z]: logits of pancreas and lesion, then distance / truncation distance of both, cut to
        [-1, 1]; and float32 [B, 32, X/s, Y/s, Z/s] of the image itself. The network computes in bf16 where the
        processor has it.
    """
    total = torch.zeros(())
    embeddings = []
    for flip in ((), *flips):
        axes = [axis + 2 for axis in flip]
        with autocast(image.device, image.shape[-1]):
            heads = network.heads(image.flip(axes))
        outputs = torch.cat([heads.logits.float(), heads.distance.float().clamp(-1, 1)], dim=1)
        total = total + outputs.flip(axes)
        embeddings.append(heads.embedding)
    return total / (1 + len(flips)), embeddings[0].float()
