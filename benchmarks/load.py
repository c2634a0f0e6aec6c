"""Eight annotators at one server: how often it errs, how long it takes, whether its memory grows.

    PYTHONPATH=bundle:apps/dualtask:tests python benchmarks/load.py [--minutes 3] [--output docs/reference/load.md]

Each annotator does what a viewer does, again and again without a pause: ask for the next study, fetch it, have it
segmented, save the label, look at the lists. Eight requests without a pause stand for the minutes that a person takes
to correct a label, so that three minutes here are more requests than half an hour of work. The studies are synthetic.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import requests

from battery.fixtures import copied_repository, synthetic_dataset
from battery.servers import Server, started

_TIMEOUT = 60
_SAMPLES_OF_MEMORY = 60


class Load:
    """Requests of all annotators, with what came of them.

    Attributes:
        seconds: request -> latencies.
        errors: sentences of requests that failed.
    """

    def __init__(self, server: Server, labels: Path) -> None:
        self.server, self.labels, self.model = server, labels, server.model()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self._lock = threading.Lock()

    def ask(self, name: str, method: str, path: str, **options: object) -> requests.Response | None:
        """One request; None if it failed."""
        start = time.monotonic()
        try:
            answer = requests.request(method, self.server.url + path, timeout=_TIMEOUT, **options)
            error = "" if answer.ok else f"{name}: {answer.status_code} {answer.text[:200]}"
        except requests.RequestException as failure:
            answer, error = None, f"{name}: {type(failure).__name__}"
        with self._lock:
            self.seconds[name].append(time.monotonic() - start)
            if error:
                self.errors.append(error)
        return None if error else answer

    def round(self, annotator: str) -> None:
        """What one annotator does with one study."""
        answer = self.ask("next study", "POST", "/activelearning/random", json={"client_id": annotator})
        listed = self.ask("list of studies", "GET", "/datastore/")
        study = (answer.json() if answer else {}).get("id") or sorted(self.labels.iterdir())[0].name.split(".")[0]
        if listed is None:
            return
        self.ask("scan", "GET", "/datastore/image", params={"image": study})
        self.ask("proposal", "POST", f"/infer/{self.model}", params={"image": study, "output": "image"})
        with (self.labels / f"{study}.nii.gz").open("rb") as file:
            options = {"params": json.dumps({"client_id": annotator})}
            parameters = {"image": study, "tag": "final"}
            self.ask("save", "PUT", "/datastore/label", params=parameters, data=options, files={"label": file})
        self.ask("label", "GET", "/datastore/label", params={"label": study, "tag": "final"})
        self.ask("information", "GET", "/info/")
        self.ask("table of proposals", "GET", "/proposals/table.csv")


def measure(server: Server, labels: Path, annotators: int, seconds: float) -> tuple[Load, list[int]]:
    """Load a server.

    Returns:
        what came of the requests, and the server's memory in bytes at even intervals.
    """
    load, memory, process = Load(server, labels), [], psutil.Process(server.process.pid)
    load.round("first")  # compiles, fills caches
    load.seconds.clear()
    end = time.monotonic() + seconds

    def annotate(number: int) -> None:
        while time.monotonic() < end:
            load.round(f"annotator {number}")

    def watch() -> None:
        while time.monotonic() < end:
            memory.append(process.memory_info().rss)
            time.sleep(seconds / _SAMPLES_OF_MEMORY)

    with ThreadPoolExecutor(annotators + 1) as pool:
        for task in [pool.submit(watch), *(pool.submit(annotate, number) for number in range(annotators))]:
            task.result()
    return load, memory


def table(load: Load, memory: list[int]) -> str:
    """Markdown: latencies of each request, errors and memory."""
    lines = ["| request | number | median s | 95 % s | 99 % s |", "|---|---|---|---|---|"]
    for name, seconds in load.seconds.items():
        shown = " | ".join(f"{value:.3f}" for value in np.percentile(seconds, (50, 95, 99)))
        lines.append(f"| {name} | {len(seconds)} | {shown} |")
    quarters = " | ".join(f"{np.mean(part) / 2**20:.0f}" for part in np.array_split(memory, 4))
    lines += ["", f"{sum(map(len, load.seconds.values()))} requests, **{len(load.errors)} errors**.", ""]
    lines += ["| quarter of the time | 1st | 2nd | 3rd | 4th |", "|---|---|---|---|---|"]
    lines += [f"| the server's memory, MiB | {quarters} |"]
    return "\n".join(lines)


def _title(annotators: int, minutes: float, load: Load) -> str:
    studies = len(load.seconds["save"])
    return (
        "# Load\n\nWritten by `benchmarks/load.py`, which says what is asked. A few small synthetic studies, "
        f"{annotators} annotators\n"
        f"without a pause for {minutes:g} minutes, {psutil.cpu_count()} processor cores, no GPU. They annotate "
        f"{studies} times:\nwith a minute for each study that is {studies / annotators:.0f} minutes of work."
    )


def main() -> None:
    """Start a server on synthetic studies, load it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--output", type=Path, help="page to write instead of printing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        repository, dataset = copied_repository(place / "repository"), synthetic_dataset(place / "dataset")
        with started(repository, dataset / "imagesTr", [place / "server"]) as (server,):
            load, memory = measure(server, dataset / "labelsTr", arguments.annotators, arguments.minutes * 60)
    text = "\n\n".join([_title(arguments.annotators, arguments.minutes, load), table(load, memory), *load.errors[:10]])
    if arguments.output:
        arguments.output.write_text(f"{text}\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
