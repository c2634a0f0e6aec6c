"""How soon the server answers: at its start, the first proposal, other requests meanwhile, several clients.

    PYTHONPATH=bundle:apps/dualtask:tests python benchmarks/responsiveness.py [--quick] [--output FILE.json]

The studies are synthetic: two scans of many voxels, and a few small ones for the clients of the last table.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import requests

from battery.fixtures import copied_repository, synthetic_dataset
from battery.servers import Server, started
from figures import report
from inference import write_scan
from load import measure

_CLIENTS = (1, 2, 4, 8)
_ASKING = 4
_QUESTIONS = (("GET", "/info/"), ("GET", "/datastore/"), ("GET", "/proposals/table.csv"), ("GET", "/logs/?lines=10"))


def start_up(repository: Path, studies: Path, folder: Path, starts: int) -> list[float]:
    """Seconds from the command to the first answer."""
    seconds = []
    for number in range(starts):
        began = time.monotonic()
        with started(repository, studies, [folder / f"start_{number}"]):
            seconds.append(time.monotonic() - began)
    return seconds


def proposal(server: Server, study: str) -> float:
    """Seconds until the mask of a study is here."""
    began = time.monotonic()
    answer = requests.post(
        f"{server.url}/infer/{server.model()}", params={"image": study, "output": "image"}, timeout=600
    )
    answer.raise_for_status()
    return time.monotonic() - began


def answers_meanwhile(server: Server, study: str) -> list[float]:
    """Seconds of the requests of several clients while a study is segmented for another one."""
    seconds: list[float] = []
    ready = threading.Event()

    def ask(number: int) -> None:
        method, path = _QUESTIONS[number % len(_QUESTIONS)]
        while not ready.is_set():
            began = time.monotonic()
            requests.request(method, server.url + path, timeout=60).raise_for_status()
            seconds.append(time.monotonic() - began)
            time.sleep(0.1)

    with ThreadPoolExecutor(_ASKING) as pool:
        asked = [pool.submit(ask, number) for number in range(_ASKING)]
        try:
            proposal(server, study)
        finally:
            ready.set()
        for each in asked:
            each.result()
    return seconds


def main() -> None:
    """Measure, and report the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small scans, few requests")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    thin, large = ((64, 64, 20), (96, 96, 40)) if arguments.quick else ((512, 512, 20), (512, 512, 200))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        repository, dataset = copied_repository(place / "repository"), synthetic_dataset(place / "dataset")
        studies = place / "studies"
        studies.mkdir()
        write_scan(studies / "thin.nii.gz", thin)
        write_scan(studies / "large.nii.gz", large)
        starts = start_up(repository, studies, place, 1 if arguments.quick else 3)
        with started(repository, studies, [place / "server"]) as (server,):
            first, stored = proposal(server, "thin"), proposal(server, "thin")
            meanwhile = answers_meanwhile(server, "large")
        small = Path(shutil.copytree(dataset / "imagesTr", place / "small"))
        rates = {}
        with started(repository, small, [place / "throughput"]) as (server,):
            for clients in _CLIENTS:
                done, _ = measure(server, dataset / "labelsTr", clients, seconds=5 if arguments.quick else 20)
                every = [seconds for requests_ in done.seconds.values() for seconds in requests_]
                rates[clients] = {
                    "requests": len(every),
                    "errors": len(done.errors),
                    "studies a minute": 60 * len(done.seconds["save"]) / (5 if arguments.quick else 20),
                    "median": statistics.median(every),
                    "95 %": float(np.percentile(every, 95)),
                }
    result = {
        "start": statistics.median(starts),
        "thin": {"shape": thin, "first": first, "stored": stored},
        "meanwhile": {
            "shape": large,
            "requests": len(meanwhile),
            "median": statistics.median(meanwhile),
            "95 %": float(np.percentile(meanwhile, 95)),
            "longest": max(meanwhile),
        },
        "clients": rates,
    }
    report("responsiveness", result, _lines(result), arguments.output)


def _lines(result: Mapping[str, Any]) -> list[str]:
    thin, meanwhile = result["thin"], result["meanwhile"]
    lines = ["| what | s |", "|---|---|"]
    lines += [f"| from the command to the first answer | {result['start']:.1f} |"]
    sides = " x ".join(map(str, thin["shape"]))
    lines += [f"| first proposal for a scan of {sides} voxels | {thin['first']:.1f} |"]
    lines += [f"| the same proposal again | {thin['stored']:.2f} |"]
    sides = " x ".join(map(str, meanwhile["shape"]))
    lines += [
        f"| other requests while a scan of {sides} is segmented ({meanwhile['requests']} of {_ASKING} clients): median "
        f"| {meanwhile['median']:.3f} |",
        f"| ... 95 % | {meanwhile['95 %']:.3f} |",
        f"| ... longest | {meanwhile['longest']:.3f} |",
        "",
        "| clients without a pause | studies annotated a minute | median s of a request | 95 % s | errors |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {clients} | {rate['studies a minute']:.0f} | {rate['median']:.3f} | {rate['95 %']:.3f} | {rate['errors']} |"
        for clients, rate in result["clients"].items()
    ]
    return lines


if __name__ == "__main__":
    main()
