"""A simulated annotator: clicks where most is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np
from scipy import ndimage


def next_click(reference: np.ndarray, mask: np.ndarray, spacing: Sequence[float]) -> tuple[int, int, int] | None:
    """The most interior voxel of the largest error, as simulations of clicks are usually done.

    What is missed and what is seen in vain are errors apart; each falls into components by faces, the largest of all
    is the one that the annotator turns to.

    Args:
        reference: bool [X, Y, Z].
        mask: bool [X, Y, Z], what the annotator looks at.
        spacing: voxel sides in mm.

    Returns:
        the voxel, or None where the mask is the reference.
    """
    wrong = reference != mask
    if not wrong.any():
        return None
    (box,) = ndimage.find_objects(wrong.astype(np.uint8))
    components, missed = ndimage.label((reference & ~mask)[box])
    false, _ = ndimage.label((mask & ~reference)[box])
    components[false > 0] = false[false > 0] + missed
    largest = components == 1 + np.bincount(components.ravel())[1:].argmax()
    depth = edt.edt(largest, anisotropy=tuple(spacing), black_border=True)
    deepest = np.unravel_index(depth.argmax(), depth.shape)
    return tuple(int(index + side.start) for index, side in zip(deepest, box, strict=True))  # type: ignore[return-value]
