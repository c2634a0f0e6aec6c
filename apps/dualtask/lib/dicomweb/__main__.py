"""Start a local DICOM server with some series, and the annotation server on it; both end together."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dualtask.errors import InputError
from lib.dicomweb.orthanc import DicomServer, answers, free_port, running_orthanc
from lib.dicomweb.series import push_series

_APP = Path(__file__).resolve().parents[2]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lib.dicomweb", description=__doc__)
    parser.add_argument("--series", type=Path, required=True, help="folder with DICOM series, at any depth")
    parser.add_argument("--folder", type=Path, required=True, help="folder for the DICOM server and its copies")
    parser.add_argument("--port", type=int, default=8000, help="of the annotation server, 0 for any")
    parser.add_argument("--dicom-port", type=int, default=8043, help="of the DICOM server, 0 for any")
    return parser.parse_args()


def _serve(arguments: argparse.Namespace) -> int:
    port = free_port(arguments.port)
    with running_orthanc(arguments.folder.resolve() / "orthanc", free_port(arguments.dicom_port)) as server:
        stored = push_series(arguments.series, server.client())
        print(f"DICOM server: {server.url}, {stored} series new", flush=True)
        process = _start_app(server, arguments.folder.resolve(), port)
        try:
            _announce(process, f"http://127.0.0.1:{port}/ohif/")
            return process.wait()
        finally:
            process.terminate()
            process.wait()


def _start_app(server: DicomServer, folder: Path, port: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(_APP), "--studies", server.url]
    copies = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(folder / "copies")}
    environment = {**os.environ, **server.environment, **copies}
    return subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], env=environment)


def _announce(process: subprocess.Popen, viewer: str) -> None:
    while process.poll() is None and not answers(viewer):
        time.sleep(0.5)
    if process.poll() is None:
        print(f"\nOpen {viewer} in a browser, choose a study and MONAI Label. Ctrl-C ends both.\n", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        sys.exit(_serve(_arguments()))
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(0)
