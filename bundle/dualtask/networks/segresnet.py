"""MONAI's SegResNet in the place of the paper's backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import SegResNet
from torch import nn


class SegResNetBackbone(SegResNet):
    """SegResNet without its last convolution: the heads of the dual-task network take its features.

    Args:
        in_channels: image channels.
        width: channels at full resolution, a multiple of 8 (GroupNorm groups); they double at each stage.
        blocks_down: residual blocks per stage of the encoder.
        blocks_up: residual blocks per stage of the decoder, one stage fewer.

    Attributes:
        feature_channels, bottleneck_channels, stride: as in :class:`dualtask.networks.ResidualUNet`.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
    ) -> None:
        super().__init__(
            init_filters=width,
            in_channels=in_channels,
            blocks_down=tuple(blocks_down),
            blocks_up=tuple(blocks_up),
            use_conv_final=False,
        )
        self.stride = 2 ** (len(blocks_down) - 1)
        self.feature_channels = width
        self.bottleneck_channels = width * self.stride
        # SegResNet's last convolution brings the normalisation of its pre-activation blocks.
        self.out_norm = nn.GroupNorm(8, width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of an image [B, in_channels, X, Y, Z], sides multiples of the stride s.

        Returns:
            full-resolution features [B, w, X, Y, Z] and bottleneck features [B, s w, X/s, Y/s, Z/s].
        """
        bottleneck, skips = self.encode(x)
        skips.reverse()
        return torch.relu(self.out_norm(self.decode(bottleneck, skips))), bottleneck
