"""Several annotators at once: the server answers everything, and its memory does not grow with the requests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from battery.servers import started


@pytest.fixture
def load():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "load.py"
    specification = importlib.util.spec_from_file_location("load", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_eight_annotators_meet_no_error(load, copied_repository: Path, synthetic_dataset: Path, tmp_path: Path):
    studies = tmp_path / "studies"
    studies.mkdir()
    for scan in (synthetic_dataset / "imagesTr").iterdir():
        (studies / scan.name).write_bytes(scan.read_bytes())
    with started(copied_repository, studies, [tmp_path / "server"]) as (server,):
        done, memory = load.measure(server, synthetic_dataset / "labelsTr", annotators=8, seconds=15)
    assert done.errors == []
    assert min(map(len, done.seconds.values())) >= 8
    assert memory[-1] < 1.5 * memory[len(memory) // 2]
