"""Reading and writing, way by way: what each would save of the chain from the file to the mask.

The ways take turns in rounds on one scan: unpacking a compressed file, reading a DICOM series, packing a mask, and
reading the next scan while the networks work on this one. The localiser needs the whole scan, so that its own reading
has nothing to run beside. Ways of packages that are not installed are left out.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import torch

from dualtask.nifti import save_nifti
from dualtask.scans.dicom_series import series_slices
from figures import report
from inference import in_own_process, write_scan
from parts import DEVICE, inference_parts, timed

WORKERS = 2
_SCANS_IN_A_ROW = 3
_OTHER_PACKAGES = {
    "ISA-L": ("isal.igzip", "isal.igzip_threaded"),
    "zlib-ng": ("zlib_ng.gzip_ng", "zlib_ng.gzip_ng_threaded"),
}

Ways = Mapping[str, Callable[[], object]]


def _voxels(content: bytes) -> np.ndarray:
    return np.asanyarray(nib.Nifti1Image.from_bytes(content).dataobj)


def _whole_threaded(module: Any, path: Path) -> np.ndarray:
    with module.open(path, "rb", threads=1) as file:
        return _voxels(file.read())


def ways_to_unpack(scan: Path) -> Ways:
    """From a compressed NIfTI file to its voxels as they are stored."""
    ways: dict[str, Callable[[], object]] = {
        "nibabel, piece by piece": lambda: np.asanyarray(nib.load(scan).dataobj),
        "zlib, at once": lambda: _voxels(gzip.decompress(scan.read_bytes())),
    }
    for name, (plain, threaded) in _installed().items():
        ways[f"{name}, at once"] = lambda module=plain: _voxels(module.decompress(scan.read_bytes()))
        ways[f"{name}, in a thread beside"] = partial(_whole_threaded, threaded, scan)
    return ways


def ways_to_pack(mask: np.ndarray, affine: np.ndarray, folder: Path) -> Ways:
    """From a label map in memory to a compressed file, level 1."""
    image = nib.Nifti1Image(mask, affine)
    path = folder / "mask.nii.gz"
    ways: dict[str, Callable[[], object]] = {"nibabel, piece by piece": lambda: save_nifti(path, mask, affine)}
    for name, (plain, threaded) in _installed().items():
        ways[f"{name}, at once"] = lambda module=plain: path.write_bytes(module.compress(image.to_bytes(), 1))
        ways[f"{name}, {WORKERS} threads"] = lambda module=threaded: _pack_threaded(module, image, path)
    return ways


def _pack_threaded(module: Any, image: nib.Nifti1Image, path: Path) -> None:
    with module.open(path, "wb", compresslevel=1, threads=WORKERS) as file:
        file.write(image.to_bytes())


def _installed() -> dict[str, tuple[Any, Any]]:
    found = {}
    for name, modules in _OTHER_PACKAGES.items():
        try:
            plain, threaded = (importlib.import_module(module) for module in modules)
        except ImportError:
            continue
        found[name] = (plain, threaded)
    return found


def _pixels(path: Path) -> np.ndarray:
    return pydicom.dcmread(path).pixel_array


def ways_to_read_a_series(series: Path, threads: Executor, processes: Executor) -> Ways:
    """From the files of a series, whose order is known, to the pixels of all slices."""
    paths = series_slices(series)
    return {
        "one by one": lambda: [_pixels(path) for path in paths],
        f"{WORKERS} threads": lambda: list(threads.map(_pixels, paths)),
        f"{WORKERS} processes": lambda: list(processes.map(_pixels, paths, chunksize=8)),
    }


def run_in_a_row(scan: Path, loaders: int) -> dict[str, float]:
    """Seconds for each of some scans that go through the whole chain one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"dataloader#num_workers": loaders, "output_dir": folder}
        part = inference_parts(datalist=[str(scan)] * _SCANS_IN_A_ROW, **options)
        inferer, network, finish = part("inferer"), part("network").eval(), part("postprocessing")
        started = time.perf_counter()
        with torch.no_grad():
            for batch in part("dataloader"):
                maps = inferer(batch["image"].to(DEVICE), network)
                finish({**{key: value[0] for key, value in batch.items()}, "pred": maps[0]})
    return {"seconds": (time.perf_counter() - started) / _SCANS_IN_A_ROW}


def measure(scan: Path, series: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each way, and of the whole chain for a scan of several in a row."""
    image = nib.load(scan)
    # A label map is mostly background; its structures are not what takes the time.
    mask = np.zeros(image.shape, np.uint8, order="F")
    inner = tuple(slice(side // 3, side // 2) for side in image.shape)
    mask[inner] = np.asanyarray(image.dataobj)[inner] > 0
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(WORKERS) as threads,
        ProcessPoolExecutor(WORKERS) as processes,
    ):
        seconds = {
            "unpacking the file": _in_turns(ways_to_unpack(scan), rounds),
            "reading a DICOM series": _in_turns(ways_to_read_a_series(series, threads, processes), rounds),
            "packing the mask": _in_turns(ways_to_pack(mask, image.affine, Path(folder)), rounds),
        }
    command = [sys.executable, __file__, str(scan), "--in-a-row"]
    found: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(rounds):
        for loaders, times in found.items():
            times.append(in_own_process([*command, str(loaders)])["seconds"])
    chain, beside = (statistics.median(times) for times in found.values())
    seconds["a scan of several in a row"] = {"read, then segmented": chain, "the next one read meanwhile": beside}
    return {"shape": list(image.shape), "MB": scan.stat().st_size / 1e6, "rounds": rounds, "seconds": seconds}


def _in_turns(ways: Ways, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            times[name].append(timed(way)[1])
    # The first round warms caches and starts workers.
    return {name: statistics.median(found[1:]) for name, found in times.items()}


OURS = {
    "unpacking the file": "ISA-L, at once",
    "reading a DICOM series": "one by one",
    "packing the mask": "nibabel, piece by piece",
    "a scan of several in a row": "read, then segmented",
}


def _lines(result: Mapping[str, Any]) -> list[str]:
    seconds = result["seconds"]
    chain = seconds["a scan of several in a row"][OURS["a scan of several in a row"]]
    lines = [
        f"A synthetic scan of {' x '.join(map(str, result['shape']))} voxels ({result['MB']:.0f} MB), median of "
        f"{result['rounds']} rounds. What ours does is in bold; a saving is of the chain from the file to the mask.",
        "",
        "| step | way | time relative to ours | saves of the chain |",
        "|---|---|---|---|",
    ]
    for step, ways in seconds.items():
        ours = ways[OURS[step]]
        for name, found in ways.items():
            shown = f"**{name}**" if name == OURS[step] else name
            lines.append(f"| {step} | {shown} | {found / ours:.2f} | {100 * (ours - found) / chain:.1f} % |")
    return lines


def main() -> None:
    """Measure all ways and print the table, or be a run of several scans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--in-a-row", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scan:
        print(json.dumps(run_in_a_row(arguments.scan, arguments.in_a_row)))
        return
    with tempfile.TemporaryDirectory() as folder:
        scan, series = Path(folder) / "scan.nii.gz", Path(folder) / "series"
        write_scan(scan, tuple(arguments.shape), series)
        result = measure(scan, series, arguments.rounds)
    report("storage", result, _lines(result), arguments.output)


if __name__ == "__main__":
    main()
