"""The shared encoder-decoder of the method (arXiv 2505.01644, network section)."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dualtask.networks.weight_standardisation import adapt_state_dict, standardise_convolutions

_GROUPS = 8


class ResidualBlock(nn.Module):
    """Pre-activation residual block: twice GroupNorm(8) - ReLU - 3x3x3 convolution, plus the input.

    Where the shape changes, the shortcut is a strided 1x1x1 convolution of the activated input.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, in_channels)
        self.conv1 = nn.Conv3d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.norm2 = nn.GroupNorm(_GROUPS, out_channels)
        self.conv2 = nn.Conv3d(out_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.same_shape = stride == 1 and in_channels == out_channels
        self.shortcut = (
            nn.Identity() if self.same_shape else nn.Conv3d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = torch.relu(self.norm1(x))
        shortcut = x if self.same_shape else self.shortcut(activated)
        return shortcut + self.conv2(torch.relu(self.norm2(self.conv1(activated))))


class _CheckpointedBlock(ResidualBlock):
    """Forgets its inner activations and computes them anew in the backward pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(super().forward, x, use_reentrant=False)


def _stage(
    block: type[ResidualBlock], in_channels: int, out_channels: int, blocks: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    first = block(in_channels, out_channels, stride, dilation)
    return nn.Sequential(first, *(block(out_channels, out_channels, 1, dilation) for _ in range(blocks - 1)))


class _UpStage(nn.Module):
    """Reduce the channels, upsample x2 (nearest), add the skip, one residual block."""

    def __init__(self, block: type[ResidualBlock], in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv3d(in_channels, out_channels, 1, bias=False)
        self.upsample = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.block = block(out_channels, out_channels)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.block(self.upsample(self.reduce(x)) + skip)


class ResidualUNet(nn.Module):
    """Residual U-shape with additive skips; widths w, 2w, 4w, 8w at strides 1, 2, 4, 8.

    A dilation-2 stage at stride 8 and a fusion convolution 8w -> 4w with dropout 0.1 close the encoder. Convolutions
    are weight-standardised while training; with ``weight_standardisation=False`` the network is plain, and a training
    checkpoint loads into it with its weights folded exactly (see ``weight_standardisation.adapt_state_dict``).

    Args:
        in_channels: image channels.
        width: w, a multiple of 8; 32 is the paper's.
        weight_standardisation: True for training, False for inference and export.
        gradient_checkpointing: trade time for memory in training; the gradients stay the same.

    Attributes:
        feature_channels: channels of the full-resolution features.
        bottleneck_channels: channels of the bottleneck features.
        stride: the input's sides must be multiples of it.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 32,
        weight_standardisation: bool = True,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if width % _GROUPS:
            raise ValueError(f"width must be a multiple of {_GROUPS} (GroupNorm groups), got {width}.")
        self.feature_channels = width
        self.bottleneck_channels = 8 * width
        self.stride = 8
        block = _CheckpointedBlock if gradient_checkpointing else ResidualBlock
        stage, up_stage = partial(_stage, block), partial(_UpStage, block)
        self.stem = nn.Conv3d(in_channels, width, 3, padding=1, bias=False)
        self.encoder1 = stage(width, width, blocks=1)
        self.encoder2 = stage(width, 2 * width, blocks=2, stride=2)
        self.encoder3 = stage(2 * width, 4 * width, blocks=2, stride=2)
        self.encoder4 = stage(4 * width, 8 * width, blocks=2, stride=2)
        self.dilated = stage(8 * width, 8 * width, blocks=2, dilation=2)
        self.fusion = nn.Sequential(
            nn.GroupNorm(_GROUPS, 8 * width),
            nn.ReLU(),
            nn.Dropout3d(0.1),
            nn.Conv3d(8 * width, 4 * width, 3, padding=1, bias=False),
        )
        self.decoder3 = up_stage(4 * width, 4 * width)
        self.decoder2 = up_stage(4 * width, 2 * width)
        self.decoder1 = up_stage(2 * width, width)
        self.out_norm = nn.GroupNorm(_GROUPS, width)
        if weight_standardisation:
            standardise_convolutions(self)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of an image.

        Args:
            x: [B, in_channels, X, Y, Z], sides multiples of 8.

        Returns:
            full-resolution features [B, w, X, Y, Z] and bottleneck features [B, 8w, X/8, Y/8, Z/8].
        """
        skip1 = self.encoder1(self.stem(x))
        skip2 = self.encoder2(skip1)
        skip3 = self.encoder3(skip2)
        bottleneck = self.dilated(self.encoder4(skip3))
        x = self.decoder3(self.fusion(bottleneck), skip3)
        x = self.decoder1(self.decoder2(x, skip2), skip1)
        return torch.relu(self.out_norm(x)), bottleneck

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:  # type: ignore[no-untyped-def]
        adapt_state_dict(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
