"""From a site and its data folder to the bundle's list of cases."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from dualtask.errors import InputError
from dualtask.scans import decathlon_datalist
from dualtask.scans.datalists import Case
from dualtask.scans.headers import NIFTI, NRRD
from dualtask_research.sites.site import Pairs, Site, read_site


def site_cases(site: Site | str | os.PathLike[str], data: str | os.PathLike[str]) -> list[Case]:
    """The cases of a site.

    Args:
        site: the site or its file.
        data: folder of its scans and labels, in the site's layout.

    Returns:
        one dictionary a case: absolute paths ``image`` and, where there are, ``label`` and ``organs``; ``site``,
        ``annotates``, ``label_map`` and, for labels with an affine that does not fit, ``label_axes``, for scans with
        voxels that are not known ``unknown``. Training, validation and evaluation understand all of them. What a case
        of a ``dataset.json`` says itself comes first; a layout of pairs does not read it.

    Raises:
        InputError: the folder holds no scan in the site's layout, or several with one name.
    """
    site = site if isinstance(site, Site) else read_site(site)
    data = Path(os.path.abspath(data))
    if not data.is_dir():
        raise InputError(f"{data} is no folder: give the folder with the scans of {site.name} ({site.source}).")
    stated: dict[str, Any] = {"site": site.name, "annotates": list(site.annotates), "label_map": dict(site.label_map)}
    if site.label_axes:
        stated["label_axes"] = site.label_axes
    if site.unknown is not None:
        stated["unknown"] = site.unknown
    found = _pairs(site, data, site.layout) if isinstance(site.layout, Pairs) else decathlon_datalist(data)
    return [stated | case for case in found]


def labels_without_scan(site: Site, data: str | os.PathLike[str]) -> list[str]:
    """Paths below the data folder of labels whose scan is not there."""
    if not isinstance(site.layout, Pairs):
        return []
    data = Path(os.path.abspath(data))
    images, labels = (_matches(pattern, data) for pattern in (site.layout.image, site.layout.label))
    return sorted(path for name, paths in labels.items() if name not in images for path in paths)


def _pairs(site: Site, data: Path, layout: Pairs) -> list[Case]:
    images, labels = _matches(layout.image, data), _matches(layout.label, data)
    organs = _matches(layout.organs, data) if layout.organs else {}
    if not images:
        raise InputError(f"{data} holds no scan of {site.name}, whose paths look like {layout.image.pattern}: move it.")
    for name, paths in [*images.items(), *labels.items(), *organs.items()]:
        if len(paths) > 1:
            raise InputError(f"{data} has {paths[0]} and {paths[1]} for the case {name}: remove the wrong one.")
    return [
        {
            key: str(data / found[name][0])
            for key, found in (("image", images), ("label", labels), ("organs", organs))
            if name in found
        }
        for name in sorted(images)
    ]


def _matches(pattern: re.Pattern[str], data: Path) -> dict[str, list[str]]:
    """Paths of volumes below the folder that match, by their group ``case``."""
    found: dict[str, list[str]] = {}
    for folder, folders, files in os.walk(data, followlinks=True):
        folders.sort()
        volumes = [Path(folder) / file for file in files if file.lower().endswith(NIFTI + NRRD)]
        # Any other file makes a folder a candidate for a series: DICOM files need no suffix.
        if len(volumes) < len(files):
            volumes.append(Path(folder))
        for volume in sorted(volumes):
            path = volume.relative_to(data).as_posix()
            if not volume.name.startswith(".") and (match := pattern.fullmatch(path)):
                found.setdefault(match["case"], []).append(path)
    return found
