"""The app in a server process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests
from monailabel.client import MONAILabelClient

from lib.dicomweb.orthanc import answers, free_port


def server_command(repository: Path, studies: Path | str, port: int) -> list[str]:
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


@contextmanager
def running_server(
    repository: Path, studies: Path | str, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve until the end of the block; gives the server's URL.

    Args:
        repository: with ``apps/dualtask`` and ``bundle``.
        studies: folder, or URL of a DICOM server.
        folder: where it runs and writes ``log.txt``.
        settings: environment variables.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            server_command(repository, studies, port),
            cwd=folder,
            env={**environment(folder), **(settings or {})},
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: process.poll() is not None or answers(f"{url}/info/"), seconds=180)
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


def finished(client: MONAILabelClient, task: str = "train") -> dict:
    """The task's record once it has ended."""

    def status() -> dict:
        return requests.get(f"{client.get_server_url()}/{task}/", timeout=10).json()

    wait_until(lambda: status()["status"] not in ("SUBMITTED", "RUNNING"), seconds=300)
    return status()
