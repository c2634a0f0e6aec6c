"""What is known of each scan of an archive: one small file for each, and one table of all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock

from dualtask.errors import InputError
from dualtask.files import write_atomically, write_table

_SUFFIX = ".json"

Record = dict[str, Any]


class Outcome(StrEnum):
    """What became of a scan."""

    BEGUN = "begun"
    """A worker is at it, or was killed at it."""
    DONE = "done"
    """Its mask is written."""
    REFUSED = "refused"
    """It cannot be right."""
    FAILED = "failed"
    """It ended in an error that nobody foresaw."""


class Records:
    """A record for each scan, ``records/<scan>.json``, and the table of all, ``scans.csv``.

    Workers share no record, so each replaces its own without regard to the others.

    Args:
        output_dir: folder of the results.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.folder = Path(output_dir) / "records"
        self.table = Path(output_dir) / "scans.csv"

    def read(self, name: str) -> Record:
        """The record of a scan, empty before its first one.

        Raises:
            InputError: the file is damaged.
        """
        path = self._path(name)
        return _read(path) if path.exists() else {}

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Replace the record of a scan, whole or not at all.

        Raises:
            StorageError: see ``write_atomically``.
        """
        text = json.dumps({"scan": name, **record}, indent=1)
        write_atomically(self._path(name), lambda temporary: temporary.write_text(text))

    def remove(self, name: str) -> None:
        """Forget a scan."""
        self._path(name).unlink(missing_ok=True)

    def collect(self) -> None:
        """Write the table: a row for each record, sorted, with the columns of all of them.

        Workers that end at the same time write one after the other, and the last of them sees the records of all.

        Raises:
            InputError: there is no record, or one is damaged.
            StorageError: see ``write_table``.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".table.lock"):
            # A record that is being written has a name that starts with a dot.
            paths = [path for path in self.folder.rglob(f"*{_SUFFIX}") if not path.name.startswith(".")]
            records = sorted((_read(path) for path in paths), key=lambda record: record["scan"])
            if not records:
                raise InputError(f"{self.folder} holds no record of a scan: segment the archive first.")
            columns = list(dict.fromkeys(column for record in records for column in record))
            rows = ([_printable(record.get(column, "")) for column in columns] for record in records)
            write_table(self.table, columns, rows)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"


def _read(path: Path) -> Record:
    try:
        record = json.loads(path.read_text())
        if not isinstance(record["scan"], str):
            raise TypeError("scan")
        Outcome(record["outcome"])
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} is no record of a scan: remove it, and the scan is segmented again.") from error
    return record


def _printable(value: object) -> str:
    """Text of a value; bytes of file names that are no text are escaped."""
    return str(value).encode("utf-8", "backslashreplace").decode()
