"""What stands in the way of a local DICOM server is told in a sentence."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dualtask.errors import InputError
from lib.dicomweb import orthanc
from lib.dicomweb.series import push_series


def test_missing_orthanc_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(orthanc, "_PLUGIN", tmp_path / "libOrthancDicomWeb.so")
    with (
        pytest.raises(InputError, match="apt-get install orthanc orthanc-dicomweb"),
        orthanc.running_orthanc(tmp_path, 0),
    ):
        pass


def test_taken_port_is_named():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} is taken"):
            orthanc.free_port(port)


def test_dicom_server_that_ends_at_once_names_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(orthanc, "find_orthanc", lambda: "false")
    with pytest.raises(InputError, match=str(tmp_path / "orthanc.log")), orthanc.running_orthanc(tmp_path, 1):
        pass


def test_folder_without_series_is_named(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no DICOM")
    with pytest.raises(InputError, match=f"no DICOM file in {tmp_path}"):
        push_series(tmp_path, client=None)
