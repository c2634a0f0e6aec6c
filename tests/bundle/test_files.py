"""Files are whole or absent, whoever else writes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from battery.beside import full_disk
from dualtask.errors import StorageError
from dualtask.files import write_atomically


def test_threads_that_write_the_same_file_leave_one_of_their_contents(tmp_path: Path):
    path = tmp_path / "file"

    def write(number: int) -> None:
        write_atomically(path, lambda temporary: temporary.write_text(str(number % 10) * 100_000))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert path.read_text() in {str(digit) * 100_000 for digit in range(10)}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_a_sentence_and_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with full_disk(left=100), pytest.raises(StorageError, match="the disk is full: free space"):
        write_atomically(path, lambda temporary: temporary.write_text("new" * 100))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
