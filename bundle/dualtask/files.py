"""Files that are either whole or absent."""

from __future__ import annotations

import csv
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dualtask.errors import InputError, StorageError

_Entry = TypeVar("_Entry")

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Codes of the errors of a full disk."""

_NO_ENTRY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old or the new one and never a part.

    Args:
        path: the file; its folder is made if absent.
        write: writes to the temporary path that it is given (same folder and suffixes).

    Raises:
        StorageError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    # Another thread, or a process of another machine, may be writing the same file.
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageError(f"{path} cannot be written, the disk is full: free space on it.") from error
        if error.errno in _NO_ENTRY:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}): give a folder that you may write to."
            ) from error
        raise


def write_table(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table as CSV, as :func:`write_atomically` does.

    Args:
        path: the file.
        columns: their names.
        rows: the values of each, in the order of the columns.

    Raises:
        StorageError: see :func:`write_atomically`.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)

    write_atomically(path, write)


def read_table(
    path: str | os.PathLike[str],
    columns: Iterable[str],
    read_row: Callable[[Mapping[str, str]], _Entry],
    kind: str,
    maker: str = "evaluation",
) -> list[_Entry]:
    """Read a table that :func:`write_table` wrote.

    Args:
        path: the file.
        columns: what it must have; it may have more.
        read_row: column -> text to what is wanted of a row.
        kind: what the table is, such as "a table of scores".
        maker: what is to be run where it is absent or another one.

    Raises:
        InputError: the file is absent, lacks a column, or holds what is no value of it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the {maker} first.")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if not set(columns) <= set(table.fieldnames or ()):
                raise KeyError("columns")
            return [read_row(row) for row in table]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not {kind}: run the {maker} again.") from error
