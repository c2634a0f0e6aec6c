"""Several sites as one data set, which every workflow of the bundle takes as its ``dataset_dir``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask.scans.datalists import Case
from dualtask.scans.labels import DECATHLON_LABELS
from dualtask_research.sites.cases import site_cases
from dualtask_research.sites.duplicates import Fingerprint, find_duplicates
from dualtask_research.sites.site import Site


def combine_sites(
    copies: Sequence[tuple[Site, Path]],
    output_dir: str | os.PathLike[str],
    fingerprints: Mapping[str, Mapping[str, Fingerprint]],
) -> list[str]:
    """Write a ``dataset.json`` that lists the cases of several sites where they lie.

    A scan that two sites have stays with the one named first.

    Args:
        copies: sites and the folders of their copies.
        output_dir: folder for ``dataset.json``.
        fingerprints: of every site, see ``duplicates.fingerprint``.

    Returns:
        the scans that were left out, each in words.

    Raises:
        InputError: a site was not checked, is named twice, or a copy has no cases.
    """
    order = [site.name for site, _ in copies]
    if len(set(order)) < len(order):
        raise InputError("A site is named twice: name each once.")
    for site, data in copies:
        if site.name not in fingerprints:
            raise InputError(f"{site.name} was not checked: run `check` on {data} with the same --output_dir first.")
    left_out: dict[tuple[str, str], str] = {}
    for duplicate in find_duplicates({name: fingerprints[name] for name in order}):
        keep, drop = sorted((duplicate.first, duplicate.second), key=lambda scan: order.index(scan[0]))
        if keep[0] != drop[0]:
            left_out[drop] = f"{drop[0]}: {drop[1]} is {keep[1]} of {keep[0]}"
    training: list[Case] = []
    for site, data in copies:
        cases = site_cases(site, data)
        training += [case for case in cases if (site.name, os.path.relpath(case["image"], data)) not in left_out]
    _write(Path(output_dir), [site for site, _ in copies], training)
    return list(left_out.values())


def _write(output_dir: Path, sites: Sequence[Site], training: Sequence[Case]) -> None:
    content = {
        "name": ", ".join(site.name for site in sites),
        "description": " ".join(f"{site.name}: {site.description}" for site in sites),
        "licence": "; ".join(f"{site.name}: {site.licence}" for site in sites),
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": dict(DECATHLON_LABELS),
        "numTraining": len(training),
        "numTest": 0,
        "training": list(training),
        "test": [],
    }
    write_atomically(
        output_dir / "dataset.json", lambda temporary: temporary.write_text(json.dumps(content, indent=2) + "\n")
    )
