"""How dark or bright the labelled lesions of a data set are beside their organ: easy ones and hard ones apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dualtask.errors import InputError
from dualtask.evaluation import case_name
from dualtask.files import read_table, write_table
from dualtask.scans import decathlon_datalist
from dualtask.scans.labels import read_case_label
from dualtask.scans.reading import read_volume
from dualtask.structures import STRUCTURES
from dualtask.transforms import KnownVoxels

EQUAL_HU = 20.0
"""Lesions that differ by less from the rest of their organ hardly stand out in a portal venous scan."""

GROUPS = ("darker", "equal", "brighter")
_COLUMNS = ("case", "contrast_hu", "group")


def lesion_contrast(scan: np.ndarray, label: np.ndarray) -> float:
    """Mean HU of the lesion minus that of the rest of the organ; NaN where one of them is absent.

    Args:
        scan: [X, Y, Z] in HU, NaN where unknown.
        label: [X, Y, Z], 1 the organ, 2 its lesions.
    """
    lesion, rest = (scan[(label == value) & ~np.isnan(scan)] for value in (2, 1))
    return float(lesion.mean() - rest.mean()) if lesion.size and rest.size else float("nan")


def contrast_group(contrast: float) -> str:
    """Which of :data:`GROUPS` a contrast in HU belongs to."""
    return GROUPS[0] if contrast < -EQUAL_HU else GROUPS[2] if contrast > EQUAL_HU else GROUPS[1]


def write_lesion_contrasts(dataset_dir: str | os.PathLike[str], output: Path) -> dict[str, int]:
    """Write a table of the cases that have a lesion: ``case``, ``contrast_hu``, ``group``.

    Args:
        dataset_dir: Decathlon folder.
        output: CSV file.

    Returns:
        number of cases of each group.

    Raises:
        InputError: a scan or a label is refused, or no case has a lesion.
    """
    rows = list(_rows(dataset_dir))
    if not rows:
        raise InputError(f"{dataset_dir} has no case with a lesion (label 2): nothing to measure.")

    write_table(output, _COLUMNS, ((name, round(contrast, 1), contrast_group(contrast)) for name, contrast in rows))
    groups = [contrast_group(contrast) for _, contrast in rows]
    return {group: groups.count(group) for group in GROUPS}


def _rows(dataset_dir: str | os.PathLike[str]) -> Iterator[tuple[str, float]]:
    known_voxels = KnownVoxels("image", hu_key="hu")
    for case in decathlon_datalist(dataset_dir):
        if "lesion" not in case.get("annotates", STRUCTURES) or "label" not in case:
            continue
        scan = read_volume(case["image"])
        label = read_case_label(case, scan)
        hu = known_voxels({"image": scan, "unknown": case.get("unknown")})["hu"]
        contrast = lesion_contrast(hu[0].numpy(), label[0].numpy())
        if not np.isnan(contrast):
            yield case_name(case["image"]), contrast


def read_groups(path: Path) -> dict[str, str]:
    """Case -> group, of the table of :func:`write_lesion_contrasts` or another with these two columns.

    Raises:
        InputError: it is absent or is not such a table.
    """
    rows = read_table(path, ["case", "group"], dict, "a table of groups of cases", maker="contrast")
    return {row["case"]: row["group"] for row in rows}
