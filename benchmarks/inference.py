"""Inference of a large synthetic scan: ours against sliding windows at full resolution and the reference's way.

Each contestant runs in a process of its own, one after the other in rounds, so that a busy moment meets them all. Ours
is run whole, from the file to the written mask, by the transforms of ``inference.json``. Sliding windows take an hour
and more on a CPU: of them some windows are timed and multiplied by those of the scan, reading and writing not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.data.utils import dense_patch_slices
from monai.networks.nets import DynUNet, SegResNet
from torch import nn
from torch.nn import functional

from dualtask import bundle_root
from dualtask.networks import DualTaskNet, ResidualUNet
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.sites import SITES
from dualtask.scans import decathlon_datalist

_WINDOW = (128, 128, 96)
_OVERLAP = 0.5
_REGION = (96, 96, 64)
_FLIPS = [axes for count in range(4) for axes in combinations((2, 3, 4), count)]
_STAGES = {
    "LoadScand": "read",
    "Orientationd": "preprocess",
    "Spacingd": "preprocess",
    "ScaleIntensityRanged": "preprocess",
    "SaveImaged": "write",
}


def write_scan(path: Path, shape: tuple[int, int, int]) -> None:
    """Write a synthetic scan, interpolated to a large matrix with noise of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_decathlon(folder, [SITES["metro"]], cases_per_site=1, seed=4000, matrix=200)
        (case,) = decathlon_datalist(folder)
        small = nib.load(case["image"])
        voxels = torch.from_numpy(small.get_fdata(dtype=np.float32))[None, None]
    large = functional.interpolate(voxels, size=shape, mode="trilinear")[0, 0]
    large += 8 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    scale = np.array(small.shape) / np.array(shape)
    affine = small.affine @ np.diag([*scale, 1])
    nib.save(nib.Nifti1Image(large.round().to(torch.int16).numpy(), affine), path)


def run_ours(scan: Path) -> dict[str, float]:
    """Seconds of each stage of the bundle's inference."""
    root = Path(bundle_root())
    with tempfile.TemporaryDirectory() as folder:
        workflow = ConfigWorkflow(
            str(root / "configs" / "inference.json"),
            meta_file=str(root / "configs" / "metadata.json"),
            workflow_type="infer",
            logging_file=False,
            datalist=[str(scan)],
            output_dir=folder,
        )
        workflow.initialize()
        part = workflow.parser.get_parsed_content
        before, after = part("preprocessing").flatten().transforms, part("postprocessing").flatten().transforms
        inferer, network = part("inferer"), part("network").eval()
        inferer.localiser.eval()
        stages: dict[str, float] = {}

        def timed(stage: str, step: Callable, *values: object) -> object:
            started = time.perf_counter()
            result = step(*values)
            stages[stage] = stages.get(stage, 0.0) + time.perf_counter() - started
            return result

        data = {"image": str(scan)}
        for transform in before:
            data = timed(_STAGES[type(transform).__name__], transform, data)
        data["pred"] = timed("localise and segment", inferer, data["image"][None], network)[0]
        for transform in after:
            data = timed(_STAGES.get(type(transform).__name__, "invert"), transform, data)
    return stages


def run_windows(network: nn.Module, scan: Path, windows: int, low_precision: bool = False) -> dict[str, float]:
    """Seconds of sliding windows over the whole scan, from a number of them, in fp32 or bf16."""
    shape = nib.load(scan).shape
    sides = [min(side, have) for side, have in zip(_WINDOW, shape, strict=True)]
    padded = [max(side, -(-side // 32) * 32) for side in sides]
    interval = [max(1, int(side * (1 - _OVERLAP))) for side in sides]
    count = len(dense_patch_slices(shape, sides, interval))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low_precision):
        return {"windows": count * _seconds(lambda: network(torch.rand(1, 1, *padded)), windows)}


def run_reference(scan: Path, windows: int) -> dict[str, float]:
    """Seconds of the paper's network on the region, averaged over all mirror images."""
    network = DualTaskNet(ResidualUNet(width=32), sharpness=15.0).eval()
    image = torch.rand(1, 1, *_REGION)
    return {"region": len(_FLIPS) * _seconds(lambda: network.heads(image.flip(_FLIPS[-1])), windows)}


def _seconds(forward: Callable[[], object], repeats: int) -> float:
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            forward()
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _dynunet() -> nn.Module:
    stages = 6
    return DynUNet(3, 1, 3, [3] * stages, [1] + [2] * (stages - 1), [2] * (stages - 1)).eval()


CONTESTANTS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "ours": lambda scan, windows: run_ours(scan),
    "DynUNet as in nnU-Net, sliding window, fp32": lambda scan, windows: run_windows(_dynunet(), scan, windows),
    "the same in bf16": lambda scan, windows: run_windows(_dynunet(), scan, windows, low_precision=True),
    "SegResNet-32, sliding window, fp32": lambda scan, windows: run_windows(
        SegResNet(init_filters=32, out_channels=3).eval(), scan, windows
    ),
    "paper's network on the region, 8 mirror images, fp32": run_reference,
}


def measure(name: str, scan: Path, windows: int) -> dict:
    """Run a contestant in a process of its own."""
    command = [sys.executable, __file__, "--contestant", name, "--scan", str(scan), "--windows", str(windows)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(outcome.stdout.splitlines()[-1])


def main() -> None:
    """Measure all contestants and print the table, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=1, help="windows that are timed in each round")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        torch.manual_seed(0)
        cpu = time.process_time()
        stages = CONTESTANTS[arguments.contestant](arguments.scan, arguments.windows)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"stages": stages, "cpu": time.process_time() - cpu, "peak": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        scan = arguments.scan or Path(folder) / "scan.nii.gz"
        if not arguments.scan:
            write_scan(scan, tuple(arguments.shape))
        rounds = [
            {name: measure(name, scan, arguments.windows) for name in CONTESTANTS} for _ in range(arguments.rounds)
        ]
        shape = nib.load(scan).shape
    hardware = f"{platform.machine()}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"
    seconds = {name: statistics.median(sum(run[name]["stages"].values()) for run in rounds) for name in CONTESTANTS}
    stages = {
        stage: statistics.median(run["ours"]["stages"][stage] for run in rounds)
        for stage in rounds[0]["ours"]["stages"]
    }
    peak = statistics.median(run["ours"]["peak"] for run in rounds)
    print(f"Synthetic scan of {' x '.join(map(str, shape))} voxels; {hardware}; PyTorch {torch.__version__}")
    print(f"| {arguments.rounds} rounds, median | time relative to ours |\n|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value / seconds['ours']:.1f} |")
    shares = ", ".join(f"{stage} {100 * value / sum(stages.values()):.0f} %" for stage, value in stages.items())
    print(f"Ours: {seconds['ours']:.1f} s in this run ({shares}); peak memory of its process {peak:.1f} GiB.")
    if arguments.output:
        arguments.output.write_text(json.dumps({"hardware": hardware, "shape": shape, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
