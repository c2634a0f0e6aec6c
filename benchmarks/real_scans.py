"""The bundle's inference of given scans, stage by stage: seconds, memory, and how near to the time of reading the file.

Scans take turns in rounds. Each time a process of its own reads the file once with nibabel, and then runs the whole
chain from the file to the written mask by the transforms of ``inference.json``. For the smallest file the bundle's
command is run, too, once whole and once ending where it would read the scan: its start, of imports, configs, weights.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from dualtask import bundle_root
from figures import report
from inference import in_own_process, run_ours, write_scan
from memory import peak_gib, reset_peak
from parts import timed

_SYNTHETIC = (96, 96, 40)
_START = "['$@evaluator']"
"""In the place of what the command runs: everything is built, nothing read."""


def run_once(scan: Path) -> dict[str, Any]:
    """Wall and CPU seconds of reading a NIfTI file once as it is stored, and of the chain with each of its stages.

    The peak memory of a stage is the largest resident size of this process in GiB while it ran, whatever of it was
    there before.
    """
    peaks: dict[str, float] = {}

    def ended(stage: str) -> None:
        peaks[stage] = max(peaks.get(stage, 0.0), peak_gib())
        reset_peak()

    started = time.process_time()
    seconds = timed(lambda: np.asanyarray(nib.load(scan).dataobj))[1]
    read = {"seconds": seconds, "cpu": time.process_time() - started}
    reset_peak()
    started, started_cpu = time.perf_counter(), time.process_time()
    stages = run_ours(scan, ended)
    seconds = sum(stages.values())
    cpu = (time.process_time() - started_cpu) * seconds / (time.perf_counter() - started)
    return {"read once": read, "chain": {"seconds": seconds, "cpu": cpu}, "stages": stages, "peaks": peaks}


def command(scan: Path, *options: str) -> dict[str, float]:
    """Wall and CPU seconds of the bundle's command on a scan."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(bundle_root()) / "configs" / "inference.json"
        program = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome, seconds = timed(
            lambda: subprocess.run(
                [*program, "--datalist", f"['{scan.resolve()}']", "--output_dir", folder, *options],
                capture_output=True,
                text=True,
                check=False,
            )
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if outcome.returncode:
        raise SystemExit(f"{' '.join(outcome.args)} failed:\n{outcome.stderr}")
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def measure(scans: Sequence[Path], rounds: int) -> dict[str, Any]:
    """All figures of these scans."""
    smallest = min(scans, key=lambda scan: scan.stat().st_size)
    runs = []
    for _ in range(rounds):
        found = {scan: in_own_process([sys.executable, __file__, str(scan), "--once"]) for scan in scans}
        typed = {"start": command(smallest, "--run", _START), "whole": command(smallest)}
        runs.append({"scans": found, "command": typed})
    return {
        "rounds": rounds,
        "scans": {scan.name: _scan_row(scan, [run["scans"][scan] for run in runs]) for scan in scans},
        "command": {
            "scan": smallest.name,
            **{part: _medians([run["command"][part] for run in runs]) for part in ("start", "whole")},
        },
    }


def _scan_row(scan: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    header = nib.load(scan).header
    return {
        "shape": list(header.get_data_shape()),
        "spacing": [round(float(side), 3) for side in header.get_zooms()],
        "MB": scan.stat().st_size / 1e6,
        **{figure: _medians([run[figure] for run in runs]) for figure in runs[0]},
    }


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _lines(result: Mapping[str, Any]) -> list[str]:
    scans, start, whole = result["scans"], result["command"]["start"], result["command"]["whole"]
    stages = list(dict.fromkeys(stage for row in scans.values() for stage in row["stages"]))
    lines = [
        f"Median of {result['rounds']} rounds. Share of the chain's time, and largest resident memory of the process:",
        "",
        f"| stage | {' | '.join(scans)} |",
        "|---" * (1 + len(scans)) + "|",
    ]
    for stage in stages:
        cells = (
            f"{100 * row['stages'][stage] / row['chain']['seconds']:.0f} %, {row['peaks'][stage]:.1f} GiB"
            if stage in row["stages"]
            else "-"
            for row in scans.values()
        )
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    lines += [
        "",
        "| scan | voxels | mm | MB | chain, s | chain relative to reading the file once | the same of CPU time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in scans.items():
        voxels, spacing = " x ".join(map(str, row["shape"])), " x ".join(f"{side:.2f}" for side in row["spacing"])
        ratios = (row["chain"][unit] / row["read once"][unit] for unit in ("seconds", "cpu"))
        lines.append(
            f"| {name} | {voxels} | {spacing} | {row['MB']:.1f} | {row['chain']['seconds']:.1f} "
            f"| {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"
        )
    return [
        *lines,
        "",
        f"The command on {result['command']['scan']}: {whole['seconds']:.1f} s ({whole['cpu']:.1f} s of CPU), of which "
        f"{100 * start['seconds'] / whole['seconds']:.0f} % ({100 * start['cpu'] / whole['cpu']:.0f} %) pass before it "
        "reads the scan.",
    ]


def main() -> None:
    """Measure, and report the tables, or be one of the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="*", help="NIfTI files; a small synthetic one if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(run_once(*arguments.scans)))
        return
    with tempfile.TemporaryDirectory() as folder:
        synthetic = Path(folder) / "synthetic.nii.gz"
        if not arguments.scans:
            write_scan(synthetic, _SYNTHETIC)
        result = measure(arguments.scans or [synthetic], arguments.rounds)
    report("real scans", result, _lines(result), arguments.output)


if __name__ == "__main__":
    main()
