"""The network that a federation begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask.networks import load_weights


def write_initial_weights(
    path: Path, configs: Sequence[Path], settings: Mapping[str, Any], seed: int, weights: Path | None = None
) -> None:
    """Write the weights that every site begins with, as a plain state dict.

    Args:
        path: file to write.
        configs, settings: of the training, which define the network.
        seed: of random weights.
        weights: file to begin with instead, such as the shipped weights.

    Raises:
        InputError: the network keeps statistics of batches, or the weights are of another network.
    """
    torch.manual_seed(seed)
    parser = ConfigParser(ConfigParser.load_config_files([str(config) for config in configs]))
    parser.update(dict(settings))
    network = parser.get_parsed_content("network_def")
    refuse_batch_statistics(network)
    if weights:
        load_weights(network, str(weights))
    write_atomically(path, lambda temporary: torch.save(network.state_dict(), temporary))


def refuse_batch_statistics(network: nn.Module) -> None:
    """Refuse a network whose normalisation remembers the scans of its training.

    Means and variances of one site are no statistics of another, and their mean over sites is none of any. The bundle's
    networks have instance and group norms, which remember nothing.

    Raises:
        InputError: a layer keeps running statistics.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, _NormBase) and layer.track_running_stats:
            raise InputError(
                f"{name} ({type(layer).__name__}) keeps running statistics, which sites cannot average: use a "
                "network_def with instance or group norm."
            )
