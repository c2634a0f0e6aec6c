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
from dualtask.maps import scan_uncertainty
from dualtask.networks import DualTaskNet

_FILE = "looks.npz"


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
        output_dir: where :func:`read_looks` finds uncertainty [n] and embedding [n, d] of each scan.

    Raises:
        StorageError: the file cannot be written.
    """
    uncertainty, embedding = [], []
    for image in images:
        scan = preprocessing({"image": image})["image"].as_tensor()
        with bottleneck_embeddings(network) as embeddings:
            maps = inferer(scan[None].to(device), network)[0]
        uncertainty.append(fmean(scan_uncertainty(maps).values()))
        embedding.append(torch.stack(embeddings).mean(0).numpy())
    looks = {"uncertainty": np.array(uncertainty), "embeddings": np.array(embedding)}
    write_atomically(Path(output_dir) / _FILE, lambda temporary: np.savez(temporary, **looks))


def read_looks(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Uncertainty [n] and embedding [n, d] of each scan, as :func:`write_looks` wrote them."""
    with np.load(folder / _FILE) as looks:
        return looks["uncertainty"], looks["embeddings"]
