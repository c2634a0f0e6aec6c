"""Instance normalisation that leaves the channels of a volume side by side in memory on a processor."""

# No `from __future__ import annotations`: TorchScript does not read types that are strings.
import torch
from monai.networks.layers import Norm
from torch import nn
from torch.nn import functional

CHANNELS_LAST = "instance_channels_last"
"""Name of the layer among MONAI's (``monai.networks.layers.Norm``); three spatial axes."""


class ChannelsLastInstanceNorm3d(nn.InstanceNorm3d):
    """``torch.nn.InstanceNorm3d`` in the memory format ``torch.channels_last_3d`` on a processor.

    oneDNN convolves fastest in that format and answers in the format of its input. PyTorch's instance normalisation
    makes its input contiguous, so that every convolution is followed by a copy of the volume into the other format and
    preceded by one back: more than half of a forward pass (``benchmarks/precision.py``). Batch normalisation by the
    statistics of the batch is the same formula for a batch of one, and keeps the format. Elsewhere nothing changes:
    parameters, their names, and what is computed on a GPU are those of the layer of PyTorch.

    The statistics are those of the volume, always: a layer that tracks running ones is not made here.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalised volumes [B, C, X, Y, Z] of the same dtype."""
        if input.device.type != "cpu":
            return functional.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)
        volumes = [
            functional.batch_norm(volume, None, None, self.weight, self.bias, True, 0.0, self.eps)
            for volume in input.contiguous(memory_format=torch.channels_last_3d).split(1)
        ]
        return volumes[0] if len(volumes) == 1 else torch.cat(volumes)


@Norm.factory_function(CHANNELS_LAST)
def _channels_last(dimensions: int) -> type[nn.Module]:
    if dimensions != 3:
        raise ValueError(f"{CHANNELS_LAST} normalises volumes of 3 axes, not of {dimensions}.")
    return ChannelsLastInstanceNorm3d
