"""What is known of a site before its scans are read (JSON files in ``configs/sites``)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dualtask.errors import InputError
from dualtask.scans.labels import check_axes, check_label_map
from dualtask.scans.voxels import check_unknown
from dualtask.structures import STRUCTURES

DECATHLON = "decathlon"


@dataclass(frozen=True)
class Pairs:
    """A folder of scans and labels that belong together by name.

    Attributes:
        image, label, organs: regular expressions for whole paths below the data folder, with "/" between folders; their
            group ``case`` is the same for a scan and its labels. A scan is a file, or a folder of DICOM files.
            ``organs`` are label maps of the organs around the pancreas, which training may teach beside it; None where
            there are none.
    """

    image: re.Pattern[str]
    label: re.Pattern[str]
    organs: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Site:
    """A hospital or data set.

    Attributes:
        name: of the file; the ``site`` of its cases unless they name their own.
        description: who was scanned, and what to know about the files.
        source: where to get the scans.
        licence: of the scans.
        layout: "decathlon", a folder with ``dataset.json``, or pairs of files.
        label_map: stored value of the labels -> background, pancreas or lesion; other organs are background.
        annotates: structures that were looked for in every scan; the others teach nothing, not even their absence. One
            that no value maps to was looked for and found in nobody.
        label_axes: see ``dualtask.scans.labels.read_label``.
        cases: smallest and largest number of labelled cases of a complete copy.
        unknown: value in HU of voxels of which the scan says nothing; None where every voxel is known.
        synthetic: whether the scans are computed.
    """

    name: str
    description: str
    source: str
    licence: str
    layout: str | Pairs
    label_map: Mapping[str, str]
    annotates: tuple[str, ...]
    label_axes: str | None = None
    cases: tuple[int, int] | None = None
    unknown: float | None = None
    synthetic: bool = False


def read_site(path: str | os.PathLike[str]) -> Site:
    """Read the description of a site.

    Raises:
        InputError: the file is absent, or what it states is incomplete or contradicts itself.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no site {path}: name a file of configs/sites.")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): correct it.") from error
    known = {field.name for field in fields(Site)} - {"name"}
    required = known - {"label_axes", "cases", "unknown", "synthetic"}
    if not isinstance(content, dict) or required - content.keys() or content.keys() - known:
        raise InputError(
            f"{path} must state {', '.join(sorted(required))} and nothing beyond {', '.join(sorted(known))}: "
            "compare it with configs/sites/folder.json."
        )
    try:
        return Site(
            name=path.stem,
            **content
            | {
                "layout": _layout(content["layout"]),
                "label_map": _checked_labels(path, content),
                "annotates": tuple(content["annotates"]),
                "label_axes": check_axes(axes, str(path)) if (axes := content.get("label_axes")) else None,
                "cases": _range(content.get("cases")),
                "unknown": check_unknown(content["unknown"], str(path)) if "unknown" in content else None,
            },
        )
    except InputError:
        raise
    except (re.error, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): compare it with configs/sites/folder.json.") from error


def _layout(layout: Any) -> str | Pairs:
    if layout == DECATHLON:
        return DECATHLON
    patterns = {key: re.compile(layout[key]) for key in ("image", "label", "organs") if key in layout}
    for pattern in patterns.values():
        pattern.groupindex["case"]
    return Pairs(**patterns)


def _checked_labels(path: Path, content: Mapping[str, Any]) -> dict[str, str]:
    labels, annotates = content["label_map"], content["annotates"]
    mapped = set(check_label_map(labels, str(path)).values()) - {"background"}
    if strange := set(annotates) - set(STRUCTURES):
        raise InputError(f"{path} annotates {min(strange)}: the structures are {' and '.join(STRUCTURES)}.")
    if forgotten := mapped - set(annotates):
        raise InputError(f"{path} maps a value to {min(forgotten)}, which it does not annotate: add it to `annotates`.")
    return labels


def _range(cases: Any) -> tuple[int, int] | None:
    if cases is None:
        return None
    smallest, largest = (int(number) for number in cases)
    return smallest, largest
