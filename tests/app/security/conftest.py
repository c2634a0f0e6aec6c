"""A stock MONAI Label server and the same server behind the gate, in this process. The scans are synthetic."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import torch
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils import app as instances
from monailabel.utils.async_tasks.task import AsyncTask
from openid_provider import new_key, running_provider
from small_server import STUDY, UPLOAD_LIMIT_MB, SmallApp, client_of, new_server, scan_bytes
from starlette.testclient import TestClient
from tls_server import running_tls_server, write_certificate

from lib.security import close
from lib.security.settings import SecuritySettings


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """That the identity provider signs with."""
    return new_key()


@pytest.fixture(scope="session")
def realm(key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an identity provider's realm."""
    with running_provider(key, tmp_path_factory.mktemp("provider")) as url:
        yield url


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of this machine, and its key."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def server(
    copied_repository: Path, synthetic_dataset: Path, realm, certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[requests.Session]:
    """A session with a server that speaks TLS and asks for tokens; its ``url`` is where it listens."""
    folder = tmp_path_factory.mktemp("closed")
    studies = shutil.copytree(synthetic_dataset / "imagesTr", folder / "studies")
    with running_tls_server(copied_repository, studies, folder, realm, certificate) as session:
        yield session


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "server" / "studies"
    folder.mkdir(parents=True)
    (folder / f"{STUDY}.nii").write_bytes(scan_bytes())
    return folder


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "server" / "app"
    (folder / "model").mkdir(parents=True)
    (folder / "logs").mkdir()
    (folder / "logs" / "app.log").write_text("a line\n")
    (folder / "main.py").write_text("print('the app')\n")
    torch.save(torch.nn.Linear(2, 1).state_dict(), folder / "model" / "model.pt")
    return folder


@pytest.fixture
def instance(studies: Path, app_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MONAILabelApp:
    """The app that both servers serve; its tasks start no process."""
    monkeypatch.setattr(AsyncTask, "run", lambda method, **options: ({"status": "SUBMITTED"}, None))
    monkeypatch.setattr(settings, "MONAI_LABEL_APP_DIR", str(app_folder))
    monkeypatch.setattr(settings, "MONAI_LABEL_STUDIES", str(studies))
    monkeypatch.setattr(settings, "MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    monkeypatch.setattr(settings, "MONAI_LABEL_SESSION_PATH", str(tmp_path / "server" / "sessions"))
    app = SmallApp(str(app_folder), str(studies), {"server_mode": "true"})
    monkeypatch.setattr(instances, "apps", {f"{app_folder}{studies}": app})
    return app


@pytest.fixture
def stock(instance: MONAILabelApp) -> TestClient:
    """A client of the server as MONAI Label ships it."""
    return client_of(new_server())


@pytest.fixture
def closed_server(instance: MONAILabelApp, app_folder: Path) -> FastAPI:
    app = new_server()
    close(app, str(app_folder), SecuritySettings(upload_limit_mb=UPLOAD_LIMIT_MB))
    return app


@pytest.fixture
def closed(closed_server: FastAPI) -> TestClient:
    """A client of the server behind the gate, on the same machine, without authentication."""
    return client_of(closed_server)


@pytest.fixture
def scan() -> bytes:
    return scan_bytes()


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[None]:
    """Fails the test when it changed or added a file anywhere but in the logs."""

    def files() -> dict[Path, bytes]:
        found = (path for path in tmp_path.rglob("*") if path.is_file() and "logs" not in path.parts)
        return {path: path.read_bytes() for path in found if path.name != ".lock"}

    before = files()
    yield
    assert files() == before
