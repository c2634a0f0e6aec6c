"""Weights from a checkpoint file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dualtask.errors import InputError

_TRAINING_ONLY = "organs."


def load_weights(network: nn.Module, path: str) -> nn.Module:
    """Load a state dict into a network and switch it to evaluation.

    Version 0.3.0 and older wrote ``{"model": state_dict}``, which is still read. The head of neighbouring organs serves
    training alone: its weights are passed over where the network has none, and stay as they are where the file has
    none.

    Raises:
        InputError: the file is absent or damaged, is the state of a training, or holds the weights of another network.
    """
    if not Path(path).is_file():
        raise InputError(f"No weights at {path}: train them (see docs/README.md of the bundle) or copy them there.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = set(state)
    except Exception as error:  # damaged bytes make the reader raise anything
        raise InputError(f"The weights in {path} cannot be read: copy the file again or train anew.") from error
    if "trainer" in names:
        raise InputError(f"{path} is the last state of a training: use the weights that it saved beside it.")
    try:
        weights, own = state["model"] if "model" in names else state, network.state_dict()
        kept = {name: values for name, values in weights.items() if not name.startswith(_TRAINING_ONLY)}
        network.load_state_dict(
            {name: weights.get(name, values) for name, values in own.items() if name.startswith(_TRAINING_ONLY)} | kept
        )
    except (RuntimeError, TypeError, AttributeError) as error:  # the last two: names or values of no state dict
        raise InputError(
            f"The weights in {path} belong to another network: use those that were trained with this network_def."
        ) from error
    return network.eval()
