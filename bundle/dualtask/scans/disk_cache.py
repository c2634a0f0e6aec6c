"""Preprocessed scans kept on disk, shared between trainings."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.data import PersistentDataset
from monai.data.utils import pickle_hashing

from dualtask.scans.datalists import FILES


class DiskCache(PersistentDataset):
    """MONAI's dataset on disk, with entries that know the files and the transform that they were made from.

    A scan or label that is written anew, and a transform with other settings, get entries of their own; what a training
    that was killed left half-written is removed. An upgrade of this package is not noticed: remove the folder then.

    Args:
        data: cases with the paths of their files.
        transform: deterministic transforms to keep the result of.
        cache_dir: folder of the entries, made if absent.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], transform: Callable, cache_dir: str | os.PathLike[str]
    ) -> None:
        super().__init__(data, transform, cache_dir, hash_func=fingerprint, hash_transform=pickle_hashing)
        # MONAI moves entries into the folder, which is no single step when temporary files lie on another disk.
        for entry in Path(cache_dir).glob("*.pt"):
            if not zipfile.is_zipfile(entry):
                entry.unlink(missing_ok=True)


def fingerprint(case: Mapping[str, Any]) -> bytes:
    """Hash of a case: its entries, and size and time of the files that they name."""
    files = {key: _state(Path(value)) for key, value in case.items() if key in FILES}
    return hashlib.sha256(json.dumps([case, files], sort_keys=True, default=str).encode()).hexdigest().encode()


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change in ns of a file, or of each file of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
