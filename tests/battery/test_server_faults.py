"""Real servers are killed, starved of disk and set on one folder: no label is lost and none is half-written."""

from __future__ import annotations

from pathlib import Path

from battery.fixtures import copied_repository, synthetic_dataset
from battery.server_faults import server_faults


def test_no_label_is_lost(tmp_path: Path):
    repository, dataset = copied_repository(tmp_path / "repository"), synthetic_dataset(tmp_path / "dataset")
    for fault in server_faults(repository, dataset, tmp_path / "servers"):
        assert (fault.labels, fault.wrong) == (3, ()), fault.name
