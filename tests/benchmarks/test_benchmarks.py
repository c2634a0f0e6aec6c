"""The benchmarks run, and the page about speed says what they left; how fast anything is, is not tested."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from dualtask.networks import DualTaskNet, DynUNetBackbone
from dualtask.networks.heads import Heads
from dualtask.networks.instance_norm import ChannelsLastInstanceNorm3d
from small_workflows import write_two_sites

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


def test_gradients_of_each_term_are_told_by_those_of_the_classification(tmp_path: Path):
    options = (
        "--dataset_dir",
        str(write_two_sites(tmp_path / "data", 2)),
        "--steps",
        "3",
        "--width",
        "8",
        "--batch_size",
        "1",
    )
    found = run("gradients.py", *options, output=tmp_path / "figures.json")
    assert found["classification"] == {"norm": [1.0] * 3, "cosine": [pytest.approx(1.0)] * 3}
    assert min(found["regression"]["norm"]) > 0
    assert all(abs(cosine) < 1 + 1e-9 for of_term in found.values() for cosine in of_term["cosine"])


def test_limit_counts_more_operations_for_a_larger_image_and_names_the_slowest_operators(tmp_path: Path):
    found = run("limit.py", "--repeats", "1", "--side", "256", output=tmp_path / "figures.json")
    assert min(found["GFLOP/s"].values()) > 0
    assert any(name.endswith("convolution") for name in list(found["shares of operators"])[:3])


def test_storage_times_every_way_and_ours_is_one_of_them(tmp_path: Path, benchmark_module):
    found = run("storage.py", "--shape", "64", "64", "20", "--rounds", "1", output=tmp_path / "figures.json")["seconds"]
    for step, ours in benchmark_module("storage").OURS.items():
        assert ours in found[step]
        assert len(found[step]) > 1
        assert min(found[step].values()) > 0


def test_every_way_to_pack_a_mask_gives_the_same_voxels(tmp_path: Path, benchmark_module):
    mask = np.zeros((20, 18, 16), np.uint8, order="F")
    mask[4:12, 5:9, 3:7] = 2
    ways = benchmark_module("storage").ways_to_pack(mask, np.eye(4), tmp_path)
    assert len(ways) >= 3
    for way in ways.values():
        way()
        np.testing.assert_array_equal(np.asanyarray(nib.load(tmp_path / "mask.nii.gz").dataobj), mask)


def test_every_way_to_unpack_a_scan_gives_the_same_voxels(tmp_path: Path, benchmark_module):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (20, 18, 16)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "scan.nii.gz")
    ways = benchmark_module("storage").ways_to_unpack(tmp_path / "scan.nii.gz")
    assert len(ways) >= 4
    for way in ways.values():
        np.testing.assert_array_equal(way(), voxels)


def test_imports_names_the_packages_and_hides_those_that_inference_does_not_need(tmp_path: Path):
    found = run("imports.py", "--rounds", "1", output=tmp_path / "figures.json")
    assert {"torch", "monai", "numpy"} <= found["packages"].keys()
    torch_alone, whole, without = found["cpu"].values()
    assert min(torch_alone, without) < whole


def test_precision_compares_with_fp32_and_pytorchs_normalisation(tmp_path: Path):
    found = run("precision.py", "--repeats", "1", output=tmp_path / "figures.json")["time relative to the first"]
    assert {row["fp32, PyTorch's"] for row in found.values()} == {1.0}


def test_the_network_with_pytorchs_normalisation_computes_the_same(benchmark_module):
    ours = DualTaskNet(DynUNetBackbone(width=4, stages=3), sharpness=(10.0, 5.0)).eval()
    plain = benchmark_module("precision").with_pytorchs_normalisation(ours)
    assert not any(isinstance(layer, ChannelsLastInstanceNorm3d) for layer in plain.modules())
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(plain.heads(image).logits, ours.heads(image).logits, rtol=1e-4, atol=1e-4)


def test_peak_memory_is_of_the_program_itself_not_of_the_one_that_started_it():
    held = bytearray(b"1") * 2**29
    measure = "from memory import peak_gib; print(peak_gib())"
    found = subprocess.run([sys.executable, "-c", measure], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert len(held) / 2**30 > 0.4 > float(found.stdout)


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def engines(benchmark_module):
    return benchmark_module("engines")


class _SeesBrightVoxels(torch.nn.Module):
    """Takes what is bright for organ, and nothing for lesion."""

    sharpness = torch.full((1, 2, 1, 1, 1), 10.0)
    regression_share = torch.full((1, 2, 1, 1, 1), 0.5)

    def heads(self, image: torch.Tensor) -> Heads:
        distance = torch.cat([1 - 2 * image, torch.ones_like(image)], dim=1)
        return Heads(-20 * distance, distance, image)


@pytest.fixture
def stage(engines):
    """An image of 16 planes, half of them bright."""
    image = (torch.arange(16) < 8).float().view(1, 1, 16, 1, 1).repeat(1, 1, 1, 8, 8)
    return engines.Stage(_SeesBrightVoxels(), torch.ones(1, 2, 1, 1, 1), image, [image], flips=[[0]])


def test_engines_are_timed_in_turns_and_their_masks_compared_with_the_default(engines, stage):
    order = []

    def told(name: str, step: int):
        def build(network, images):
            return lambda image: order.append(name) or network.heads(image.roll(step, 2))

        return engines.Engine(build)

    found = engines.compare(stage, {engines.DEFAULT: told("default", 0), "shifted": told("shifted", 8)}, rounds=2)
    both_mirror_images = ["default"] * 2 + ["shifted"] * 2
    assert order == 3 * both_mirror_images
    assert found[engines.DEFAULT]["dice"] == {"pancreas": 1.0}
    assert found["shifted"]["dice"] == {"pancreas": 0.0}
    assert all(row[figure] > 0 for row in found.values() for figure in ("seconds", "cpu"))


@pytest.mark.parametrize("name", ["PyTorch, fp32", "ONNX Runtime, fp32", "OpenVINO, fp32"])
def test_an_engine_gives_what_the_network_gives(engines, name):
    engine = engines.ENGINES[name]
    if missing := engine.missing():
        pytest.skip(f"no {', '.join(missing)}")
    network = DualTaskNet(DynUNetBackbone(width=2, stages=3), sharpness=(10.0, 5.0)).eval()
    image = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = network.heads(image), engine.build(network, [image])(image)
        for its, ours in zip(found[:3], expected[:3], strict=True):
            torch.testing.assert_close(its, ours, rtol=1e-3, atol=1e-4)


def test_an_engine_names_what_is_not_installed(engines):
    assert engines.Engine(None, ("torch", "sh", "no_such_module")).missing() == ["no_such_module"]


def test_an_engine_is_an_extra_only_if_it_is_much_faster_at_equal_masks(engines):
    contestants = {
        engines.DEFAULT: engines.Engine(None),
        "little faster": engines.Engine(None, ("module",)),
        "much faster": engines.Engine(None, ("module",)),
        "much faster, other masks": engines.Engine(None, ("module",)),
    }
    times, dice = (1.0, 0.7, 0.6, 0.1), (1.0, 1.0, 0.996, 0.9)
    rows = {
        name: {"cpu": seconds, "dice": {"pancreas": value}}
        for name, seconds, value in zip(contestants, times, dice, strict=True)
    }
    default, extras, unequal = engines.verdict({"network": rows}, contestants)
    assert default.endswith(f": {engines.DEFAULT}.")
    assert extras.endswith(": much faster (1.67).")
    assert "much faster, other masks (0.900)" in unequal


def test_memory_is_measured_at_every_stage_of_a_scan(benchmark_module, tmp_path: Path):
    scan = tmp_path / "scan.nii.gz"
    voxels = np.random.default_rng(0).normal(50, 100, (32, 32, 32)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([3.0, 3.0, 3.0, 1.0])), scan)
    found = benchmark_module("real_scans").run_once(scan)
    assert {"read", "preprocess", "localise", "segment", "invert", "write"} < set(found["stages"])
    assert set(found["peaks"]) == set(found["stages"])
    assert found["chain"]["seconds"] == pytest.approx(sum(found["stages"].values()))
    assert min(*found["peaks"].values(), *found["read once"].values(), *found["chain"].values()) > 0


def test_peak_memory_is_counted_from_when_it_was_reset(benchmark_module):
    memory = benchmark_module("memory")
    held = bytearray(b"1") * 2**28
    before = memory.peak_gib()
    del held
    memory.reset_peak()
    assert memory.peak_gib() < before - 0.2


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_figures_name_files_and_no_folders(path: Path):
    assert not re.search(r'(?<![\w"])/\w+/|"/', path.read_text())


@pytest.fixture
def performance_page(benchmark_module):
    return benchmark_module("performance_page")


@pytest.fixture
def records(performance_page) -> dict[str, dict]:
    return {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in performance_page.SECTIONS}


def test_committed_page_says_what_the_benchmarks_left(performance_page, records):
    """After a change: ``make bench``."""
    committed = (REPOSITORY / "docs" / "reference" / "performance.md").read_text()
    metadata = json.loads((REPOSITORY / "bundle" / "configs" / "metadata.json").read_text())
    assert committed == performance_page.page(records, "../results/performance/performance.png", metadata)


def test_a_machine_with_a_gpu_gets_a_column_beside_the_targets(performance_page, records):
    with_gpu = deepcopy(records)
    for record in with_gpu.values():
        record["surroundings"]["gpu"] = "NVIDIA X"
    with_gpu["responsiveness"]["figures"]["start"] = 99.0
    page = performance_page.page(records, "picture.png", {"version": "1", "eval_metrics": {}}, with_gpu)
    assert "| target | wanted | measured, reached | NVIDIA X, reached |" in page
    (row,) = (line for line in page.splitlines() if line.startswith("| start of the server "))
    assert row.endswith("s, yes | 99.0 s, **no** |")


def test_missed_target_is_called_missed(performance_page, records):
    found = {name: deepcopy(record["figures"]) for name, record in records.items()}
    found["responsiveness"]["thin"]["first"] = 7.0
    missed = {name for name, _, _, reached in performance_page.targets(found) if not reached}
    assert "first proposal of the server for 20 slices" in missed
