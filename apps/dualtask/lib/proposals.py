"""How much of the model's proposals the annotators kept, and how long they took."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import DefaultLabelTag

from dualtask.files import write_atomically
from dualtask.structures import STRUCTURES
from lib.datastore import StudyFolder
from lib.readings import dice, masks_on_one_grid

COLUMNS = ("study", "annotator", "version", "proposed", "labelled", "minutes", *(f"dice_{name}" for name in STRUCTURES))


class Proposals:
    """Keeps the last proposal that was shown for each study before its final label, and compares the two.

    Args:
        folder: where the records lie.
        datastore: the studies and their labels.
    """

    def __init__(self, folder: Path, datastore: StudyFolder) -> None:
        self.folder = folder
        self.datastore = datastore

    def shown(self, study: str, mask: Path, version: str) -> None:
        """Remember that a viewer was given this mask; the clock runs from the first proposal of a study."""
        if self.datastore.label_at_hand(study, DefaultLabelTag.FINAL):
            return
        record = self._record(study)
        since = json.loads(record.read_text())["proposed"] if record.exists() else time.time()
        write_atomically(record.with_suffix(".nii.gz"), lambda temporary: shutil.copyfile(mask, temporary))
        self._write(record, {"study": study, "version": version, "proposed": since})

    def rows(self) -> list[dict[str, Any]]:
        """One row of ``COLUMNS`` for each study with a proposal and a final label, by study."""
        records = [self._scored(path) for path in sorted(self.folder.glob("[!.]*.json"))]
        rows = [_row(record) for record in records if "scored" in record]
        return sorted(rows, key=lambda row: row["study"])

    def _scored(self, path: Path) -> dict[str, Any]:
        """The record, compared with the final label as it is now."""
        record = json.loads(path.read_text())
        label = self.datastore.label_at_hand(record["study"], DefaultLabelTag.FINAL)
        if label is None:
            return {key: value for key, value in record.items() if key != "scored"}
        file, info = label
        if record.get("scored", {}).get("labelled") != info["ts"]:
            record["scored"] = {
                "annotator": info.get("annotator", ""),
                "labelled": info["ts"],
                "dice": _dice(path.with_suffix(".nii.gz"), Path(file)),
            }
            self._write(path, record)
        return record

    def _record(self, study: str) -> Path:
        return self.folder / f"{hashlib.sha256(study.encode()).hexdigest()[:24]}.json"

    def _write(self, path: Path, record: dict[str, Any]) -> None:
        write_atomically(path, lambda temporary: temporary.write_text(json.dumps(record, indent=1)))


def _dice(proposal: Path, final: Path) -> dict[str, float]:
    """Dice of each structure; 1 where both are without it."""
    proposed, label, _ = masks_on_one_grid(proposal, final)
    return dict(zip(STRUCTURES, dice(proposed, label), strict=True))


def _row(record: dict[str, Any]) -> dict[str, Any]:
    scored = record["scored"]
    return {
        "study": record["study"],
        "annotator": scored["annotator"],
        "version": record["version"],
        "proposed": _iso(record["proposed"]),
        "labelled": _iso(scored["labelled"]),
        "minutes": round((scored["labelled"] - record["proposed"]) / 60, 1),
        **{f"dice_{name}": round(value, 4) for name, value in scored["dice"].items()},
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
