"""The benchmarks run, and the page about speed says what they left; how fast anything is, is not tested."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARKS = REPOSITORY / "benchmarks"
RESULTS = REPOSITORY / "docs" / "results" / "performance"


def run(script: str, *arguments: str, output: Path) -> dict:
    """Figures of a benchmark, run as a command."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "bundle"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCHMARKS / script), *arguments, "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(output.read_text())
    assert {"processor", "cores", "threads", "torch", "commit"} <= set(record["surroundings"])
    assert record["markdown"][-1] in done.stdout
    return record["figures"]


def test_inference_times_every_stage_of_ours_and_every_contestant(tmp_path: Path):
    found = run("inference.py", "--shape", "64", "64", "20", "--rounds", "1", output=tmp_path / "figures.json")
    assert set(found["stages of ours"]) == {
        "read",
        "preprocess",
        "localise",
        "segment",
        "regions and fusion",
        "invert",
        "measure",
        "write",
    }
    assert len(found["contestants"]) == 6
    for row in found["contestants"].values():
        assert min(row["seconds"], row["cpu"], row["peak"]) > 0


def test_training_step_times_each_term_of_the_loss(tmp_path: Path):
    found = run("training_step.py", "--steps", "1", output=tmp_path / "figures.json")["seconds"]
    weights = json.loads((REPOSITORY / "bundle" / "configs" / "train.json").read_text())["loss"]["weights"]
    timed = {part.removeprefix("loss: ") for part in found["ours"] if part.startswith("loss: ")}
    assert timed == {name for name, weight in weights.items() if isinstance(weight, float) and weight}
    for name in ("reference recipe, our network", "reference recipe, paper's network"):
        assert "targets: scipy" in found[name]


def test_limit_counts_more_operations_for_a_larger_image_and_names_the_slowest_operators(tmp_path: Path):
    found = run("limit.py", "--repeats", "1", "--side", "256", output=tmp_path / "figures.json")
    assert min(found["GFLOP/s"].values()) > 0
    assert next(iter(found["shares of operators"])).endswith("convolution")


def test_precision_compares_with_fp32(tmp_path: Path):
    found = run("precision.py", "--repeats", "1", output=tmp_path / "figures.json")["time relative to fp32"]
    assert {row["fp32"] for row in found.values()} == {1.0}


def test_peak_memory_is_of_the_program_itself_not_of_the_one_that_started_it():
    held = bytearray(b"1") * 2**29
    measure = "from memory import peak_gib; print(peak_gib())"
    found = subprocess.run([sys.executable, "-c", measure], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert len(held) / 2**30 > 0.4 > float(found.stdout)


@pytest.fixture
def performance_page(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("performance_page")


@pytest.fixture
def records(performance_page) -> dict[str, dict]:
    return {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in performance_page.SECTIONS}


def test_committed_page_says_what_the_benchmarks_left(performance_page, records):
    """After a change: ``make bench``."""
    committed = (REPOSITORY / "docs" / "reference" / "performance.md").read_text()
    assert committed == performance_page.page(records, "../results/performance/performance.png")


def test_missed_target_is_called_missed(performance_page, records):
    found = {name: deepcopy(record["figures"]) for name, record in records.items()}
    found["responsiveness"]["thin"]["first"] = 7.0
    missed = {name for name, _, _, reached in performance_page.targets(found) if not reached}
    assert "first proposal of the server for 20 slices" in missed
