"""What a scan looks like to the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dualtask.networks import DualTaskNet


@contextmanager
def bottleneck_embeddings(network: DualTaskNet) -> Iterator[list[torch.Tensor]]:
    """Collect the bottleneck features of every forward pass inside the context, averaged over space.

    The features are read from a hook, so that a scan that is segmented anyway costs nothing more.

    Yields:
        a list that grows by one tensor [bottleneck_channels] on the CPU for each image of each forward pass.
    """
    embeddings: list[torch.Tensor] = []

    def collect(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        (bottleneck,) = inputs
        embeddings.extend(bottleneck.detach().float().mean(dim=(2, 3, 4)).cpu())

    hook = network.projection.register_forward_pre_hook(collect)
    try:
        yield embeddings
    finally:
        hook.remove()
