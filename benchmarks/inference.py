"""Inference of a synthetic scan: ours against sliding windows at full resolution and the reference's way.

Each contestant runs in a process of its own, one after the other in rounds, so that a busy moment meets them all. Ours
is run whole, from the file to the written mask, by the transforms of ``inference.json``. Sliding windows take an hour
and more on a CPU: of them some windows are timed and multiplied by those of the scan, reading and writing not counted.
nnU-Net's predictor takes part where an environment with ``nnunetv2`` is named.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data.utils import dense_patch_slices
from monai.networks.nets import DynUNet, SegResNet
from torch import nn
from torch.nn import functional

from dualtask.networks import DualTaskNet, ResidualUNet
from dualtask.phantom.dicom import write_dicom_series
from dualtask.phantom.generator import generate_case
from dualtask.phantom.sites import SITES
from figures import report
from memory import peak_gib
from parts import DEVICE, inference_parts, timed

_WINDOW = (128, 128, 96)
_OVERLAP = 0.5
_REGION = (64, 64, 56)
_FLIPS = [axes for count in range(4) for axes in combinations((2, 3, 4), count)]
_STAGES = {
    "LoadScand": "read",
    "Lambdad": "preprocess",
    "Orientationd": "preprocess",
    "KnownVoxels": "preprocess",
    "ScaleIntensityRanged": "preprocess",
    "ResampleToSpacingd": "preprocess",
    "FillUnknown": "preprocess",
    "MeasureScan": "measure",
    "SaveResultd": "write",
}


def write_scan(path: Path, shape: tuple[int, int, int], series: Path | None = None) -> None:
    """Write a synthetic scan, interpolated to a large matrix with noise of its own.

    Args:
        path: NIfTI file.
        shape: of the scan.
        series: folder that takes it as a DICOM series too.
    """
    small = generate_case(SITES["metro"], seed=4000, case=0, matrix=200)
    voxels = torch.from_numpy(small.image.astype(np.float32))[None, None]
    large = functional.interpolate(voxels, size=shape, mode="trilinear")[0, 0]
    large += 8 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    image = large.round().clamp(-1024, 3071).to(torch.int16).numpy()
    affine = small.affine @ np.diag([*np.array(small.image.shape) / np.array(shape), 1])
    nib.save(nib.Nifti1Image(image, affine), path)
    if series:
        write_dicom_series(series, replace(small, image=image, label=np.zeros(shape, np.uint8), affine=affine))


def run_ours(scan: Path, ended: Callable[[str], None] = lambda stage: None) -> dict[str, float]:
    """Seconds of each stage of the bundle's inference; ``ended`` is told each part of a stage that is done."""
    with tempfile.TemporaryDirectory() as folder:
        part = inference_parts(datalist=[str(scan)], output_dir=folder)
        before, after = part("preprocessing").flatten().transforms, part("postprocessing").flatten().transforms
        inferer, network = part("inferer"), part("network").eval()
        inferer.localiser.eval()
        stages: dict[str, float] = {}

        def stage_of(stage: str, step: Callable, *values: object) -> object:
            result, seconds = timed(step, *values)
            stages[stage] = stages.get(stage, 0.0) + seconds
            ended(stage)
            return result

        network.heads = partial(stage_of, "segment", network.heads)
        inferer.localiser.heads = partial(stage_of, "localise", inferer.localiser.heads)
        data = {"image": str(scan)}
        for transform in before:
            data = stage_of(_STAGES[type(transform).__name__], transform, data)
        data["pred"] = stage_of("regions and fusion", inferer, data["image"][None].to(DEVICE), network)[0]
        stages["regions and fusion"] -= stages["localise"] + stages.get("segment", 0.0)
        for transform in after:
            data = stage_of(_STAGES.get(type(transform).__name__, "invert"), transform, data)
    return stages


def run_windows(network: nn.Module, scan: Path, windows: int, low_precision: bool = False) -> dict[str, float]:
    """Seconds of sliding windows over the whole scan, from a number of them, in fp32 or bf16."""
    shape = nib.load(scan).shape
    sides = [min(side, have) for side, have in zip(_WINDOW, shape, strict=True)]
    padded = [max(side, -(-side // 32) * 32) for side in sides]
    interval = [max(1, int(side * (1 - _OVERLAP))) for side in sides]
    count = len(dense_patch_slices(shape, sides, interval))
    image = torch.rand(1, 1, *padded, device=DEVICE)
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=low_precision):
        return {"windows": count * _seconds(lambda: network(image), windows)}


def run_reference(scan: Path, windows: int) -> dict[str, float]:
    """Seconds of the paper's network on the region, averaged over all mirror images."""
    network = DualTaskNet(ResidualUNet(width=32), sharpness=(10.0, 5.0)).eval().to(DEVICE)
    image = torch.rand(1, 1, *_REGION, device=DEVICE)
    return {"region": len(_FLIPS) * _seconds(lambda: network.heads(image.flip(_FLIPS[-1])), windows)}


def _seconds(forward: Callable[[], object], repeats: int) -> float:
    with torch.no_grad():
        times = [timed(forward)[1] for _ in range(repeats + 1)]
    return statistics.median(times[1:])


def _dynunet() -> nn.Module:
    stages = 6
    return DynUNet(3, 1, 3, [3] * stages, [1] + [2] * (stages - 1), [2] * (stages - 1)).eval().to(DEVICE)


OURS_DICOM = "ours, from a DICOM series"
CONTESTANTS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "ours": lambda scan, windows: run_ours(scan),
    OURS_DICOM: lambda scan, windows: run_ours(scan),
    "DynUNet as in nnU-Net, sliding window, fp32": lambda scan, windows: run_windows(_dynunet(), scan, windows),
    "the same in bf16": lambda scan, windows: run_windows(_dynunet(), scan, windows, low_precision=True),
    "SegResNet-32, sliding window, fp32": lambda scan, windows: run_windows(
        SegResNet(init_filters=32, out_channels=3).eval().to(DEVICE), scan, windows
    ),
    "paper's network on the region, 8 mirror images, fp32": run_reference,
}


def measure(name: str, scan: Path, windows: int = 1, threads: int | None = None) -> dict[str, Any]:
    """Seconds by stage, CPU seconds and peak memory in GiB of a contestant, in a process of its own."""
    command = [sys.executable, __file__, "--contestant", name, "--scan", str(scan), "--windows", str(windows)]
    return in_own_process(command, threads)


def in_own_process(command: list[str], threads: int | None = None) -> dict[str, Any]:
    """What a command prints as JSON in its last line, run with so many threads."""
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if outcome.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{outcome.stderr}")
    return json.loads(outcome.stdout.splitlines()[-1])


def main() -> None:
    """Measure all contestants and print the table, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--windows", type=int, default=1, help="windows that are timed in each round")
    parser.add_argument("--nnunet", help="Python of an environment with nnunetv2, for its predictor")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        torch.manual_seed(0)
        started = time.perf_counter(), time.process_time()
        stages = CONTESTANTS[arguments.contestant](arguments.scan, arguments.windows)
        busy = (time.process_time() - started[1]) / (time.perf_counter() - started[0])  # cores
        print(json.dumps({"stages": stages, "cpu": busy * sum(stages.values()), "peak": peak_gib()}))
        return
    with tempfile.TemporaryDirectory() as folder:
        scan, series = Path(folder) / "scan.nii.gz", Path(folder) / "series"
        write_scan(scan, tuple(arguments.shape), series)
        measures = {
            name: partial(measure, name, series if name == OURS_DICOM else scan, arguments.windows)
            for name in CONTESTANTS
        }
        if arguments.nnunet:
            predictor = str(Path(__file__).with_name("nnunet_predictor.py"))
            command = [arguments.nnunet, predictor, "--scan", str(scan), "--work", f"{folder}/nnunet"]
            measures["nnU-Net's own predictor, default plan, fp32"] = partial(in_own_process, command)
        rounds = [{name: measured() for name, measured in measures.items()} for _ in range(arguments.rounds)]
    rows = {
        name: {
            "seconds": statistics.median(sum(run[name]["stages"].values()) for run in rounds),
            "cpu": statistics.median(run[name]["cpu"] for run in rounds),
            "peak": statistics.median(run[name]["peak"] for run in rounds),
        }
        for name in measures
    }
    stages = {
        stage: statistics.median(run["ours"]["stages"][stage] for run in rounds)
        for stage in rounds[0]["ours"]["stages"]
    }
    result = {"shape": arguments.shape, "rounds": arguments.rounds, "contestants": rows, "stages of ours": stages}
    report("inference", result, inference_lines(result), arguments.output)


def inference_lines(result: Mapping[str, Any]) -> list[str]:
    """The table in Markdown."""
    rows, stages = result["contestants"], result["stages of ours"]
    ours = rows["ours"]
    lines = [
        f"Synthetic scan of {' x '.join(map(str, result['shape']))} voxels, median of {result['rounds']} rounds:",
        "",
        "| contestant | time relative to ours | CPU time relative to ours | peak memory of its process, GiB |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['seconds'] / ours['seconds']:.1f} | {row['cpu'] / ours['cpu']:.1f} | {row['peak']:.1f} |"
        for name, row in rows.items()
    ]
    shares = ", ".join(f"{stage} {100 * value / sum(stages.values()):.0f} %" for stage, value in stages.items())
    return [*lines, "", f"Ours: {ours['seconds']:.1f} s of wall time, {ours['cpu']:.1f} s of CPU ({shares})."]


if __name__ == "__main__":
    main()
