"""The app in a server process of its own that speaks TLS and asks for tokens."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from openid_provider import new_key

from battery.servers import environment, server_command, wait_until
from lib.dicomweb.orthanc import free_port


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of this machine, and its key."""
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


@contextmanager
def running_tls_server(
    repository: Path, studies: Path, folder: Path, realm: str, certificate: tuple[Path, Path]
) -> Iterator[requests.Session]:
    """Serve until the end of the block; gives a session that trusts the server, with its ``url`` and ``folder``.

    Args:
        repository: with ``apps/dualtask`` and ``bundle``.
        studies: folder.
        folder: where it runs and writes ``log.txt`` and ``audit.jsonl``.
        realm: URL of the identity provider's.
        certificate: see :func:`write_certificate`.
    """
    port = free_port()
    command = server_command(repository, studies, port)
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
            wait_until(lambda: process.poll() is not None or _listens(session), seconds=120)
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield session
        finally:
            process.terminate()
            process.wait(20)


def _listens(session: requests.Session) -> bool:
    try:
        return session.get(f"{session.url}/auth/", timeout=5).ok
    except requests.ConnectionError:
        return False
