"""Real server processes on this machine, which can be killed and starved of disk."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import requests

from lib.dicomweb.orthanc import answers, free_port


def server_command(repository: Path, studies: Path | str, port: int) -> list[str]:
    """Starts the app of a repository on a folder of studies, or on a DICOM server."""
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(repository / "apps" / "dualtask")]
    return [*command, "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]


def environment(folder: Path) -> dict[str, str]:
    """One thread per process, sessions in ``folder`` instead of the home directory, and scoring only when asked for."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
    }


class Server:
    """A server of the app on this machine.

    Args:
        repository: the app and the bundle side by side; trained weights are written beside the app.
        studies: folder of scans, or URL of a DICOM server.
        folder: where it runs, for its log and sessions.
        settings: further environment variables.
    """

    def __init__(
        self, repository: Path, studies: Path | str, folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log.txt"
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                server_command(repository, studies, port),
                cwd=folder,
                env={**environment(folder), **(settings or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        wait_until(lambda: self.process.poll() is not None or answers(f"{self.url}/info/"), seconds=180)
        assert self.process.poll() is None, self._log.read_text()

    def kill(self) -> None:
        """Kill -9, with the processes of its tasks."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @contextmanager
    def files_of_at_most(self, size: int) -> Iterator[None]:
        """Let no file that the running server writes grow beyond so many bytes, as on a full disk."""
        soft, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def model(self) -> str:
        """Name of the only model that segments by itself."""
        (model,) = (name for name, model in self._info()["models"].items() if model["type"] == "segmentation")
        return model

    def train(self, epochs: int) -> None:
        """Start a training of that model."""
        requests.post(f"{self.url}/train/{self.model()}", json={"max_epochs": epochs}, timeout=60).raise_for_status()

    def kill_training(self) -> None:
        """Kill -9 of the processes that train, and of no other."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            process.kill()
        self.ended("train")

    def stop_training(self) -> None:
        """Stop the training, as a viewer does."""
        requests.delete(f"{self.url}/train/", timeout=60).raise_for_status()
        self.ended("train")

    def score(self) -> None:
        """Start the scoring of the studies."""
        requests.post(f"{self.url}/scoring/scans", json={}, timeout=60).raise_for_status()

    def training(self) -> dict[str, Any]:
        """What the server says of the newest training."""
        (stats,) = self._info()["train_stats"].values()
        return stats["training"]

    def _info(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/info/", timeout=60).json()

    def ended(self, task: str) -> str:
        """Status of a task once it has ended."""

        return finished(self.url, task)["status"]

    def save_label(self, study: str, label: Path) -> requests.Response:
        """Save a final label."""
        with label.open("rb") as file:
            parameters = {"image": study, "tag": "final"}
            return requests.put(f"{self.url}/datastore/label", params=parameters, files={"label": file}, timeout=60)

    def labelled(self) -> set[str]:
        """Studies of which the server lists a final label."""
        objects = requests.get(f"{self.url}/datastore/", params={"output": "all"}, timeout=60).json()["objects"]
        return {study for study, entry in objects.items() if "final" in entry["labels"]}

    def label(self, study: str) -> np.ndarray:
        """Voxels of the final label, as a viewer gets it."""
        answer = requests.get(f"{self.url}/datastore/label", params={"label": study, "tag": "final"}, timeout=60)
        answer.raise_for_status()
        return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(answer.content)).dataobj)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Raises AssertionError when it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def finished(url: str, task: str = "train") -> dict[str, Any]:
    """A server's record of a task once it has ended."""

    def record() -> dict[str, Any]:
        return requests.get(f"{url}/{task}/", timeout=60).json()

    wait_until(lambda: record()["status"] not in ("SUBMITTED", "RUNNING"), seconds=300)
    return record()


@contextmanager
def started(repository: Path, studies: Path, folders: Sequence[Path]) -> Iterator[list[Server]]:
    """Servers on one folder of studies, which are killed at the end if they still run."""
    with ExitStack() as stack:
        servers = []
        for folder in folders:
            servers.append(Server(repository, studies, folder))
            stack.callback(servers[-1].kill)
        for server in servers:
            server.wait_until_it_answers()
        yield servers
