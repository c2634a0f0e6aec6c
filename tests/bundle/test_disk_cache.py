"""Preprocessed scans on disk serve every training that makes the same of the same files, and no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.transforms import Compose, ScaleIntensityd

from dualtask.scans import DiskCache, LoadScand, decathlon_datalist
from small_workflows import SMALL_GRID


@pytest.fixture
def dataset(small_dataset: Path, tmp_path: Path) -> Path:
    """A copy whose files a test may change."""
    return Path(shutil.copytree(small_dataset, tmp_path / "dataset"))


@pytest.fixture
def train(workflow: Callable[..., ConfigWorkflow], dataset: Path, tmp_path: Path) -> Callable[..., list[dict]]:
    """Train for two epochs; returns the history."""

    def run(name: str, *overlays: str, **overrides: Any) -> list[dict]:
        folder = tmp_path / name
        settings = {
            "dataset_dir": str(dataset),
            "ckpt_dir": str(folder),
            "output_dir": str(folder),
            "image_format": SMALL_GRID,
            "val_interval": 1,
            "tracking_uri": "",
            "train#trainer#max_epochs": 2,
            "train#dataloader#num_workers": 0,
            **overrides,
        }
        if overlays:
            settings["cache_dir"] = str(tmp_path / "cache")
        workflow("train.json", *overlays, **settings).run()
        return json.loads((folder / "history.json").read_text())

    return run


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scans that are read."""
    paths: list[str] = []
    load = LoadScand.__call__

    def counted(self: LoadScand, data: dict) -> dict:
        paths.append(Path(data["image"]).name)
        return load(self, data)

    monkeypatch.setattr(LoadScand, "__call__", counted)
    return paths


def test_a_second_training_reads_no_scan_and_comes_to_the_same(
    train: Callable[..., list[dict]], reads: list[str]
) -> None:
    first = train("first", "disk_cache.json")
    reads.clear()
    assert train("second", "disk_cache.json") == first
    assert not reads


def test_filling_leaves_nothing_to_read_for_trainings_that_begin_together(
    workflow: Callable[..., ConfigWorkflow],
    train: Callable[..., list[dict]],
    dataset: Path,
    tmp_path: Path,
    reads: list[str],
) -> None:
    settings = {"dataset_dir": str(dataset), "cache_dir": str(tmp_path / "cache"), "image_format": SMALL_GRID}
    workflow("train.json", "disk_cache.json", **settings).parser.get_parsed_content("filling")
    reads.clear()
    train("after", "disk_cache.json")
    assert not reads


def test_what_is_drawn_anew_is_the_same_as_without_the_cache(
    workflow: Callable[..., ConfigWorkflow], dataset: Path
) -> None:
    def steps(*overlays: str) -> list[str]:
        parser = workflow("train.json", *overlays, dataset_dir=str(dataset)).parser
        return [type(step).__name__ for step in parser.get_parsed_content("train#preprocessing").transforms]

    parser = workflow("train.json", dataset_dir=str(dataset)).parser
    kept = len(parser.get_parsed_content("preprocessing").flatten().transforms)
    assert steps("disk_cache.json") == steps()[kept:]


def test_an_entry_is_what_preprocessing_makes(dataset: Path, tmp_path: Path) -> None:
    transform = Compose([LoadScand(keys="image"), ScaleIntensityd(keys="image")])
    cases = decathlon_datalist(dataset)
    for _ in range(2):
        entry = DiskCache(cases, transform, tmp_path / "cache")[0]
        assert torch.equal(entry["image"], transform(dict(cases[0]))["image"].as_tensor())


def test_the_localiser_shares_the_scans_of_the_network(train: Callable[..., list[dict]], reads: list[str]) -> None:
    train("network", "disk_cache.json")
    reads.clear()
    train("localiser", "localiser.json", "disk_cache.json")
    assert not reads


def test_a_scan_that_changed_is_read_again(train: Callable[..., list[dict]], dataset: Path, reads: list[str]) -> None:
    train("before", "disk_cache.json")
    changed = Path(decathlon_datalist(dataset)[0]["image"])
    changed.write_bytes(changed.read_bytes() + bytes(16))
    reads.clear()
    train("after", "disk_cache.json")
    assert reads == [changed.name]


def test_another_grid_gets_scans_of_its_own(train: Callable[..., list[dict]], dataset: Path, reads: list[str]) -> None:
    train("before", "disk_cache.json")
    reads.clear()
    train("after", "disk_cache.json", image_format={**SMALL_GRID, "spacing": [6.0, 6.0, 6.0]})
    assert len(reads) == len(decathlon_datalist(dataset))


def test_what_a_killed_training_left_half_written_is_made_anew(
    train: Callable[..., list[dict]], tmp_path: Path, reads: list[str]
) -> None:
    before = train("before", "disk_cache.json")
    half = next((tmp_path / "cache").glob("*.pt"))
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    reads.clear()
    assert train("after", "disk_cache.json") == before
    assert len(reads) == 1


def test_entries_hold_tensors_and_no_pickled_code(train: Callable[..., list[dict]], tmp_path: Path) -> None:
    train("any", "disk_cache.json")
    for entry in (tmp_path / "cache").glob("*.pt"):
        assert isinstance(torch.load(entry, weights_only=True)["image"], torch.Tensor)
