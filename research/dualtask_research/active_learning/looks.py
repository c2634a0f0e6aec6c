"""What a network makes of scans without labels: its uncertainty about each, and where each lies among the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from dualtask.active_learning.embedding import bottleneck_embeddings
from dualtask.files import write_atomically
from dualtask.maps import MAPS, scan_uncertainty
from dualtask.networks import DualTaskNet

_FILE = "looks.npz"

_PREDICTED = 0.5
_POSSIBLE = 0.1
"""Probability from which a voxel may be pancreas."""

_TINY = 1e-9


def write_looks(
    images: Sequence[str],
    preprocessing: Callable[[dict[str, str]], Mapping[str, Any]],
    network: DualTaskNet,
    inferer: Callable[[torch.Tensor, DualTaskNet], torch.Tensor],
    device: torch.device,
    output_dir: str | os.PathLike[str],
) -> None:
    """Look at scans; the workflow ``looking`` of ``looking.json`` behind the bundle's inference.

    Args:
        images: paths of the scans.
        preprocessing, network, inferer, device: of the inference.
        output_dir: where :func:`read_looks` finds them.

    Raises:
        StorageError: the file cannot be written.
    """
    looks: dict[str, list[Any]] = {"uncertainty": [], "entropy": [], "lesion": [], "embeddings": []}
    for image in images:
        scan = preprocessing({"image": image})["image"].as_tensor()
        with bottleneck_embeddings(network) as embeddings:
            maps = inferer(scan[None].to(device), network)[0]
        looks["uncertainty"].append(fmean(scan_uncertainty(maps).values()))
        probability = maps[MAPS["probability"]]
        _, lesion = probability
        looks["entropy"].append(mean_entropy(probability))
        looks["lesion"].append(bool((lesion > _PREDICTED).any()))
        looks["embeddings"].append(torch.stack(embeddings).mean(0).numpy())
    arrays = {name: np.array(values) for name, values in looks.items()}
    write_atomically(Path(output_dir) / _FILE, lambda temporary: np.savez(temporary, **arrays))


def mean_entropy(probability: torch.Tensor) -> float:
    """Mean over the structures of the binary entropy where the pancreas may be, in bits; 0 where it is nowhere.

    Args:
        probability: [2, X, Y, Z] of the structures.
    """
    pancreas, _ = probability
    region = pancreas > _POSSIBLE
    if not region.any():
        return 0.0
    inside = probability[:, region].double().clamp(_TINY, 1 - _TINY)
    entropy = -(inside * inside.log2() + (1 - inside) * (1 - inside).log2())
    return float(entropy.mean())


def read_looks(folder: Path) -> dict[str, np.ndarray]:
    """Uncertainty, entropy and lesion (whether one was predicted) [n] and embeddings [n, d] of the scans, as
    :func:`write_looks` wrote them."""
    with np.load(folder / _FILE) as looks:
        return dict(looks)
