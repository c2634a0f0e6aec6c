"""An OpenID provider in the manner of Keycloak, small enough for tests, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "monailabel-app"
PASSWORD = "correct horse"
KEY_ID = "key-1"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def token(key: Any, realm: str, role: str = "user", algorithm: str = "RS256", kid: str = KEY_ID, **changes: Any) -> str:
    """A token as Keycloak writes it; a change of None leaves a claim out."""
    claims = {
        "iss": realm,
        "aud": "account",
        "azp": CLIENT_ID,
        "exp": int(time.time()) + 300,
        "iat": int(time.time()),
        "preferred_username": f"{role} 1",
        "realm_access": {"roles": ["offline_access", f"monailabel-{role}"]},
        **changes,
    }
    stated = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(stated, key, algorithm=algorithm, headers={"kid": kid})


@contextmanager
def running_provider(key: rsa.RSAPrivateKey, folder: Path) -> Iterator[str]:
    """Yields the URL of the realm of a provider that publishes the public half of the key."""
    pem = folder / "provider.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    command = [sys.executable, "-c", "import sys, openid_provider; openid_provider.serve(sys.argv[1])", str(pem)]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def serve(pem: str) -> None:
    """Serve for ever, once the URL of the realm is printed."""
    key = serialization.load_pem_private_key(Path(pem).read_bytes(), None)
    published = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": KEY_ID, "use": "sig"}

    class Realm(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("/.well-known/openid-configuration"):
                self.answer(200, {"issuer": realm, "jwks_uri": f"{realm}/certs", "token_endpoint": f"{realm}/token"})
            elif self.path.endswith("/certs"):
                self.answer(200, {"keys": [published]})
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if sent["password"] == [PASSWORD] and sent["client_id"] == [CLIENT_ID]:
                granted = token(key, realm, sent["username"][0])
                self.answer(200, {"access_token": granted, "token_type": "Bearer", "expires_in": 300})
            else:
                self.answer(401, {"error": "invalid_grant"})

        def answer(self, status: int, content: dict[str, Any]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *message: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Realm)
    realm = f"http://127.0.0.1:{server.server_port}/realms/monailabel"
    print(realm, flush=True)
    server.serve_forever()
