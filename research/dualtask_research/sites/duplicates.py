"""Finds the same scan under different names, in different formats and in part."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Fingerprint = Sequence[str]
"""One hash for each axial slice that shows something."""

_TISSUE_HU = (-200, 300)
_FEWEST_VOXELS = 100
_SHARE = 0.5


@dataclass(frozen=True)
class Duplicate:
    """Two scans with the same voxels.

    Attributes:
        first, second: site and case of each.
        share: slices that both have, as a share of the shorter scan.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    share: float


def fingerprint(scan: np.ndarray) -> list[str]:
    """What stays of a scan when it is stored otherwise.

    A slice is hashed by the histogram of its whole HU values within (-200, 300). Formats, turned and mirrored axes,
    padding, air of another value, cropped air and left-out slices change nothing; resampling changes every hash.

    Args:
        scan: HU [X, Y, Z], third axis from feet to head or back.
    """
    low, high = _TISSUE_HU
    hashes = []
    for index in range(scan.shape[2]):
        values = np.rint(scan[:, :, index])
        tissue = values[(values > low) & (values < high)].astype(np.int64) - low
        if tissue.size >= _FEWEST_VOXELS:
            histogram = np.bincount(tissue, minlength=high - low).astype("<u4")
            hashes.append(hashlib.blake2b(histogram.tobytes(), digest_size=8).hexdigest())
    return hashes


def find_duplicates(sites: Mapping[str, Mapping[str, Fingerprint]]) -> list[Duplicate]:
    """Pairs of scans that share at least half of the slices of the shorter one.

    Args:
        sites: site -> case -> fingerprint.
    """
    scans = {(site, case): set(slices) for site, cases in sites.items() for case, slices in cases.items()}
    holders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for scan, slices in scans.items():
        for slice_hash in slices:
            holders[slice_hash].append(scan)
    shared = Counter(pair for group in holders.values() for pair in _pairs(group))
    found = [Duplicate(*pair, count / min(len(scans[scan]) for scan in pair)) for pair, count in shared.items()]
    return sorted(
        (duplicate for duplicate in found if duplicate.share >= _SHARE), key=lambda pair: (pair.first, pair.second)
    )


def _pairs(group: Sequence[tuple[str, str]]) -> Iterable[tuple[tuple[str, str], tuple[str, str]]]:
    return ((first, second) for index, first in enumerate(group) for second in group[index + 1 :])
