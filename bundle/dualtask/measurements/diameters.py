"""Diameters of a mask from surface to surface."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform
from skimage.measure import find_contours, marching_cubes


def longest_diameter(mask: np.ndarray, affine: np.ndarray) -> float:
    """Largest distance between two points of the surface in mm.

    The surface is that of marching cubes at 0.5, half a voxel beyond the outermost centres (Image Biomarker
    Standardisation Initiative, L0JK: maximum 3D diameter).

    Args:
        mask: boolean [X, Y, Z], not empty.
        affine: [4, 4], voxel -> mm.
    """
    vertices = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)[0] @ affine[:3, :3].T
    return float(pdist(vertices[ConvexHull(vertices).vertices]).max())


def axial_diameters(mask: np.ndarray, affine: np.ndarray) -> tuple[float, float]:
    """The longest diameter of a mask in any one axial slice, and its longest perpendicular in that slice, in mm.

    Both are diameters of the slice's convex hull, from edge to edge. Axial slices are those across the array's axis
    that lies nearest to the patient's long axis: the slices as they were taken or reconstructed.

    Args:
        mask: boolean [X, Y, Z], not empty.
        affine: [4, 4], voxel -> mm (RAS+).
    """
    axial = int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])
    # Coordinates within the plane of a slice, in mm: the triangular factor keeps lengths and angles of its two axes.
    to_plane = np.linalg.qr(np.delete(affine[:3, :3], axial, axis=1))[1]
    slices = (part for part in np.moveaxis(mask, axial, 0) if part.any())
    return max(_slice_diameters(part, to_plane) for part in slices)


def _slice_diameters(mask: np.ndarray, to_plane: np.ndarray) -> tuple[float, float]:
    """Longest diameter and its longest perpendicular of a slice [n, m]; ``to_plane`` [2, 2]: pixel -> mm."""
    points = np.concatenate(find_contours(np.pad(mask, 1).astype(float), 0.5)) @ to_plane.T
    hull = points[ConvexHull(points).vertices]  # in order around the hull
    first, last = np.unravel_index(squareform(pdist(hull)).argmax(), (len(hull),) * 2)
    line = hull[last] - hull[first]
    length = float(np.linalg.norm(line))
    along, across = ((hull - hull[first]) @ np.array([line, [-line[1], line[0]]]).T / length).T
    # Width as a function of the place along the diameter: it is largest at a corner of one of the hull's two sides.
    sides = []
    for start, stop in ((first, last), (last, first)):
        side = np.arange(start, stop + 1 + (len(hull) if stop < start else 0)) % len(hull)
        side = side[np.argsort(along[side], kind="stable")]
        sides.append(np.interp(along, along[side], across[side]))
    return length, float(np.abs(sides[0] - sides[1]).max())
