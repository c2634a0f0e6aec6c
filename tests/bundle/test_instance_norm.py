"""Instance normalisation in the memory format of fast convolutions: PyTorch's values, without a copy between layers."""

from __future__ import annotations

import pytest
import torch
from monai.networks.layers import Norm
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dualtask.inferers.precision import autocast
from dualtask.networks import DualTaskNet, DynUNetBackbone
from dualtask.networks.instance_norm import CHANNELS_LAST, ChannelsLastInstanceNorm3d

LAST = torch.channels_last_3d


def both_layers(channels: int) -> tuple[ChannelsLastInstanceNorm3d, nn.InstanceNorm3d]:
    """Ours and PyTorch's with the same parameters; loading fails where their names differ."""
    torch.manual_seed(0)
    expected = nn.InstanceNorm3d(channels, affine=True)
    nn.init.normal_(expected.weight)
    nn.init.normal_(expected.bias)
    actual = Norm[CHANNELS_LAST, 3](channels, affine=True)
    actual.load_state_dict(expected.state_dict())
    return actual, expected


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_those_of_pytorchs_layer(batch, memory_format, training):
    actual, expected = (layer.train(training) for layer in both_layers(channels=5))
    image = torch.randn(batch, 5, 7, 6, 4) * torch.arange(1, batch + 1)[:, None, None, None, None] + 3
    weights = torch.randn_like(image)
    gradients = []
    for layer in (actual, expected):
        own = image.clone(memory_format=memory_format).requires_grad_()
        result = layer(own)
        (result * weights).sum().backward()
        gradients.append([result.detach(), own.grad, layer.weight.grad, layer.bias.grad])
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2])
def test_no_convolution_of_the_network_changes_the_memory_format(batch):
    kept: list[bool] = []

    class Convolutions(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            # The distances' head computes in fp32, and nothing that depends on a format comes behind it.
            if function is torch.ops.aten.convolution.default and args[0].dtype == torch.bfloat16:
                kept.append(all(volume.is_contiguous(memory_format=LAST) for volume in (args[0], result)))
            return result

    model = DualTaskNet(DynUNetBackbone(width=8), (10.0, 5.0))
    image = torch.rand(batch, 1, 32, 24, 16)
    with autocast(image.device, image.shape[-1]) as precision, Convolutions():
        model.heads(image)
    if not precision._enabled:
        pytest.skip(
            "This processor does not compute in bf16, and PyTorch's convolutions of fp32 choose for themselves."
        )
    assert len(kept) > 10
    assert all(kept)


def test_elsewhere_it_is_pytorchs_own_layer():
    actual, expected = (layer.to("meta") for layer in both_layers(channels=2))
    image = torch.empty(2, 2, 4, 4, 4, device="meta").to(memory_format=LAST)
    assert actual(image).stride() == expected(image).stride()


def test_planes_are_refused():
    with pytest.raises(ValueError, match="volumes of 3 axes"):
        Norm[CHANNELS_LAST, 2]
