"""The server as it is started: with TLS and authentication, and refused where it would be open."""

from __future__ import annotations

import importlib.util
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from openid_provider import PASSWORD, new_key, token
from small_server import new_server

from battery.servers import environment, server_command, wait_until
from dualtask.errors import InputError
from lib.dicomweb.orthanc import free_port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of this machine, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, name, now = (
        new_key(),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]),
        datetime.now(UTC),
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def server(
    copied_repository: Path, synthetic_dataset: Path, realm, certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[requests.Session]:
    """A session with a server that speaks TLS and asks for tokens; its ``url`` is where it listens."""
    folder, port = tmp_path_factory.mktemp("closed"), free_port()
    command = server_command(
        copied_repository, shutil.copytree(synthetic_dataset / "imagesTr", folder / "studies"), port
    )
    tls = ["--ssl_certfile", str(certificate[0]), "--ssl_keyfile", str(certificate[1])]
    settings = {
        "MONAI_LABEL_AUTH_ENABLE": "true",
        "MONAI_LABEL_AUTH_REALM_URI": realm,
        "DUALTASK_AUDIT_LOG": str(folder / "audit.jsonl"),
    }
    session = requests.Session()
    session.headers["Connection"] = "close"  # or the server would wait for this side when it is stopped
    session.trust_env = False  # a bundle of certificates named in the environment would win over ours
    session.verify, session.url, session.folder = str(certificate[0]), f"https://127.0.0.1:{port}", folder
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            [*command, *tls], cwd=folder, env={**environment(folder), **settings}, stdout=log, stderr=log
        )
        try:
            wait_until(lambda: process.poll() is not None or listens(session), seconds=120)
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield session
        finally:
            process.terminate()
            process.wait(20)


def listens(session: requests.Session) -> bool:
    try:
        return session.get(f"{session.url}/auth/", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_server_speaks_tls_alone(server, certificate):
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{server.url}/auth/", timeout=10)  # the certificate is not one that the system trusts
    with pytest.raises(requests.RequestException):
        requests.get(f"{server.url.replace('https', 'http')}/auth/", timeout=10)
    assert ssl.get_server_certificate(("127.0.0.1", int(server.url.rpartition(":")[2]))) == certificate[0].read_text()


def test_viewer_is_served_and_patients_are_not(server):
    assert "<title>OHIF" in server.get(f"{server.url}/ohif/", timeout=10).text
    for path in ("/info/", "/datastore/?output=all", "/datastore/image?image=metro_000", "/openapi.json", "/logs/"):
        assert server.get(server.url + path, timeout=10).status_code == 401
    assert server.post(f"{server.url}/reload", timeout=10).status_code == 401


def test_administrator_reloads_and_the_server_answers_on(server, key, realm):
    def ask(role: str, method: str, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token(key, realm, role)}"}
        return server.request(method, server.url + path, headers=headers, timeout=60)

    assert ask("reviewer", "POST", "/reload").status_code == 403
    assert ask("admin", "POST", "/reload").status_code == 200
    assert ask("user", "POST", "/activelearning/first").json()["id"]
    assert ask("nobody", "GET", "/info/").status_code == 403


def test_browser_signs_in_by_a_cookie_that_only_tls_carries(server):
    form = {"username": "user", "password": PASSWORD}
    answer = server.post(f"{server.url}/auth/sign-in", data=form, allow_redirects=False, timeout=10)
    assert "Secure" in answer.headers["set-cookie"]
    assert server.get(f"{server.url}/info/", timeout=30).status_code == 200
    server.cookies.clear()


def test_what_was_done_is_on_record(server):
    server.get(f"{server.url}/info/", timeout=10)
    lines = [json.loads(line) for line in (server.folder / "audit.jsonl").read_text().splitlines()]
    assert lines[-1]["user"] == "nobody"
    assert lines[-1]["status"] == 401


def test_app_of_a_server_that_would_be_open_does_not_start(
    app_dir: Path, bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    specification = importlib.util.spec_from_file_location("dualtask_app", app_dir / "main.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "monailabel.app", SimpleNamespace(app=new_server()))
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    monkeypatch.setattr(sys, "argv", ["monailabel", "start_server", "--app", str(app_dir), "--host", "0.0.0.0"])
    with pytest.raises(InputError, match=r"does not listen on 0\.0\.0\.0"):
        module.DualTaskApp(str(tmp_path / "app"), str(tmp_path / "studies"), {"bundle": str(bundle.root)})
    assert not (tmp_path / "app").exists()
    assert sys.tracebacklimit == 0  # the server prints the sentence alone
