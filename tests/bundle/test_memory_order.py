"""Volumes in another memory order have the same voxels."""

from __future__ import annotations

import numpy as np
import pytest

from dualtask.memory_order import in_memory_order


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 1, 5), (3, 4, 5, 2)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("stored", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_voxels_stay_in_their_places(shape, order, stored, dtype):
    volume = np.asarray(np.arange(np.prod(shape)).reshape(shape), np.int16, order=stored)
    found = in_memory_order(volume, order, dtype)
    assert found.flags[f"{order}_CONTIGUOUS"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, volume)


def test_a_volume_that_lies_right_is_not_copied():
    volume = np.zeros((3, 4, 5), order="F")
    assert in_memory_order(volume, "F") is volume
