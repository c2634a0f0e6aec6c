"""The cheapest division of an image into inside and outside."""

from __future__ import annotations

import numpy as np

from dualtask.errors import InputError

MOST = 15.9
"""Largest difference of the two costs of a voxel that the solver tells apart: it reads them as probabilities, in
float32."""


def graph_cut(inside: np.ndarray, outside: np.ndarray, image: np.ndarray, weight: float, contrast: float) -> np.ndarray:
    """Minimum cut of the graph of face neighbours (Boykov and Kolmogorov, TPAMI 2004), by numpymaxflow.

    Minimises the sum of the costs of all voxels and, for each pair of neighbours on different sides,
    weight exp(-(I - J)^2 / 2 contrast^2): a boundary is cheap where the image has an edge.

    Args:
        inside, outside: float [X, Y, Z], costs in [0, ``MOST``] of putting a voxel there.
        image: float [X, Y, Z].
        weight: of the boundary.
        contrast: difference of intensities that counts as an edge, in units of the image.

    Returns:
        bool [X, Y, Z], True inside.

    Raises:
        InputError: numpymaxflow is not installed.
    """
    try:
        import numpymaxflow
    except ImportError as error:
        raise InputError(
            "Correction by clicks needs numpymaxflow: install it with `pip install numpymaxflow`."
        ) from error
    memberships = np.exp(-np.stack([outside, inside]).clip(0, MOST)).astype(np.float32)
    cut = numpymaxflow.maxflow(np.ascontiguousarray(image[None], np.float32), memberships, weight, contrast, 6)
    return cut[0] > 0.5
