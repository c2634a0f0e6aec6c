"""A page about the result of one scan."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import ImageMetaKey
from nibabel.affines import voxel_sizes

from dualtask.measurements import ScanMeasurements, numbered_lesions
from dualtask.report.colours import STRUCTURE_COLOURS
from dualtask.report.overlays import central_voxel, draw_views
from dualtask.report.rendering import render_page
from dualtask.scans.writing import case_name

_TEMPLATE = Path(__file__).with_name("scan.html.jinja")


def write_scan_report(
    output_path: str | os.PathLike[str],
    name: str,
    scan: MetaTensor,
    label: MetaTensor,
    measurements: ScanMeasurements,
    *,
    warning: str | None,
    synthetic: bool,
    provenance: Mapping[str, str] | None = None,
) -> None:
    """Write one HTML page that needs no other file and no network.

    It shows three planes through each lesion, or through the organ where none was found, and what was measured.

    Args:
        output_path: the page.
        name: of the scan.
        scan: HU, [1, X, Y, Z], in any orientation, with affine voxel -> mm (RAS+).
        label: label map on the same grid.
        measurements: of this label map.
        warning: the sentence about a doubtful result, or None.
        synthetic: whether the scan is computed; the page then says so.
        provenance: what made the result, name -> value.
    """
    mask, spacing = label[0].numpy(), voxel_sizes(scan.affine.numpy())
    numbered = numbered_lesions(mask)
    targets = {f"Lesion {number}": numbered == number for number in range(1, len(measurements.lesions) + 1)}
    if not targets and mask.any():
        targets = {"Pancreas": mask > 0}
    render_page(
        output_path,
        _TEMPLATE,
        title=f"Pancreas and lesions of {name}",
        synthetic=synthetic,
        colours=STRUCTURE_COLOURS,
        measurements=measurements,
        warning=warning,
        pictures={
            words: draw_views(name, scan, label, words.lower(), central_voxel(target, spacing))
            for words, target in targets.items()
        },
        provenance={"voxels (mm)": " x ".join(f"{side:.2f}" for side in spacing), **(provenance or {})},
    )


class ReportScan(Transform):
    """Writes ``<case>_report.html``, see :func:`write_scan_report`.

    Args:
        output_dir: folder of the page.
        synthetic: whether the scans are computed.
        provenance: what made the result, name -> value.
        label_key, hu_key: keys of the label map and of the scan on one grid, MetaTensors [1, X, Y, Z], with
            ``measurements`` and, where results are doubted, ``doubt`` beside them.
        scans_root: see ``case_name``.
    """

    def __init__(
        self,
        output_dir: str,
        synthetic: bool,
        provenance: Mapping[str, str],
        label_key: str = "pred",
        hu_key: str = "hu",
        scans_root: str | os.PathLike[str] = "",
    ) -> None:
        self.folder = Path(output_dir)
        self.scans_root = scans_root
        self.synthetic = synthetic
        self.provenance = dict(provenance)
        self.label_key = label_key
        self.hu_key = hu_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        scan, label = data[self.hu_key].cpu(), data[self.label_key].cpu()
        name = case_name(label.meta[ImageMetaKey.FILENAME_OR_OBJ], self.scans_root)
        doubt: Mapping[str, Any] = data.get("doubt", {})
        write_scan_report(
            self.folder / f"{name}_report.html",
            name,
            scan,
            label,
            data["measurements"],
            warning=doubt.get("warning"),
            synthetic=self.synthetic,
            provenance=self.provenance,
        )
        return data
