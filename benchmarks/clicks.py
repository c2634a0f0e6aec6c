"""How soon a click is answered: by a server, from the request to the mask, the first click on a scan and later ones.

    PYTHONPATH=bundle:apps/dualtask:tests:research python benchmarks/clicks.py --studies FOLDER [--output FILE.json]

A simulated annotator clicks where most of the organ is wrong. The scans are synthetic (``make clicks`` makes them).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import requests

from battery.fixtures import copied_repository
from battery.servers import Server, started
from dualtask.scans import decathlon_datalist
from dualtask.scans.labels import LABEL_NAMES
from dualtask_research.clicks.annotator import next_click
from figures import report

_CLICKS = 5


def answer(server: Server, study: str, points: dict[str, list[Sequence[int]]]) -> tuple[np.ndarray, float]:
    """The mask with some points, and the seconds until it is here."""
    began = time.monotonic()
    response = requests.post(
        f"{server.url}/infer/clicks",
        params={"image": study, "output": "image"},
        data={"params": json.dumps({**points, "result_extension": ".nii"})},
        timeout=600,
    )
    seconds = time.monotonic() - began
    response.raise_for_status()
    return np.asarray(nib.Nifti1Image.from_bytes(response.content).dataobj), seconds


def seconds_of_clicks(server: Server, study: str, reference: nib.Nifti1Image) -> list[float]:
    """Seconds of each click on a study that the server has not seen yet."""
    label = np.asarray(reference.dataobj)
    points: dict[str, list[Sequence[int]]] = {name: [] for name in LABEL_NAMES}
    click: tuple[int, ...] | None = tuple(np.argwhere(label == 1)[0].tolist())
    seconds = []
    while click is not None and len(seconds) <= _CLICKS:
        points[LABEL_NAMES[int(label[click])]].append(click)
        mask, took = answer(server, study, points)
        seconds.append(took)
        click = next_click(label > 0, mask > 0, reference.header.get_zooms()[:3])
    return seconds


def main() -> None:
    """Measure, and report the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=Path, required=True, help="Decathlon folder")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    cases = decathlon_datalist(arguments.studies)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "studies").mkdir()
        for case in cases:
            shutil.copy(case["image"], place / "studies")
        repository = copied_repository(place / "repository")
        with started(repository, place / "studies", [place / "server"]) as (server,):
            answer(server, Path(cases[0]["image"]).name.removesuffix(".nii.gz"), {})  # the server's own start
            clicked = {
                name: seconds_of_clicks(server, name, nib.load(case["label"]))
                for case in cases[1:]
                for name in [Path(case["image"]).name.removesuffix(".nii.gz")]
            }
    first = [seconds[0] for seconds in clicked.values()]
    later = [took for seconds in clicked.values() for took in seconds[1:]]
    result: dict[str, Any] = {
        "scans": len(clicked),
        "first": statistics.median(first),
        "later": statistics.median(later),
        "later, 95 %": float(np.percentile(later, 95)),
        "later, longest": max(later),
        "first / later": statistics.median(first) / statistics.median(later),
        "seconds": clicked,
    }
    lines = [
        f"| answer to a click, {len(clicked)} synthetic scans | s |",
        "|---|---|",
        f"| the first on a scan, which runs the network: median | {result['first']:.2f} |",
        f"| a later one ({len(later)}): median | {result['later']:.2f} |",
        f"| ... 95 % | {result['later, 95 %']:.2f} |",
        f"| ... longest | {result['later, longest']:.2f} |",
    ]
    report("clicks", result, lines, arguments.output)


if __name__ == "__main__":
    main()
