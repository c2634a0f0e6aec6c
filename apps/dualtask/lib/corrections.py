"""Correction of a result by clicks and by scribbles, as the viewers' panels ask for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from dualtask.errors import InputError
from dualtask.refinement import Hints, ScanMaps, check_points, hints_of, refine_label_map
from dualtask.scans.labels import LABEL_NAMES
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_grid
from dualtask.structures import STRUCTURES
from dualtask.units import MM3_PER_ML
from lib.infer import DualTaskInfer
from lib.scan_maps import MapsInMemory
from lib.security.options import ClickOptions, InferOptions, ScribbleOptions

BACKGROUND, *_ = LABEL_NAMES


class Correction(InferTask):
    """What both kinds of correction share: a label map near the network's, in the form that a viewer asks for.

    Args:
        segmenter: writes the masks.
        maps: of the scans.
        kind: of MONAI Label, by which viewers choose the panel.
        labels: name -> value, as viewers list them.
        description: shown in the panel.
    """

    options: type[InferOptions]
    """What clients send to it."""

    def __init__(
        self, segmenter: DualTaskInfer, maps: MapsInMemory, kind: InferType, labels: dict[str, int], description: str
    ) -> None:
        super().__init__(kind, labels, 3, description)
        self._segmenter = segmenter
        self._maps = maps

    def is_valid(self) -> bool:
        return True

    def info(self) -> dict[str, Any]:
        return {**super().info(), "version": self._segmenter.versions.name}

    def _answer(
        self, maps: ScanMaps, before: np.ndarray, hints: Mapping[str, Hints], began: float
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The corrected label map, and what the viewer is told with it."""
        after = refine_label_map(maps, before, hints)
        voxel_ml = float(np.prod(maps.spacing)) / MM3_PER_ML
        changed = {
            name: round(int(((before >= value) != (after >= value)).sum()) * voxel_ml, 3)
            for value, name in enumerate(STRUCTURES, 1)
        }
        return after, {
            "label_names": {name: value for name, value in self.labels.items() if value},
            "version": self._segmenter.versions.name,
            "changed_ml": changed,
            "latencies": {"total": round(time.monotonic() - began, 2)},
        }

    def _written(self, mask: np.ndarray, maps: ScanMaps, request: Mapping[str, Any]) -> str:
        return self._segmenter.written_mask(
            MetaTensor(torch.as_tensor(mask), affine=torch.as_tensor(maps.affine)), request
        )


class Clicks(Correction):
    """Points of the labels correct the network's result, all points of a study in each request.

    Viewers send voxels [i, j, k] of the scan as this server reads it, which are those of the masks that it answers:
    3D Slicer and OHIF under ``pancreas``, ``lesion`` and ``background``, scripts as well as ``foreground`` and
    ``background`` of the structure that ``label`` names.
    """

    options = ClickOptions

    def __init__(self, segmenter: DualTaskInfer, maps: MapsInMemory, labels: dict[str, int]) -> None:
        # 3D Slicer offers points of what is listed here alone; the value of the background is 0.
        super().__init__(
            segmenter,
            maps,
            InferType.DEEPEDIT,
            {BACKGROUND: 0, **labels},
            "Corrects the automatic result by points; each changes its surroundings only.",
        )

    def __call__(self, request: dict[str, Any], callbacks: dict | None = None) -> tuple[str, dict[str, Any]]:
        """Correct the network's result of a scan.

        Raises:
            InputError: the scan or a point cannot be used, or two points contradict each other.
        """
        began = time.monotonic()
        maps = self._maps.of(request["image"])
        hints = click_hints(request, maps.label.shape)
        after, facts = self._answer(maps, maps.label, hints, began)
        return self._written(after, maps, request), facts


class Scribbles(Correction):
    """Brush strokes correct the label map that they come with, or the network's where it holds no structure.

    3D Slicer sends one label map of all its segments, two of which are the scribbles, says in ``label_info`` which
    value is which, and replaces the segment ``selected_label_name`` by the mask that it is answered.
    """

    options = ScribbleOptions

    def __init__(self, segmenter: DualTaskInfer, maps: MapsInMemory, labels: dict[str, int]) -> None:
        super().__init__(
            segmenter,
            maps,
            InferType.SCRIBBLES,
            labels,
            "Corrects a segment by scribbles; each changes its surroundings only.",
        )

    def __call__(self, request: dict[str, Any], callbacks: dict | None = None) -> tuple[str, dict[str, Any]]:
        """Correct the segment that is named of a label map that is sent.

        Raises:
            InputError: the scan, the label map or the segment cannot be used.
        """
        began = time.monotonic()
        maps = self._maps.of(request["image"])
        name = str(request.get("selected_label_name", ""))
        if name not in self.labels:
            raise InputError(f"The segment {name!r} cannot be corrected: choose one of {', '.join(self.labels)}.")
        before, foreground, background = _scribbled(request, maps)
        hints = hints_of({name: foreground}, {name: background})
        after, facts = self._answer(maps, before, hints, began)
        inside = _inside(request.get("roi"), after.shape)
        mask = np.where(inside, after, before) == self.labels[name]
        return self._written(mask.astype(np.uint8), maps, request), facts


def click_hints(request: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Hints]:
    """The points of a request.

    Args:
        request: see :class:`Clicks`.
        shape: of the scan.

    Raises:
        InputError: a point cannot be used, or two contradict each other.
    """
    if "foreground" not in request:
        return hints_of({name: check_points(request.get(name) or [], shape, name) for name in LABEL_NAMES})
    name = request.get("label")
    if name not in STRUCTURES:
        raise InputError(f"There is no structure {name!r}: give one of {', '.join(STRUCTURES)} as the label.")
    foreground, background = (check_points(request.get(key) or [], shape, key) for key in ("foreground", "background"))
    return hints_of({name: foreground}, {name: background})


def _scribbled(request: Mapping[str, Any], maps: ScanMaps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label map uint8 [X, Y, Z] under the scribbles, and the voxels of both scribbles, int [N, 3]."""
    if not isinstance(request.get("label"), str):
        raise InputError("There are no scribbles: send the label map that holds them as the file `label`.")
    sent = read_volume(request["label"])
    scan = MetaTensor(torch.as_tensor(maps.image)[None], affine=torch.as_tensor(maps.affine))
    check_grid(sent, scan, "The label map of the scribbles", "the scan")
    stored = sent[0].numpy()
    # Without a list of the segments MONAI Label puts the scribbles behind the structures.
    values = {name: value for value, name in enumerate((*STRUCTURES, *_SCRIBBLES), 1)}
    if request.get("label_info"):
        values = {info.get("name"): info.get("id", index) for index, info in enumerate(request["label_info"], 1)}
    background, foreground = (np.argwhere(stored == values.get(name, -1)) for name in _SCRIBBLES)
    if not len(background) + len(foreground):
        raise InputError("The label map holds no scribbles: paint some, or name their segments in label_info.")
    label = np.zeros(stored.shape, np.uint8)
    for value, name in enumerate(STRUCTURES, 1):
        label[stored == values.get(name, -1)] = value
    if not label.any():
        return maps.label, foreground, background
    under = tuple(np.concatenate([background, foreground]).T)
    label[under] = maps.label[under]
    return label, foreground, background


_SCRIBBLES = ("background_scribbles", "foreground_scribbles")


def _inside(roi: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels in a box [i0, i1, j0, j1, k0, k1] as 3D Slicer sends it, its corners in any order; no box means all."""
    if roi and len(roi) != 2 * len(shape):
        raise InputError(f"The box around the region has {len(roi)} numbers: send two for each axis, or none.")
    inside = np.zeros(shape, bool)
    corners = np.asarray(roi or [side for size in shape for side in (0, size)], dtype=float).reshape(3, 2)
    low, high = corners.min(1).clip(0).astype(int), np.ceil(corners.max(1)).clip(0).astype(int)
    inside[tuple(slice(*sides) for sides in zip(low, high, strict=True))] = True
    return inside
