"""Results of inference that need not be computed again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from dualtask.files import write_atomically
from lib.options import SegmentationOptions


@dataclass(frozen=True)
class Result:
    """A stored result.

    Attributes:
        mask: NIfTI label map in the scan's geometry; None for a scan that cannot be used.
        params: what a viewer is told with it; for a scan that cannot be used ``error``, the sentence.
        embedding: of the region, empty for a scan that cannot be used.
    """

    mask: Path | None
    params: dict[str, Any]
    embedding: tuple[float, ...]

    def discard(self) -> None:
        """Remove the mask from disk."""
        if self.mask is not None:
            self.mask.unlink()


class ResultStore:
    """One result for each scan, weights and options.

    Results of other weights are removed as soon as one of new weights is stored. A scan that was replaced on disk is
    another scan.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, scan: str, weights: str, options: SegmentationOptions) -> Result | None:
        """The result, or None.

        Args:
            scan: path of the scan.
            weights: digest of the weights.
            options: of the request.
        """
        record = self._record(scan, weights, options)
        try:
            stored = json.loads(record.read_text())
        except (OSError, ValueError):
            return None
        mask = record.with_suffix(".nii.gz")
        if "error" in stored["params"]:
            return Result(None, stored["params"], ())
        return Result(mask, stored["params"], tuple(stored["embedding"])) if mask.is_file() else None

    def save(self, scan: str, weights: str, options: SegmentationOptions, result: Result) -> Result:
        """Keep a result; returns it as stored."""
        record = self._record(scan, weights, options)
        mask = None
        if (made := result.mask) is not None:
            mask = record.with_suffix(".nii.gz")
            write_atomically(mask, lambda temporary: shutil.copyfile(made, temporary))
        text = json.dumps({"params": result.params, "embedding": result.embedding})
        write_atomically(record, lambda temporary: temporary.write_text(text))
        for old in record.parent.iterdir():
            if not old.name.startswith((weights, ".")):
                old.unlink(missing_ok=True)
        return Result(mask, result.params, result.embedding)

    def _record(self, scan: str, weights: str, options: SegmentationOptions) -> Path:
        return self.folder / scan_identity(scan) / f"{weights}-{_digest(*astuple(options))}.json"


def scan_identity(scan: str) -> str:
    """Names the content of a scan by its path, time and size; a DICOM series is a folder, which changes when slices
    are added."""
    file = Path(scan)
    state = file.stat()
    return _digest(str(file.resolve()), state.st_mtime_ns, state.st_size)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
