"""Orthanc as a process of ours, for this machine alone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

from dualtask.errors import InputError

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_FOLDERS = os.pathsep.join((os.defpath, "/usr/sbin", "/usr/local/sbin"))
_USER = "dualtask"
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class DicomServer:
    """Where a running DICOM server is, and what opens it."""

    url: str
    password: str
    user: str = _USER

    @property
    def environment(self) -> dict[str, str]:
        """What the app must find in its environment to use the server."""
        return {"MONAI_LABEL_DICOMWEB_USERNAME": self.user, "MONAI_LABEL_DICOMWEB_PASSWORD": self.password}

    def client(self) -> DICOMwebClient:
        """A client of the server."""
        return DICOMwebClient(self.url, session=create_session_from_user_pass(self.user, self.password))


def find_orthanc() -> str:
    """The program.

    Raises:
        InputError: it or its DICOMweb plug-in is not installed.
    """
    program = shutil.which("Orthanc", path=os.environ.get("PATH", "") + os.pathsep + _FOLDERS)
    if program is None or not _PLUGIN.exists():
        raise InputError(
            "Orthanc and its DICOMweb plug-in are not installed: run `apt-get install orthanc orthanc-dicomweb` as "
            "root on Debian or Ubuntu, or start the app on the URL of another DICOMweb server."
        )
    return program


def free_port(wanted: int = 0) -> int:
    """A port of this machine that nobody listens on: the wanted one, or any for 0.

    Raises:
        InputError: the wanted one is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise InputError(f"Port {wanted} is taken: choose another one, or 0 for any.") from error
        return listener.getsockname()[1]


@contextmanager
def running_orthanc(folder: Path, port: int) -> Iterator[DicomServer]:
    """Run Orthanc until the end of the block.

    Orthanc 1.10 listens on all addresses; it answers this machine alone, by a password that is new each time.

    Args:
        folder: of its settings, its log and the instances, which are there again at the next start.
        port: of this machine, see :func:`free_port`.

    Raises:
        InputError: it is not installed or does not start.
    """
    program = find_orthanc()
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe()
    settings = {
        "Name": "dualtask",
        "StorageDirectory": str(folder / "instances"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {_USER: password},
        "DicomServerEnabled": False,
        "OverwriteInstances": False,
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    file, log = folder / "orthanc.json", folder / "orthanc.log"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(settings, indent=1))
    with open(log, "w") as output:
        process = subprocess.Popen([program, str(file)], stdout=output, stderr=output)
    try:
        server = DicomServer(f"http://127.0.0.1:{port}/dicom-web", password)
        _wait(process, server, log)
        yield server
    finally:
        process.terminate()
        process.wait()


def answers(url: str, authentication: tuple[str, str] | None = None) -> bool:
    """Whether a server answers a request with success within 5 s."""
    try:
        return requests.get(url, auth=authentication, timeout=5).ok
    except requests.RequestException:
        return False


def _wait(process: subprocess.Popen, server: DicomServer, log: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not answers(f"{server.url}/studies", (server.user, server.password)):
        if process.poll() is not None or time.monotonic() > end:
            raise InputError(f"Orthanc does not start: {log} says why.")
        time.sleep(0.2)
