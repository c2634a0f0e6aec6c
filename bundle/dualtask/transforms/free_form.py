"""Bends crops at random."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandAffineGrid, RandomizableTransform, create_grid
from monai.utils import convert_to_tensor, ensure_tuple_rep
from scipy.interpolate import BSpline
from torch.nn import functional

_CUBIC = 3
_WITHOUT_FOLDS = 0.4


class RandFreeFormd(RandomizableTransform, MapTransform):
    """Random free-form deformation and affine transformation of all keys of a crop, in one interpolation.

    The deformation is a cubic B-spline of displacements at control points (Rueckert et al., IEEE TMI 1999). Those of a
    crop are drawn from U(-d, d) for each axis, d from U(0, 0.4 x distance of the control points): space does not fold
    below 0.48 (Choi and Lee, 2000). A field of noise smoothed at full resolution, as in MONAI's ``Rand3DElastic``,
    bends alike and takes several times as long.

    A crop that is not transformed is cut to ``spatial_size`` around its centre. Results are plain tensors: nothing asks
    for the place of a bent voxel in the scan.

    Args:
        keys: of crops [C, X, Y, Z] of one shape.
        spatial_size: voxels of what is returned.
        prob: share of the crops that are transformed.
        spacing: voxel sides in mm.
        control_spacing: distance of the control points in mm.
        rotate_range: largest rotation about each axis in radians.
        scale_range: largest change of the scale of each axis, 0.25 for 0.75 to 1.25.
        translate_range: largest shift along each axis in voxels.
        mode: interpolation of each key.
        padding_mode: what lies beyond the crop, for each key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        prob: float,
        spacing: Sequence[float],
        control_spacing: float,
        rotate_range: Sequence[float],
        scale_range: Sequence[float],
        translate_range: Sequence[float],
        mode: Sequence[str] | str,
        padding_mode: Sequence[str] | str,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.spatial_size = tuple(int(side) for side in spatial_size)
        self.voxels = create_grid(self.spatial_size, backend="torch")[:3].float()
        self.spacing = torch.tensor([float(side) for side in spacing])
        self.control_spacing = float(control_spacing)
        self.splines = [
            cubic_splines(size, float(side), self.control_spacing)
            for size, side in zip(self.spatial_size, spacing, strict=True)
        ]
        self.affine = RandAffineGrid(
            rotate_range=rotate_range, scale_range=scale_range, translate_range=translate_range
        )
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.padding_mode = ensure_tuple_rep(padding_mode, len(self.keys))

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandFreeFormd:
        self.affine.set_random_state(seed, state)
        super().set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        self.randomize(None)
        places = self.voxels
        if self._do_transform:
            places = self._affine(places + self._displacements() / self.spacing[:, None, None, None])
        crops = {key: convert_to_tensor(result[key], track_meta=False) for key in self.key_iterator(result)}
        sides = torch.tensor(next(iter(crops.values())).shape[1:])
        # From voxels around the centre to grid_sample's [-1, 1] between the outer faces, last axis first.
        places = (places * (2 / sides)[:, None, None, None]).flip(0).movedim(0, -1)[None]
        for mode, padding_mode in dict.fromkeys(zip(self.mode, self.padding_mode, strict=True)):
            alike = [
                key
                for key, *how in self.key_iterator(crops, self.mode, self.padding_mode)
                if how == [mode, padding_mode]
            ]
            stacked = torch.cat([crops[key] for key in alike])[None]
            bent = functional.grid_sample(stacked, places, mode, padding_mode, align_corners=False)[0]
            result.update(zip(alike, bent.split([len(crops[key]) for key in alike]), strict=True))
        return result

    def _affine(self, places: torch.Tensor) -> torch.Tensor:
        """Random rotation, scale and shift of voxels [3, X, Y, Z] around the centre."""
        self.affine((1, 1, 1))
        matrix = torch.as_tensor(self.affine.get_transformation_matrix(), dtype=torch.float32)
        return torch.tensordot(matrix[:3, :3], places, dims=1) + matrix[:3, 3, None, None, None]

    def _displacements(self) -> torch.Tensor:
        """float32 [3, X, Y, Z] in mm."""
        largest = self.R.uniform(0, _WITHOUT_FOLDS * self.control_spacing)
        points = [spline.shape[1] for spline in self.splines]
        field = torch.from_numpy(self.R.uniform(-largest, largest, (3, *points)).astype(np.float32))
        for spline in self.splines:  # replaces the first axis of control points by voxels, as the last axis
            field = torch.tensordot(field, spline, dims=([1], [1]))
        return field


def cubic_splines(size: int, spacing: float, control_spacing: float) -> torch.Tensor:
    """Uniform cubic B-splines at the voxels of an axis.

    Args:
        size: voxels along the axis.
        spacing: side of a voxel in mm.
        control_spacing: distance of the control points in mm.

    Returns:
        float32 [size, n]: the weight of each of the n control points that reach the axis; each row sums to one.
    """
    voxels = np.arange(size) * spacing
    last = int(voxels[-1] // control_spacing) + 1
    knots = np.arange(-_CUBIC, last + _CUBIC + 1) * control_spacing
    return torch.from_numpy(BSpline.design_matrix(voxels, knots, _CUBIC).toarray().astype(np.float32))
