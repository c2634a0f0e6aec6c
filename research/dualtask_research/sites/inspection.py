"""Reads every scan of a site and says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from nibabel.affines import voxel_sizes
from tqdm import tqdm

from dualtask.errors import InputError
from dualtask.scans.labels import read_case_label
from dualtask.scans.reading import read_volume
from dualtask.scans.voxels import check_ct_values
from dualtask.structures import STRUCTURES
from dualtask_research.sites.cases import labels_without_scan, site_cases
from dualtask_research.sites.duplicates import Duplicate, fingerprint
from dualtask_research.sites.plausibility import (
    AS_STATED,
    ORGAN_HU,
    Mirroring,
    better_mirroring,
    contrasts,
    mean_contrasts,
    mirrored_axes,
    mirroring_words,
)
from dualtask_research.sites.site import Site
from dualtask_research.sites.thumbnails import draw_thumbnail


@dataclass
class CaseCheck:
    """What one case turned out to be.

    Attributes:
        name: path of the scan below the data folder.
        problems: sentences; the case cannot be used as it is.
        remarks: sentences; worth a look.
        shape, spacing: voxels and mm along the stored axes.
        known: share of the voxels of which the scan says something.
        volumes_ml: of each annotated structure.
        organ_hu: mean HU of the organ, as far as it is known.
        contrasts: see ``plausibility.contrasts``.
        fingerprint: see ``duplicates.fingerprint``.
        thumbnail: PNG, or None of a scan that was refused.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    known: float | None = None
    volumes_ml: dict[str, float] = field(default_factory=dict)
    organ_hu: float | None = None
    contrasts: dict[Mirroring, float] = field(default_factory=dict)
    fingerprint: list[str] = field(default_factory=list)
    thumbnail: bytes | None = None


@dataclass
class SiteCheck:
    """What a copy of a site turned out to be; ``problems`` and ``remarks`` are of the copy as a whole."""

    site: Site
    cases: list[CaseCheck]
    problems: list[str]
    remarks: list[str]

    @property
    def sound(self) -> bool:
        """Whether neither the copy nor a case has a problem."""
        return not self.problems and not any(case.problems for case in self.cases)


def inspect_site(site: Site, data: str | os.PathLike[str]) -> SiteCheck:
    """Check a copy of a site: number of cases, pairs, geometry, labels, HU and the place of the labels.

    Args:
        site: what it should be.
        data: folder of the copy.

    Raises:
        InputError: the folder has no cases of the site at all.
    """
    cases = site_cases(site, data)
    # Silent where nobody watches.
    checks = [inspect_case(case, data) for case in tqdm(cases, desc=site.name, unit="scan", disable=None)]
    problems = _count(site, cases) + _placement(cases, checks)
    remarks = [f"{label} has no scan." for label in labels_without_scan(site, data)]
    if "lesion" in site.label_map.values() and not any(check.volumes_ml.get("lesion") for check in checks):
        remarks.append("No label holds a lesion though the label map has one: a healthy site, or a wrong label map.")
    if site.unknown is not None and all(check.known == 1 for check in checks):
        remarks.append(f"No scan holds {site.unknown:g}, which stands for unknown voxels: correct it, or leave it out.")
    return SiteCheck(site, checks, problems, remarks)


def add_duplicates(check: SiteCheck, duplicates: Sequence[Duplicate]) -> None:
    """Note the duplicates that concern a site: a problem within it, a remark between it and another.

    Args:
        check: of the site.
        duplicates: among all sites that were checked.
    """
    name = check.site.name
    for duplicate in duplicates:
        (site, case), (other_site, other) = sorted(
            (duplicate.first, duplicate.second), key=lambda scan: scan[0] != name
        )
        if site != name:
            continue
        share = f"{100 * duplicate.share:.0f} % of the slices"
        if other_site == name:
            check.problems.append(f"{case} and {other} are the same scan ({share}): remove one of them.")
        else:
            check.remarks.append(f"{case} is {other} of {other_site}, too ({share}): `combine` keeps one of them.")


def inspect_case(case: Mapping[str, Any], data: str | os.PathLike[str]) -> CaseCheck:
    """Read a case's scan and label and measure them; what is refused becomes a problem."""
    check = CaseCheck(os.path.relpath(case["image"], data))
    try:
        scan = read_volume(case["image"])
        check.shape, check.spacing = tuple(scan.shape[1:]), tuple(voxel_sizes(np.asarray(scan.affine)).tolist())
        unknown = case.get("unknown")
        known = torch.ones_like(scan, dtype=torch.bool) if unknown is None else scan != unknown
        check.known = int(known.count_nonzero()) / known.numel()
        if not check.known:
            raise InputError(
                f"{case['image']} holds {unknown:g}, which stands for unknown voxels, everywhere: correct it."
            )
        check_ct_values(scan[known], case["image"])
        scan[~known] = torch.nan
        upright, spacing = _upright(scan)
        check.fingerprint = fingerprint(upright)
        check.thumbnail = draw_thumbnail(upright, None, spacing)
        if "label" not in case:
            check.problems.append(f"{case['image']} has no label: copy it, or remove the scan.")
            return check
        label, _ = _upright(read_case_label(case, scan))
    except InputError as error:
        check.problems.append(str(error))
        return check
    check.thumbnail = draw_thumbnail(upright, label, spacing)
    _measure(check, upright, label, spacing, case)
    return check


def _measure(
    check: CaseCheck, scan: np.ndarray, label: np.ndarray, spacing: np.ndarray, case: Mapping[str, Any]
) -> None:
    """Fill in what scan (NaN where unknown) and label [X, Y, Z], axes along R, A and S, say together."""
    masks = dict(zip(STRUCTURES, (label >= 1, label == 2), strict=True))
    voxel_ml = float(np.prod(spacing)) / 1000
    check.volumes_ml = {name: float(masks[name].sum()) * voxel_ml for name in case["annotates"]}
    organ = masks["pancreas"]
    if not organ.any():
        check.problems.append(f"{case['label']} holds no pancreas: label it, or remove the scan.")
        return
    if np.isnan(scan[organ]).all():
        check.problems.append(f"{case['label']} marks unknown voxels only: leave out the scan, or give more of it.")
        return
    check.organ_hu = float(np.nanmean(scan[organ]))
    check.contrasts = contrasts(scan, organ, spacing)
    low, high = ORGAN_HU
    if not low <= check.organ_hu <= high:
        check.remarks.append(
            f"{case['label']} marks {check.organ_hu:.0f} HU on average; {low:.0f} to {high:.0f} are usual."
        )
    # The known part of one scan says too little about mirror images, which look for the organ elsewhere.
    if check.known == 1 and (mirroring := better_mirroring(check.contrasts)) is not None:
        check.remarks.append(f"{case['label']} fits its scan better when it is mirrored {mirroring_words(mirroring)}.")


def _count(site: Site, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    labelled = sum("label" in case for case in cases)
    if site.cases is None or site.cases[0] <= labelled <= site.cases[1]:
        return []
    expected = " to ".join(dict.fromkeys(str(number) for number in site.cases))
    return [f"{labelled} labelled cases were found and not {expected}: complete the copy, or remove what is not of it."]


def _placement(cases: Sequence[Mapping[str, Any]], checks: Sequence[CaseCheck]) -> list[str]:
    """One label may deceive; over all cases, labels in their place stand out from their mirror images."""
    measured = [(case, check) for case, check in zip(cases, checks, strict=True) if check.contrasts]
    if not measured:
        return []
    problems = []
    middle = float(np.median([check.organ_hu for _, check in measured]))
    low, high = ORGAN_HU
    if not low <= middle <= high:
        problems.append(
            f"The labels mark {middle:.0f} HU (median of the cases) where a pancreas has {low:.0f} to {high:.0f}: "
            "look at the pictures; the labels lie beside the organ, or the scans are not in HU."
        )
    means = mean_contrasts([check.contrasts for _, check in measured])
    if (best := better_mirroring(means)) is not None:
        case, _ = measured[0]
        axes = case.get("label_axes") or "".join(nib.aff2axcodes(np.asarray(read_volume(case["label"]).affine)))
        problems.append(
            f"The labels fit their scans better when they are mirrored {mirroring_words(best)} "
            f"({means[best]:.0f} HU of contrast instead of {means[AS_STATED]:.0f}): "
            f'state "label_axes": "{mirrored_axes(axes, best)}" for the site.'
        )
    return problems


def _upright(volume: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """The voxels [X, Y, Z] with axes along R, A and S, and their sides in mm."""
    turned = Orientation(axcodes="RAS", labels=None)(volume)
    return turned[0].numpy(), voxel_sizes(np.asarray(turned.affine))
