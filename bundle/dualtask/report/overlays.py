"""Slices of a scan with the prediction filled and the reference outlined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from monai.data import MetaTensor
from monai.transforms import Orientation
from nibabel.affines import apply_affine, voxel_sizes

from dualtask.evaluation.known import cut
from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.pictures import Picture, embed

WINDOW_HU = (-160, 240)
"""What is shown black and white."""

_FIELD_MM = 200.0
_SCALE_BAR_MM = 50.0
_SIDE_INCHES, _DPI = 4.0, 120
_FILL_OPACITY = 0.35
_HALO: list[patheffects.AbstractPathEffect] = [patheffects.withStroke(linewidth=2.5, foreground="black")]


@dataclass(frozen=True)
class View:
    """A plane of the body: the axes (of R, A, S) across it, along the page and up the page; the letter at the left."""

    name: str
    across: int
    horizontal: int
    vertical: int
    left: str


# Radiological display: the patient's right (sagittal: the front) on the left of the page, front or head up.
VIEWS = (
    View("axial", across=2, horizontal=0, vertical=1, left="R"),
    View("coronal", across=1, horizontal=0, vertical=2, left="R"),
    View("sagittal", across=0, horizontal=1, vertical=2, left="A"),
)


def draw_overlays(
    name: str,
    scan: MetaTensor,
    reference: MetaTensor,
    prediction: MetaTensor,
    structure: str = "lesion",
    unknown: float | None = None,
) -> list[Picture]:
    """Draw three slices through the centre of a structure, of what is known of it.

    Without a lesion in the reference they go through the predicted one, else through the pancreas of the reference,
    else through the predicted pancreas, else through the middle of the scan. Of the pancreas the lesions are passed
    over.

    Args:
        name: of the case.
        scan: HU, [1, X, Y, Z], in any orientation, with affine voxel -> mm (RAS+).
        reference, prediction: label maps on the same grid.
        structure: what the slices go through, one of ``STRUCTURES``.
        unknown: HU of voxels of which nothing is known; None where all are.

    Returns:
        one picture for each of ``VIEWS``, a square of 200 mm, to scale.
    """
    known = None if unknown is None else scan.as_tensor() != unknown
    truth, found = (cut(label_map.as_tensor(), known)[0].numpy() for label_map in (reference, prediction))
    target, point = _point_of_interest(truth, found, voxel_sizes(scan.affine.numpy()), structure)
    return draw_views(name, scan, prediction, target, point, reference)


def draw_views(
    name: str,
    scan: MetaTensor,
    prediction: MetaTensor,
    target: str,
    point: np.ndarray,
    reference: MetaTensor | None = None,
) -> list[Picture]:
    """Draw three slices through a voxel.

    Args:
        name: of the case.
        scan: HU, [1, X, Y, Z], in any orientation, with affine voxel -> mm (RAS+).
        prediction: label map on the same grid.
        target: what lies at the voxel, in words.
        point: indices [3] of the voxel.
        reference: label map on the same grid, to be outlined.

    Returns:
        one picture for each of ``VIEWS``, a square of 200 mm, to scale.
    """
    to_ras = Orientation(axcodes="RAS", labels=None)
    place = apply_affine(scan.affine.numpy(), point)
    scan, prediction = to_ras(scan), to_ras(prediction)
    outlined = None if reference is None else to_ras(reference)[0].numpy()
    affine = scan.affine.numpy()
    point = apply_affine(np.linalg.inv(affine), place).round().astype(int)
    spacing, hu, found = voxel_sizes(affine), scan[0].numpy(), prediction[0].numpy()
    outline = ", reference outlined" if reference is not None else ""
    return [
        embed(
            _draw(view, hu, outlined, found, point, spacing),
            alt=f"{view.name.capitalize()} slice of {name} through {target}, prediction filled{outline}.",
            caption=f"{view.name.capitalize()}, through {target}",
        )
        for view in VIEWS
    ]


def _point_of_interest(
    truth: np.ndarray, found: np.ndarray, spacing: np.ndarray, structure: str
) -> tuple[str, np.ndarray]:
    """What the slices go through, in words, and its voxel [3]."""
    lesion = (("the reference lesion", truth == 2), ("the predicted lesion", found == 2))
    pancreas = (("the reference pancreas", truth >= 1), ("the predicted pancreas", found >= 1))
    for target, mask in (*lesion, *pancreas) if structure == "lesion" else pancreas:
        if mask.any():
            return target, central_voxel(mask, spacing)
    return "the middle of the scan", np.array(truth.shape) // 2


def central_voxel(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Indices [3] of the voxel of a mask [X, Y, Z] that is next to its centroid, which of a bent organ lies outside."""
    voxels = np.argwhere(mask)
    distances = np.linalg.norm((voxels - voxels.mean(axis=0)) * spacing, axis=1)
    return voxels[distances.argmin()]


def _draw(
    view: View, hu: np.ndarray, truth: np.ndarray | None, found: np.ndarray, point: np.ndarray, spacing: np.ndarray
) -> Figure:
    figure = Figure(figsize=(_SIDE_INCHES, _SIDE_INCHES), dpi=_DPI, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    # Rows go up the page and columns along it, so the slices are [vertical, horizontal].
    hu, found = (np.take(volume, point[view.across], axis=view.across).T for volume in (hu, found))
    truth = None if truth is None else np.take(truth, point[view.across], axis=view.across).T
    step = spacing[[view.horizontal, view.vertical]]
    columns, rows = (np.arange(-1, side + 1) * mm for side, mm in zip(hu.T.shape, step, strict=True))
    edges = (-step[0] / 2, columns[-1] - step[0] / 2, -step[1] / 2, rows[-1] - step[1] / 2)
    low, high = WINDOW_HU
    axes.imshow(hu, cmap="gray", vmin=low, vmax=high, origin="lower", extent=edges, interpolation="bilinear")
    fill = np.zeros((*found.shape, 4))
    fill[found == 1] = to_rgba(STRUCTURE_COLOURS["pancreas"], _FILL_OPACITY)
    fill[found == 2] = to_rgba(STRUCTURE_COLOURS["lesion"], _FILL_OPACITY)
    axes.imshow(fill, origin="lower", extent=edges, interpolation="nearest")
    for structure, mask in () if truth is None else (("pancreas", truth >= 1), ("lesion", truth == 2)):
        if mask.any():
            # Padded, so that outlines close where a structure meets the edge of the scan.
            outline = axes.contour(
                columns, rows, np.pad(mask, 1), levels=[0.5], colors=STRUCTURE_COLOURS[structure], linewidths=1.6
            )
            outline.set_path_effects(_HALO)
    centre = point[[view.horizontal, view.vertical]] * step
    # R and A decrease along the page.
    axes.set_xlim(centre[0] + _FIELD_MM / 2, centre[0] - _FIELD_MM / 2)
    axes.set_ylim(centre[1] - _FIELD_MM / 2, centre[1] + _FIELD_MM / 2)
    _annotate(axes, view)
    return figure


def _annotate(axes: Axes, view: View) -> None:
    """The side at the left and a bar of known length."""
    style: dict[str, Any] = dict(color="white", fontsize=13, transform=axes.transAxes, path_effects=_HALO)
    axes.text(0.02, 0.5, view.left, va="center", **style)
    length = _SCALE_BAR_MM / _FIELD_MM
    axes.plot([0.96 - length, 0.96], [0.04, 0.04], color="white", linewidth=2, transform=axes.transAxes)
    axes.text(0.96 - length / 2, 0.055, f"{_SCALE_BAR_MM:g} mm", ha="center", **style)
