"""What the values of a label stand for that a viewer sends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualtask.errors import InputError
from dualtask.nifti import save_nifti
from dualtask.scans.reading import read_volume
from dualtask.structures import STRUCTURES


def check_values(label: torch.Tensor, segments: Any) -> None:
    """Refuse a label with a voxel that is neither background nor one of the structures.

    Args:
        label: [1, X, Y, Z].
        segments: what the viewer says of them, see :func:`as_structures`.

    Raises:
        InputError: names the segment or the value.
    """
    names = _names(segments)
    for value in torch.unique(torch.as_tensor(label)).tolist():
        if value and names.get(value) not in STRUCTURES:
            what = f"The segment {names[value]!r}" if value in names else f"The value {value:g} of the label"
            raise InputError(f"{what} is no structure: name it {' or '.join(STRUCTURES)}, or delete it.")


def as_structures(file: Path, segments: Any, folder: Path) -> Path:
    """A label file whose values are those of the structures, 1 pancreas and 2 lesion.

    3D Slicer gives the n-th segment of its list the value n, whatever the segment is called: where one was deleted, or
    deleted and drawn anew, the lesion may come first.

    Args:
        file: of the label, already checked by :func:`check_values`.
        segments: ``[{"name": ...}, ...]`` as the viewer lists them; values without a name there mean what they usually
            do.
        folder: takes the file, where another one has to be written.

    Returns:
        the file itself, or another one.
    """
    values = {value: STRUCTURES.index(name) + 1 for value, name in _names(segments).items() if name in STRUCTURES}
    if all(value == structure for value, structure in values.items()):
        return file
    sent = read_volume(file)
    label = np.zeros(sent.shape[1:], np.uint8)
    for value, structure in values.items():
        label[sent[0].numpy() == value] = structure
    result = folder / "label.nii.gz"
    save_nifti(result, label, sent.affine.numpy())
    return result


def _names(segments: Any) -> dict[float, str]:
    """Value -> name of the segment."""
    listed = [str(entry.get("name", "")).strip().lower() for entry in segments or () if isinstance(entry, Mapping)]
    return {**dict(enumerate(STRUCTURES, 1)), **dict(enumerate(listed, 1))}
