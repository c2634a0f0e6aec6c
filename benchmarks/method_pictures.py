"""Pictures of what the method estimates and of its two kinds of views, for one synthetic scan (`make pictures`)."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import torch
from matplotlib.axes import Axes

from dualtask.evaluation import case_name
from dualtask.scans import decathlon_datalist
from dualtask.structures import STRUCTURES
from dualtask.views import AcquisitionView, RandConv

_COLOURS = ("tab:blue", "tab:orange")
_MARGIN_MM = 40
_TRUNCATION_MM = (15.0, 7.5)


def section(case: dict[str, str], predictions: Path) -> dict[str, np.ndarray]:
    """The axial slice of a case with most lesion, cropped around the organ: image, masks and maps, RAS+."""
    paths = {"image": case["image"], "label": case["label"]}
    paths |= {
        name: predictions / f"{case_name(case['image'])}_{name}.nii.gz"
        for name in ("seg", "probability", "distance", "uncertainty")
    }
    images = {name: nib.as_closest_canonical(nib.load(path)) for name, path in paths.items()}
    volumes = {name: np.asarray(image.dataobj) for name, image in images.items()}
    height = np.count_nonzero(volumes["label"] == 2, axis=(0, 1)).argmax()
    organ = np.argwhere((volumes["label"] > 0).any(axis=2))
    spacing = nib.affines.voxel_sizes(images["image"].affine)[:2]
    low = np.maximum(organ.min(0) - _MARGIN_MM / spacing, 0).astype(int)
    high = (organ.max(0) + _MARGIN_MM / spacing).astype(int)
    window = (slice(low[0], high[0]), slice(low[1], high[1]), height)
    return {name: volume[window] for name, volume in volumes.items()}


def draw(axis: Axes, plane: np.ndarray, title: str, **options: object) -> None:
    """A plane [x, y] as radiologists see it: the patient's right on the left, the front on top."""
    shown = axis.imshow(plane.T[::-1, ::-1], **options)
    axis.set_title(title, fontsize=9)
    axis.axis("off")
    if options.get("cmap") != "gray":
        plt.colorbar(shown, ax=axis, fraction=0.035)


def outline(axis: Axes, label: np.ndarray, style: str) -> None:
    """Outlines of both structures of a label map."""
    for structure, colour in enumerate(_COLOURS, start=1):
        if (label >= structure).any():
            axis.contour((label >= structure).T[::-1, ::-1], [0.5], colors=colour, linewidths=1.2, linestyles=style)


def estimates(planes: dict[str, np.ndarray], case: str) -> plt.Figure:
    """Mask, probability, distance field and uncertainty, one row a structure."""
    figure, axes = plt.subplots(2, 4, figsize=(14, 6), layout="constrained")
    for index, structure in enumerate(STRUCTURES):
        row = axes[index]
        draw(row[0], planes["image"], "scan; reference solid, estimate dotted", cmap="gray", vmin=-100, vmax=240)
        outline(row[0], planes["label"], "solid")
        outline(row[0], planes["seg"], "dotted")
        draw(row[1], planes["probability"][..., index], f"probability of {structure}", cmap="viridis", vmin=0, vmax=1)
        limit = _TRUNCATION_MM[index]
        distance = planes["distance"][..., index]
        draw(row[2], distance, f"distance to {structure}, mm", cmap="RdBu", vmin=-limit, vmax=limit)
        draw(row[3], planes["uncertainty"][..., index], f"uncertainty of {structure}", cmap="magma", vmin=0, vmax=1)
    figure.suptitle(f"{case}: SYNTHETIC scan, held out; not for diagnosis", fontsize=10)
    return figure


def views(plane: np.ndarray, case: str, count: int = 4) -> plt.Figure:
    """The image, and views of it by both generators."""
    image = torch.from_numpy(np.clip((plane + 100.0) / 340.0, 0, 1)).float()[None, None, :, :, None]
    # The kernels are three-dimensional: repeat the slice.
    volume = image.repeat(1, 1, 1, 1, 9)
    figure, axes = plt.subplots(2, count + 1, figsize=(3 * (count + 1), 5.2), layout="constrained")
    for row, view in zip(axes, (RandConv(), AcquisitionView()), strict=True):
        draw(row[0], image[0, 0, ..., 0].numpy(), "image", cmap="gray", vmin=0, vmax=1)
        for number, axis in enumerate(row[1:]):
            shown = view(volume, torch.Generator().manual_seed(number))[0, 0, ..., 4]
            draw(axis, shown.numpy(), f"{type(view).__name__}, seed {number}", cmap="gray", vmin=0, vmax=1)
    figure.suptitle(f"{case}: SYNTHETIC scan; views of the paper above, ours below", fontsize=10)
    return figure


def main() -> None:
    """Save both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True, help="masks and maps of the inference")
    parser.add_argument("--case", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    (case,) = [case for case in decathlon_datalist(arguments.dataset) if case_name(case["image"]) == arguments.case]
    planes = section(case, arguments.predictions)
    estimates(planes, arguments.case).savefig(arguments.output / "estimates.png", dpi=80)
    views(planes["image"], arguments.case).savefig(arguments.output / "views.png", dpi=80)


if __name__ == "__main__":
    main()
