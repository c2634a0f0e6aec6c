"""MONAI's DynUNet, the network of nnU-Net, in the place of the paper's backbone."""

from __future__ import annotations

import torch
from monai.networks.nets import DynUNet

from dualtask.networks.instance_norm import CHANNELS_LAST


class DynUNetBackbone(DynUNet):
    """DynUNet without its last convolution: the heads of the dual-task network take its features.

    Args:
        in_channels: image channels.
        width: channels at full resolution; they double at each stage, up to 320 as in nnU-Net.
        stages: resolutions, each half of the one before.

    Attributes:
        feature_channels, bottleneck_channels, stride: as in :class:`dualtask.networks.ResidualUNet`.
    """

    def __init__(self, in_channels: int = 1, width: int = 32, stages: int = 4) -> None:
        filters = [min(width * 2**stage, 320) for stage in range(stages)]
        halvings = [2] * (stages - 1)
        super().__init__(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=1,
            kernel_size=[3] * stages,
            strides=[1, *halvings],
            upsample_kernel_size=halvings,
            filters=filters,
            norm_name=(CHANNELS_LAST, {"affine": True}),
        )
        # Of a convolution's weights or its image one must be in the format; an image of one channel has both.
        self.input_block.to(memory_format=torch.channels_last_3d)
        # What would come behind the features, and the tree that holds every block a second time.
        del self.output_block, self.skip_layers
        self.stride = 2 ** (stages - 1)
        self.feature_channels = filters[0]
        self.bottleneck_channels = filters[-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of an image [B, in_channels, X, Y, Z], sides multiples of the stride s.

        Returns:
            full-resolution features [B, w, X, Y, Z] and bottleneck features [B, c, X/s, Y/s, Z/s].
        """
        skips = [self.input_block(x)]
        for block in self.downsamples:
            skips.append(block(skips[-1]))
        bottleneck = self.bottleneck(skips[-1])
        features = bottleneck
        for block in self.upsamples:
            features = block(features, skips.pop())
        return features, bottleneck
