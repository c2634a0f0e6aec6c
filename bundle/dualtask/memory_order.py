"""Volumes between the memory order of files (first axis fastest) and that of tensors (last axis fastest)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import DTypeLike


def in_memory_order(volume: np.ndarray, order: Literal["C", "F"], dtype: DTypeLike = None) -> np.ndarray:
    """A volume whose voxels lie in this order in memory, copied if they do not yet.

    Numpy copies the slowest axis of one of the orders voxel by voxel, each from another part of the memory. A plane of
    the second axis at a time fits into the processor's cache, which takes a fifth of the time and less.

    Args:
        volume: [X, Y, ...].
        order: C, last axis fastest, or F, first axis fastest.
        dtype: of the result, if another one.

    >>> in_memory_order(np.zeros((2, 3, 4), np.int16), "F", np.float32).strides
    (4, 8, 24)
    """
    dtype = np.dtype(volume.dtype if dtype is None else dtype)
    lies_so = volume.flags.c_contiguous if order == "C" else volume.flags.f_contiguous
    if volume.dtype == dtype and lies_so:
        return volume
    result = np.empty(volume.shape, dtype, order)
    for place in range(volume.shape[1]):
        result[:, place] = volume[:, place]
    return result
