"""The cascade of the bundle as its configs make it, and labelled cases on the grid of its network."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.utils import convert_to_tensor
from torch import nn

import dualtask
from dualtask.inferers import CascadeInferer
from dualtask.scans import DiskCache
from dualtask.scans.datalists import Case

Scan = dict[str, torch.Tensor]
"""``image`` in [0, 1], ``label`` and ``known``, each [1, X, Y, Z] with axes RAS on the network's grid."""


@dataclass(frozen=True)
class Chain:
    """The cascade of the bundle, and the preprocessing of labelled cases.

    Attributes:
        inferer, network: as ``configs/inference.json`` makes them.
        preprocessing: of ``configs/train.json``: cases with paths become tensors on the network's grid.
        voxel_mm3: volume of a voxel of that grid.
    """

    inferer: CascadeInferer
    network: nn.Module
    preprocessing: Any
    voxel_mm3: float


def read_chain(weights: str, localiser_weights: str) -> Chain:
    """The bundle's cascade with given weights.

    Raises:
        RuntimeError: the weights cannot be used; an InputError is its cause.
    """
    configs = Path(dualtask.bundle_root()) / "configs"
    inference, training = ConfigParser(), ConfigParser()
    inference.read_config(str(configs / "inference.json"))
    inference.update({"weights": weights, "localiser_weights": localiser_weights, "datalist": []})
    training.read_config(str(configs / "train.json"))
    spacing = inference.get_parsed_content("image_format")["spacing"]
    return Chain(
        inference.get_parsed_content("inferer"),
        inference.get_parsed_content("network"),
        training.get_parsed_content("preprocessing"),
        math.prod(spacing),
    )


def preprocessed(cases: Sequence[Case], chain: Chain, cache_dir: str | os.PathLike[str]) -> Iterator[tuple[Case, Scan]]:
    """Cases with their scans on the network's grid, kept in a folder as trainings keep them."""
    scans = DiskCache(cases, chain.preprocessing, cache_dir)
    for case, scan in zip(cases, scans, strict=True):
        yield case, {key: convert_to_tensor(scan[key], track_meta=False) for key in ("image", "label", "known")}
