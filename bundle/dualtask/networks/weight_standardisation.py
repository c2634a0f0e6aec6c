"""Weight standardisation as a training-time parametrisation that folds into plain weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils import parametrize

_PARAMETRISED = "parametrizations.weight.original"
_RELU_GAIN = math.sqrt(2.0 / (1.0 - 1.0 / math.pi))


def standardise(weight: torch.Tensor) -> torch.Tensor:
    """Zero mean and variance gain^2 / fan_in over the fan-in of each output channel.

    The gain keeps the variance of the signal through a ReLU (Brock et al. 2021, scaled weight standardisation,
    arXiv 2101.08692, section 3). Standardising twice changes nothing, so folded weights can be trained further.

    Args:
        weight: [out, in, ...] convolution kernel.
    """
    dims = list(range(1, weight.dim()))
    fan_in = weight[0].numel()
    variance, mean = torch.var_mean(weight, dim=dims, keepdim=True, unbiased=False)
    return (weight - mean) * torch.rsqrt(variance * fan_in + 1e-10) * _RELU_GAIN


class _Standardisation(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return standardise(weight)


def standardise_convolutions(module: nn.Module) -> None:
    """Register the parametrisation on every convolution of the module whose kernel is larger than 1x1x1.

    The 1x1x1 convolutions mix channels only; standardising them would take their mean away for no benefit.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d) and max(layer.kernel_size) > 1:
            parametrize.register_parametrization(layer, "weight", _Standardisation())


def adapt_state_dict(module: nn.Module, state: dict[str, torch.Tensor], prefix: str) -> None:
    """Convert the convolution weights of ``state`` in place to the form that ``module`` holds.

    A checkpoint of training (parametrised) loads into a plain network with its weights folded, exactly; a folded
    one loads into a parametrised network for further training.
    """
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Conv3d):
            continue
        plain, parametrised = (f"{prefix}{name}.{key}" for key in ("weight", _PARAMETRISED))
        if parametrize.is_parametrized(layer, "weight"):
            if plain in state:
                state[parametrised] = state.pop(plain)
        elif parametrised in state:
            state[plain] = standardise(state.pop(parametrised))
