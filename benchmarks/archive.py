"""An archive of synthetic series, segmented by one process, by two, and by two of which one is killed.

Writes the page with the figures, and what they say of a large archive. It ends in an error where a scan was done twice
or got lost, or where a mask differs between the runs.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

from dualtask.archive import FolderArchive, Records
from dualtask.archive.worker import shard_of
from dualtask.files import write_atomically
from dualtask.nifti import save_nifti
from dualtask.phantom.dicom import write_dicom_series
from dualtask.phantom.generator import generate_case
from dualtask.phantom.sites import SITES
from figures import sentence, surroundings

_CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
_FINISHED = re.compile(r"dualtask\.archive\.worker - INFO - (\S+): (done|refused|failed)\b", re.MULTILINE)
_SHORT = ("--inferer#flips", "[]", "--inferer#max_rounds", "1")
"""Options that make the passes over the many series short; the costs are measured without them."""

_LARGE = 100_000
_HOUR = 3600


def write_archive(folder: Path, series: int, matrix: int) -> None:
    """Synthetic scans of all sites in turn, files and DICOM series in equal numbers.

    Args:
        folder: gets a folder for each patient; all files have one name.
        series: their number.
        matrix: pixels per side of a slice.
    """
    for number in range(series):
        case = generate_case(
            list(SITES.values())[number % len(SITES)], seed=18, case=number // len(SITES), matrix=matrix
        )
        patient = folder / f"patient_{number:03d}"
        if number % 2:
            write_dicom_series(patient / f"1.2.840.{number}", case)
        else:
            save_nifti(patient / "scan.nii.gz", case.image, case.affine, "SYNTHETIC, not a patient")


def damage(folder: Path) -> None:
    """Cut one file off, take a slice out of one series, and let one scan have the same value everywhere."""
    files, series = sorted(folder.glob("*/scan.nii.gz")), sorted(folder.glob("*/1.2.840.*"))
    files[1].write_bytes(files[1].read_bytes()[: files[1].stat().st_size // 2])
    slices = sorted(series[2].iterdir())
    slices[len(slices) // 2].unlink()
    flat = nib.load(files[-1])
    save_nifti(files[-1], np.zeros(flat.shape, np.int16), flat.affine)


class Worker:
    """A process at one shard, with one thread."""

    def __init__(self, archive: Path, out: Path, shard: int, shards: int, options: Sequence[str]) -> None:
        out.mkdir(exist_ok=True)
        self.log = out / f"worker_{shard}_{time.monotonic_ns()}.log"
        configs = [str(_CONFIGS / name) for name in ("inference.json", "archive.json")]
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs)]
        command += ["--archive_dir", str(archive), "--output_dir", str(out)]
        command += ["--shard", str(shard), "--shards", str(shards), *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    def wait(self) -> None:
        """Wait for its end, which must be a good one."""
        if self.process.wait():
            raise RuntimeError(self.log.read_text()[-2000:])


@dataclass
class Run:
    """What came of the archive once.

    Attributes:
        out: the results.
        seconds: from the start of the first process to the end of the last.
        processor_seconds: of all its processes.
        memory: of the first process at even times, bytes.
    """

    out: Path
    seconds: float = 0.0
    processor_seconds: float = 0.0
    memory: list[int] = field(default_factory=list)

    def finished(self) -> Counter[str]:
        """How often each scan was finished, as the logs of all workers say."""
        return Counter(name for log in self.out.glob("*.log") for name, _ in _FINISHED.findall(log.read_text()))

    def outcomes(self) -> dict[str, str]:
        """Scan -> what the table says became of it."""
        return {row["scan"]: row["outcome"] for row in self.rows()}

    def rows(self) -> list[dict[str, str]]:
        """Rows of the table."""
        with (self.out / "scans.csv").open() as file:
            return list(csv.DictReader(file))

    def masks(self) -> dict[str, Path]:
        """Path below the results -> mask."""
        return {str(path.relative_to(self.out)): path for path in self.out.rglob("*_seg.nii.gz")}


def segment(archive: Path, out: Path, workers: int = 1, options: Sequence[str] = (), kill: bool = False) -> Run:
    """Segment an archive.

    Args:
        archive: folder of the scans.
        out: folder of the results.
        workers: processes, each with a shard of its own.
        options: further ones of their command.
        kill: kill the first one when it has done a third of its share, and start it again.
    """
    run, start, spent = Run(out), time.monotonic(), _spent()
    started = [Worker(archive, out, shard, workers, options) for shard in range(workers)]
    if kill:
        share = [name for name in FolderArchive(archive, out).names() if shard_of(name, workers) == 0]
        records = Records(out)
        while sum(records.read(name).get("outcome") == "done" for name in share) < len(share) // 3:
            time.sleep(0.05)
        started[0].process.kill()
        started[0].process.wait()
        started[0] = Worker(archive, out, 0, workers, options)
    process = psutil.Process(started[0].process.pid)
    while started[0].process.poll() is None:
        run.memory.append(process.memory_info().rss)
        time.sleep(0.5)
    for worker in started:
        worker.wait()
    run.seconds, run.processor_seconds = time.monotonic() - start, _spent() - spent
    return run


def _spent() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def check(run: Run, reference: Run, scans: Sequence[str]) -> None:
    """Compare a run with that of one process.

    Raises:
        RuntimeError: a scan was done twice or got lost, or a mask differs.
    """
    if run.finished() != Counter(scans):
        raise RuntimeError(
            f"not finished once each: {run.finished() - Counter(scans)}, {Counter(scans) - run.finished()}"
        )
    if run.outcomes() != reference.outcomes() or list(run.outcomes()) != sorted(scans):
        raise RuntimeError("the tables say different things")
    ours, theirs = run.masks(), reference.masks()
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"masks of one run only: {ours.keys() ^ theirs.keys()}")
    for name, path in ours.items():
        if not np.array_equal(nib.load(path).dataobj, nib.load(theirs[name]).dataobj):
            raise RuntimeError(f"{name} differs")


def time_bookkeeping(folder: Path, scans: int) -> float:
    """Seconds that a start with nothing left to do takes: the archive listed, all records read, the table written."""
    records = Records(folder / "out")
    for number in range(scans):
        path = folder / "archive" / f"{number // 1000}" / f"{number}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        records.write(str(path.relative_to(folder / "archive")), {"outcome": "done", "reason": "", "seconds": "1.000"})
    start = time.monotonic()
    for name in FolderArchive(folder / "archive", folder / "out").names():
        records.read(name)
    records.collect()
    return time.monotonic() - start


def throughput(runs: dict[str, Run], scans: int) -> list[str]:
    """Markdown table of the runs, against the first of them."""
    lines = ["| processes | seconds | scans a minute | against one process | processor seconds |"]
    lines.append("|---|---|---|---|---|")
    first = next(iter(runs.values()))
    for name, run in runs.items():
        ratio = first.seconds / run.seconds
        rate, spent = 60 * scans / run.seconds, run.processor_seconds
        lines.append(f"| {name} | {run.seconds:.0f} | {rate:.1f} | {ratio:.2f} | {spent:.0f} |")
    return lines


def cost(seconds: float, read: float, written: float) -> list[str]:
    """Markdown: what a large archive takes.

    Args:
        seconds: of a scan, one process with one thread.
        read, written: bytes of a scan and of its results.
    """
    lines = [f"| processes at once | hours for {_LARGE:,} series |", "|---|---|"]
    lines += [f"| {number} | {_LARGE * seconds / number / _HOUR:.1f} |" for number in (1, 8, 64, 256)]
    lines += ["", f"Disk: {_LARGE * read / 1e12:.1f} TB to read, {_LARGE * written / 1e9:.1f} GB to write."]
    return lines


def _size(paths: Sequence[Path]) -> int:
    return sum(file.stat().st_size for path in paths for file in (path.rglob("*") if path.is_dir() else [path]))


def page(place: Path, series: int, clinical: int, matrix: int, bookkept: int) -> str:
    """Make the archives, segment them, and put the figures into words."""
    busy, found = os.getloadavg()[0], {**surroundings(), "threads": 1}
    archive = place / "archive"
    write_archive(archive, series, matrix)
    damage(archive)
    scans = FolderArchive(archive, place / "one").names()
    runs = {
        "one": segment(archive, place / "one", 1, _SHORT),
        "two": segment(archive, place / "two", 2, _SHORT),
        "two, one of them killed and started again": segment(archive, place / "killed", 2, _SHORT, kill=True),
    }
    one, *others = runs.values()
    for run in (one, *others):
        check(run, one, scans)
    shares = Counter(shard_of(name, 2) for name in scans)
    outcomes = Counter(one.outcomes().values())
    quarters = " | ".join(f"{np.mean(part) / 2**20:.0f}" for part in np.array_split(one.memory, 4))

    large = place / "clinical"
    write_archive(large, clinical, 512)
    measured, again = (segment(large, place / "clinical_out") for _ in range(2))
    seconds = (measured.processor_seconds - again.processor_seconds) / clinical
    shape = " x ".join(str(side) for side in nib.load(next(large.glob("*/scan.nii.gz"))).shape)
    names = FolderArchive(large, place / "clinical_out").names()
    read = _size([large / name for name in names]) / len(names)
    written = _size([*measured.masks().values(), measured.out / "records"]) / len(names)
    kept = time_bookkeeping(place / "bookkeeping", bookkept)

    text = [
        "# Inference of an archive",
        "Written by `make archive-demo`, which ends in an error where one of these sentences is not true. "
        "[How to do it](../how-to/archive.md).",
        f"Machine: {sentence(found)}. Each process has one thread. Other work ran beside it: load {busy:.1f} before it "
        "began.",
        "## Two workers, one of them killed",
        f"{len(scans)} **synthetic** series of {matrix} x {matrix} pixels, half DICOM, {outcomes['refused']} of "
        "them damaged. One worker of two was killed (SIGKILL) after a third of its share and started again. Then each "
        f"of the {len(scans)} scans had been finished exactly once by the logs of the three processes; `scans.csv` "
        f"had a row for each of them, {outcomes['done']} done and {outcomes['refused']} refused with the reason; and "
        "every mask was the same, voxel by voxel, as that of one process.",
        "\n".join(throughput(runs, len(scans))),
        f"To be short, without mirror image and refinement (`{' '.join(_SHORT)}`). Times contain the start of Python "
        f"and of the networks. The shares were {shares[0]} and {shares[1]} scans: the name decides on the share.",
        "Seconds contain what else the machine did meanwhile, which on a shared machine changes from run to run: the "
        "gain of a second process shows only on a machine of one's own. Processor seconds show what several processes "
        "cost: a start each, and caches shared.",
        "Memory of the one process, which has one scan at a time:",
        f"| quarter of the time | 1st | 2nd | 3rd | 4th |\n|---|---|---|---|---|\n| MiB | {quarters} |",
        f"To list {bookkept:,} files, read their records and write the table, which is what a start with nothing left "
        f"to do does, took {kept:.1f} s.",
        f"## What {_LARGE:,} series take",
        f"**No GPU was measured.** {clinical} synthetic series of clinical size ({shape} and the like) took a process "
        f"with one thread of this machine {seconds:.1f} processor seconds each, with the default options, reading and "
        "writing included and the start left out. If every process has such a core to itself, and the disks keep up:",
        "\n".join(cost(seconds, read, written)),
        "On N GPUs with k processes on each: measure there what the column `seconds` of `scans.csv` says while all k "
        f"run; the hours are {_LARGE:,} x seconds / (N x k) / {_HOUR}. More processes on a GPU pay while `seconds` "
        "grows more slowly than k; reading, resampling and writing need processor cores, not the GPU.",
    ]
    return "\n\n".join(text) + "\n"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=60)
    parser.add_argument("--matrix", type=int, default=96, help="pixels per side of their slices")
    parser.add_argument("--clinical", type=int, default=4, help="series of clinical size for the costs")
    parser.add_argument("--bookkept", type=int, default=10_000, help="files for the time of the bookkeeping")
    parser.add_argument("--output", type=Path, help="page to write instead of printing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = page(Path(folder), arguments.series, arguments.clinical, arguments.matrix, arguments.bookkept)
    if arguments.output:
        write_atomically(arguments.output, lambda temporary: temporary.write_text(text))
    else:
        print(text)


if __name__ == "__main__":
    main()
