"""How time and memory of ours grow: with the scan, the threads, the batch of a training step, the structures.

The first two run the bundle's inference on synthetic scans, each time in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from dualtask.inferers.precision import autocast
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.generator import generate_case
from dualtask.phantom.sites import SITES
from dualtask.structures import structure_masks
from dualtask.transforms import SignedDistanced
from figures import report
from inference import in_own_process, measure, write_scan
from memory import peak_gib
from parts import DEVICE, timed, training_parts

_SHAPES = [(256, 256, 50), (512, 512, 20), (512, 512, 50), (512, 512, 100), (512, 512, 200), (512, 512, 400)]
_THREADS = (1, 2)
_BATCHES = (1, 2, 4)
_STRUCTURES = (1, 2, 4, 8)


def by_scan(shapes: Sequence[tuple[int, int, int]], rounds: int) -> list[dict[str, Any]]:
    """Inference of scans of these shapes with one thread and with two."""
    with tempfile.TemporaryDirectory() as folder:
        scans = {shape: Path(folder) / f"{'x'.join(map(str, shape))}.nii.gz" for shape in shapes}
        for shape, scan in scans.items():
            write_scan(scan, shape)
        runs = list(product(shapes, _THREADS))
        measured = [
            {(shape, threads): measure("ours", scans[shape], threads=threads) for shape, threads in runs}
            for _ in range(rounds)
        ]
    return [
        {
            "shape": shape,
            "threads": threads,
            "seconds": statistics.median(sum(each[shape, threads]["stages"].values()) for each in measured),
            "peak": statistics.median(each[shape, threads]["peak"] for each in measured),
        }
        for shape, threads in runs
    ]


def training_step(batch: int, steps: int) -> dict[str, float]:
    """Seconds of forward, loss and backward of so many scans at once, and the peak memory of this process in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        write_decathlon(folder, [SITES["metro"]], cases_per_site=5, seed=4000, matrix=160)
        part = training_parts(folder)
        network, loss, prepare = part("train#trainer#network"), part("loss"), part("train#trainer#prepare_batch")
        draw, case = part("train#preprocessing"), part("cases")[0][0]
        drawn = [draw(case) for _ in range(batch)]
    samples = [sample[0] if isinstance(sample, list) else sample for sample in drawn]
    names = ("image", "label", "label_distance", "label_sites", "annotated", "known")
    views, targets = prepare({name: _stacked(samples, name) for name in names}, DEVICE, False)

    def step() -> None:
        with autocast(DEVICE, views.shape[-1]):
            heads = network(views)
        heads = heads.in_float32()
        sum(loss.weights[name] * term(heads, targets) for name, term in loss.terms.items()).backward()

    seconds = statistics.median([timed(step)[1] for _ in range(steps + 1)][1:])
    return {"seconds": seconds, "peak": peak_gib()}


def _stacked(samples: Sequence[Mapping[str, Any]], name: str) -> torch.Tensor:
    return torch.stack([torch.as_tensor(sample[name]) for sample in samples])


def by_structures(repeats: int) -> list[dict[str, float]]:
    """Seconds of the signed distances of so many structures on a crop."""
    label = generate_case(SITES["metro"], seed=4000, case=0, matrix=96).label[:64, :48, :40]
    organ = structure_masks(torch.from_numpy(label)[None])[:1]
    seconds: dict[int, list[float]] = {count: [] for count in _STRUCTURES}
    for _ in range(repeats):
        for count in _STRUCTURES:
            distances = SignedDistanced(keys="label", spacing=(3, 3, 3), truncation=[15.0] * count)
            sample = {"label": organ.repeat(count, 1, 1, 1)}
            seconds[count].append(timed(distances, sample)[1])
    return [{"structures": count, "seconds": statistics.median(values)} for count, values in seconds.items()]


def main() -> None:
    """Measure, and report the tables; or be one training step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two small scans, a round")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else 2
    if arguments.batch:
        print(json.dumps(training_step(arguments.batch, rounds)))
        return
    scans = by_scan([(96, 96, 20), (96, 96, 40)] if arguments.quick else _SHAPES, rounds)
    steps = [
        {"batch": batch, **in_own_process([sys.executable, __file__, "--batch", str(batch)])} for batch in _BATCHES
    ]
    result = {"inference": scans, "training step": steps, "distances": by_structures(5 * rounds)}
    report("scaling", result, _lines(result), arguments.output)


def _lines(result: Mapping[str, Any]) -> list[str]:
    scans, steps, distances = result["inference"], result["training step"], result["distances"]
    one = scans[0]["seconds"]
    lines = ["| scan | threads | time relative to the first | peak memory, GiB |", "|---|---|---|---|"]
    lines += [
        f"| {' x '.join(map(str, row['shape']))} | {row['threads']} | {row['seconds'] / one:.1f} | {row['peak']:.1f} |"
        for row in scans
    ]
    lines += ["", "| scans in a training step | time a scan relative to one | peak memory, GiB |", "|---|---|---|"]
    lines += [
        f"| {row['batch']} | {row['seconds'] / row['batch'] / steps[0]['seconds']:.2f} | {row['peak']:.1f} |"
        for row in steps
    ]
    lines += ["", "| structures | time of their signed distances relative to one |", "|---|---|"]
    lines += [f"| {row['structures']} | {row['seconds'] / distances[0]['seconds']:.1f} |" for row in distances]
    return lines


if __name__ == "__main__":
    main()
