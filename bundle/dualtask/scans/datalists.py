"""Lists of cases, and how they are split."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import load_decathlon_datalist

from dualtask.errors import InputError
from dualtask.scans.voxels import check_unknown
from dualtask.scans.writing import case_name

Case = dict[str, Any]

FILES = ("image", "label", "organs")
"""Entries of a case that name files."""


def decathlon_datalist(
    dataset_dir: str | os.PathLike[str],
    section: str = "training",
    sites: Sequence[str] | None = None,
    without_sites: Sequence[str] = (),
) -> list[Case]:
    """Cases of a folder in the layout of the Medical Segmentation Decathlon.

    Args:
        dataset_dir: folder with ``dataset.json`` beside ``imagesTr`` and ``labelsTr``.
        section: list in ``dataset.json``.
        sites: keep the cases of these sites only; None keeps all.
        without_sites: leave out the cases of these sites.

    Returns:
        one dictionary a case with absolute paths ``image`` and, where stated, ``label`` and ``organs``; further entries
        such as ``site`` are kept. ``unknown`` is a number (HU) or None.

    Raises:
        InputError: the folder, its ``dataset.json`` or a listed file is absent or broken, or the list is empty, names
            a scan twice or ``unknown`` is no number, or has no case of the sites asked for.
    """
    description = Path(dataset_dir) / "dataset.json"
    if not description.is_file():
        raise InputError(f"{description} does not exist: give a folder in the layout of the Decathlon.")
    try:
        listed = json.loads(description.read_text())[section]
    except (ValueError, LookupError, TypeError):
        listed = None
    if not isinstance(listed, list):
        raise InputError(f"{description} has no readable list '{section}': write it in the Decathlon's form.")
    if not listed:
        raise InputError(f"{description} lists no case under '{section}': add cases to it.")
    if section == "test" and all(isinstance(case, str) for case in listed):
        listed = [{"image": case} for case in listed]
    if not all(isinstance(case, dict) and _names_files(case) for case in listed):
        raise InputError(
            f"{description} has cases without an image under '{section}': write it in the Decathlon's form."
        )
    # MONAI makes a path of every entry that is the name of a file or folder, such as that of a site.
    cases = [
        loaded | {key: value for key, value in case.items() if key not in FILES}
        for case, loaded in zip(listed, load_decathlon_datalist(description, data_list_key=section), strict=True)
    ]
    absent = [path for case in cases for key in FILES if key in case and not Path(path := case[key]).exists()]
    if absent:
        raise InputError(f"{description} lists {absent[0]}, which does not exist ({len(absent)} such): copy the files.")
    twice = [image for image, count in Counter(case["image"] for case in cases).items() if count > 1]
    if twice:
        raise InputError(f"{description} lists {twice[0]} twice: remove the second.")
    for case in cases:
        if case.get("unknown") is not None:
            case["unknown"] = check_unknown(case["unknown"], f"{case['image']} in {description}")
    wanted = [
        case for case in cases if (sites is None or case.get("site") in sites) and case.get("site") not in without_sites
    ]
    if not wanted:
        named = ", ".join(sorted({str(case.get("site", "without a name")) for case in cases}))
        raise InputError(f"{description} has no case of the sites asked for: its sites are {named}.")
    return wanted


def _names_files(case: Case) -> bool:
    return "image" in case and all(isinstance(case[key], str) for key in FILES if key in case)


def split(cases: Sequence[Case], validation_fraction: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Split cases into training and validation, site by site.

    The split depends on the cases and the seed alone, not on their order. A site with two cases or more gives at least
    one to validation and keeps at least one for training; a site with one case gives it to training. So goes every
    case without a label, which nothing can be validated on.

    Args:
        cases: dictionaries with ``image`` and, where known, ``label`` and ``site``.
        validation_fraction: share of each site's cases for validation, in (0, 1).
        seed: of the shuffle.

    Returns:
        training and validation cases.
    """
    by_site: dict[str, list[Case]] = defaultdict(list)
    training: list[Case] = []
    validation: list[Case] = []
    for case in sorted(cases, key=lambda case: str(case["image"])):
        if "label" not in case:
            training.append(case)
            continue
        by_site[str(case.get("site", ""))].append(case)
    rng = np.random.default_rng(seed)
    for _, members in sorted(by_site.items()):
        shuffled = [members[index] for index in rng.permutation(len(members))]
        held_out = min(max(round(validation_fraction * len(members)), 1), len(members) - 1)
        validation += shuffled[:held_out]
        training += shuffled[held_out:]
    return training, validation


def hold_out(cases: Sequence[Case], names: Collection[str]) -> tuple[list[Case], list[Case]]:
    """Split cases by the names of those that are held out.

    Args:
        cases: dictionaries with ``image``.
        names: of scans, their files or folders without suffix; names of scans that are not among the cases do no harm.

    Returns:
        training and held-out cases.

    Raises:
        InputError: either list would be empty.
    """
    parts: tuple[list[Case], list[Case]] = ([], [])
    for case in cases:
        parts[case_name(case["image"]) in names].append(case)
    if not all(parts):
        few = "none" if parts[0] else "all"
        raise InputError(f"The names of held-out scans fit {few} of the {len(cases)} cases: name some of them.")
    return parts
