"""How far a training is, for the process that answers questions about it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil

from dualtask.files import write_atomically

_UNFINISHED = ("training", "judging")


class TrainingProgress:
    """Written by the process that trains, read by the server.

    Args:
        folder: of the training's records; the bundle's ``history.json`` appears in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / "progress.json"

    def write(self, state: str, **facts: Any) -> None:
        """Replace the record.

        Args:
            state: "training", "judging", "published", "rejected" or "failed".
            facts: plain values.
        """
        text = json.dumps({"state": state, "process": os.getpid(), **facts}, indent=1)
        write_atomically(self._record, lambda temporary: temporary.write_text(text))

    def read(self) -> dict[str, Any]:
        """The record and the newest epoch with its metrics; empty before the first training.

        A training whose process is gone without having ended is "interrupted".
        """
        if not self._record.exists():
            return {}
        record = json.loads(self._record.read_text())
        process = record.pop("process")
        if record["state"] in _UNFINISHED and not psutil.pid_exists(process):
            record["state"] = "interrupted"
        try:
            epochs = json.loads((self.folder / "history.json").read_text())
        except FileNotFoundError:  # no epoch yet, or a new training has just removed it
            epochs = []
        if epochs:
            record |= {"epoch": epochs[-1]["epoch"], "loss": epochs[-1]["loss"]}
            record |= next((epoch["validation"] for epoch in reversed(epochs) if "validation" in epoch), {})
        return record
