"""The network's maps of the scans that are being corrected."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cachetools import LRUCache

from dualtask.refinement import ScanMaps
from lib.results import scan_identity

_MOST_BYTES = 2**30
"""Of memory; a scan of 512 x 512 x 300 voxels takes a quarter of it."""


class MapsInMemory:
    """The maps of the scans that were corrected last, of the current weights only; nothing goes to disk.

    Args:
        compute: path of a scan -> its maps.
        weights: digest of the current weights.
        most_bytes: of all that is kept; a scan that alone needs more is computed for each correction.
    """

    def __init__(
        self, compute: Callable[[str], ScanMaps], weights: Callable[[], str], most_bytes: int = _MOST_BYTES
    ) -> None:
        self._compute = compute
        self._weights = weights
        self._kept: LRUCache[tuple[str, str], ScanMaps] = LRUCache(most_bytes, getsizeof=lambda maps: maps.nbytes)
        self._lock = threading.Lock()
        self._computing = threading.Lock()

    def of(self, scan: str) -> ScanMaps:
        """The maps of a scan; a scan that was replaced on disk is another scan.

        Raises:
            InputError: the scan cannot be used.
        """
        key = (scan_identity(scan), self._weights())
        with self._lock:
            if (found := self._kept.get(key)) is not None:
                return found
        with self._computing:  # two clicks on a new scan need it once
            with self._lock:
                if (found := self._kept.get(key)) is not None:
                    return found
            maps = self._compute(scan)
            with self._lock:
                for other in [each for each in self._kept if each[1] != key[1]]:
                    del self._kept[other]
                if maps.nbytes <= self._kept.maxsize:
                    self._kept[key] = maps
        return maps
