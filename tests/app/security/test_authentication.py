"""Tokens of an OpenID provider, which runs as a process of its own, and what each role may do."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI
from monailabel.config import settings as server
from openid_provider import KEY_ID, PASSWORD, new_key, token
from small_server import MODEL, STUDY, client_of, new_server
from starlette.testclient import TestClient

from lib.security import close
from lib.security.routes import ROUTES, Role
from lib.security.settings import SecuritySettings

# Dates, in seconds since 1970, on either side of any run of these tests.
_LONG_AGO, _FAR_AWAY = 1_000_000_000, 4_000_000_000

ROLES = {Role.USER: "user", Role.ANNOTATOR: "annotator", Role.REVIEWER: "reviewer", Role.ADMIN: "admin"}


@pytest.fixture
def authentication(realm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MONAI_LABEL_AUTH_ENABLE", True)
    monkeypatch.setattr(server, "MONAI_LABEL_AUTH_REALM_URI", realm)


@pytest.fixture
def closed_server(authentication, instance, app_folder: Path) -> FastAPI:
    app = new_server()
    close(app, str(app_folder), SecuritySettings())
    return app


@pytest.fixture
def closed(closed_server: FastAPI) -> TestClient:
    return client_of(closed_server)


@pytest.fixture
def status(closed):
    """The status of a request with a token."""
    return lambda sent, path="/info/": closed.get(path, headers={"authorization": f"Bearer {sent}"}).status_code


def test_valid_token_is_accepted(status, key, realm):
    assert status(token(key, realm)) == 200
    assert status(token(key, realm, aud=["account", "monailabel-app"], azp=None)) == 200


def test_token_of_other_machines_users_is_accepted_from_everywhere(closed_server, key, realm):
    headers = {"authorization": f"Bearer {token(key, realm)}", "host": "labels.hospital.example"}
    assert client_of(closed_server, "192.0.2.7").get("/info/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": _LONG_AGO},
        {"exp": None},
        {"nbf": _FAR_AWAY},
        {"aud": "another-app", "azp": "another-app"},
        {"aud": None, "azp": None},
        {"aud": {"monailabel-app": 1}, "azp": ["monailabel-app"]},
        {"iss": "http://127.0.0.1:1/realms/other"},
        {"iss": None},
        {"preferred_username": None},
        {"preferred_username": {"$ne": ""}},
        {"kid": "unknown"},
        {"kid": "../../etc/passwd"},
    ],
    ids=str,
)
def test_token_that_is_not_meant_for_us_now_is_refused(status, key, realm, changes: dict):
    assert status(token(key, realm, **changes)) == 401


def test_forged_token_is_refused(status, realm):
    assert status(token(new_key(), realm, "admin")) == 401


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE"])
def test_unsigned_token_is_refused(status, realm, key, algorithm: str):
    claims = token(key, realm, "admin").split(".")[1]
    header = part(json.dumps({"alg": algorithm, "typ": "JWT", "kid": KEY_ID}).encode())
    for signature in ("", "x"):
        assert status(f"{header}.{claims}.{signature}") == 401


def test_token_signed_with_the_public_key_as_a_secret_is_refused(status, realm, key):
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = token(key, realm, "admin").split(".")[1]
    signed = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": KEY_ID}).encode()) + "." + claims
    signature = part(hmac.digest(public, signed.encode(), "sha256"))
    assert status(f"{signed}.{signature}") == 401


def test_token_that_brings_its_own_key_is_refused(status, realm):
    from jwt.algorithms import RSAAlgorithm

    own = new_key()
    claims = token(own, realm, "admin").split(".")[1]
    jwk = RSAAlgorithm.to_jwk(own.public_key(), as_dict=True)
    header = part(json.dumps({"alg": "RS256", "kid": KEY_ID, "jwk": jwk, "jku": "http://evil.example"}).encode())
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signature = own.sign(f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert status(f"{header}.{claims}.{part(signature)}") == 401


@pytest.mark.parametrize("sent", ["", "x", "a.b.c", "..", "é", "a" * 9000, "eyJhbGciOiJSUzI1NiJ9.e30."])
def test_what_is_no_token_is_refused(closed, sent: str):
    answer = closed.get("/info/", headers={"authorization": f"Bearer {sent}".encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_request_without_token_is_refused(closed):
    assert closed.get("/info/").status_code == 401
    assert closed.get("/info/", headers={"authorization": "Basic YWRtaW46YWRtaW4="}).status_code == 401


def test_stock_server_can_be_read_and_reloaded_without_a_token(authentication, stock):
    assert stock.get("/openapi.json").status_code == 200
    assert stock.post("/reload").status_code == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/reload"), ("GET", "/openapi.json"), ("GET", "/docs")])
def test_nothing_but_the_viewer_and_signing_in_is_open(closed, method: str, path: str):
    assert closed.request(method, path).status_code == 401


def test_viewer_is_reachable(closed):
    page = closed.get("/ohif/monai-label", params={"StudyInstanceUIDs": "1.2.3"})
    assert page.status_code == 200
    assert "<title>OHIF" in page.text
    assert closed.get("/ohif/app-config.js").status_code == 200


def test_each_role_may_do_what_its_routes_say_and_no_more(closed, key, realm):
    tokens = {role: token(key, realm, name) for role, name in ROLES.items()}
    place = {"path": "studies", "model": "unknown", "strategy": "unknown", "method": "unknown", "session_id": "x"}
    for route in ROUTES:
        for role in (Role.ANYONE, *ROLES):
            headers = {"authorization": f"Bearer {tokens[role]}"} if role else {}
            path = route.path.replace(":path", "").format(**place)
            answer = closed.request(route.method, path, headers=headers, follow_redirects=False)
            refused = answer.status_code in (401, 403)
            wrong_password = route.path in ("/auth/token", "/auth/sign-in") and route.method == "POST"
            assert refused == (role < route.role) or wrong_password, (route.name, role, answer.text)
            assert answer.status_code < 500, (route.name, answer.text)


def test_unknown_and_missing_roles_may_do_nothing(status, key, realm):
    assert status(token(key, realm, "janitor")) == 403
    for roles in (None, "monailabel-admin", {"monailabel-admin": 1}, [["monailabel-admin"]], 3):
        assert status(token(key, realm, realm_access={"roles": roles})) == 403
    assert status(token(key, realm, realm_access=["monailabel-admin"])) == 403


def test_administrator_may_replace_weights_by_weights_alone(closed, key, realm, app_folder: Path, tmp_path: Path):
    import torch

    headers = {"authorization": f"Bearer {token(key, realm, 'admin')}"}
    before = (app_folder / "model" / "model.pt").read_bytes()
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "other.pt")
    torch.save({"weight": Path("/")}, tmp_path / "pickle.pt")
    for content in (b"cos\nsystem\n(S'true'\ntR.", (tmp_path / "other.pt").read_bytes()):
        answer = closed.put(f"/model/{MODEL}", files={"file": ("x.pt", content)}, headers=headers)
        assert answer.status_code == 422, answer.text
    pickled = (tmp_path / "pickle.pt").read_bytes()
    assert closed.put(f"/model/{MODEL}", files={"file": ("x.pt", pickled)}, headers=headers).status_code == 422
    assert (app_folder / "model" / "model.pt").read_bytes() == before


def test_password_is_exchanged_for_a_token(closed):
    form = {"username": "annotator", "password": PASSWORD, "grant_type": "password"}
    fetched = closed.post("/auth/token", data=form).json()
    assert fetched["token_type"] == "Bearer"
    headers = {"authorization": f"Bearer {fetched['access_token']}"}
    assert closed.get("/auth/token/valid", headers=headers).json()["username"] == "annotator 1"


@pytest.mark.parametrize("path", ["/auth/token", "/auth/sign-in"])
def test_wrong_password_is_refused(closed, path: str):
    answer = closed.post(path, data={"username": "admin", "password": "wrong"})
    assert answer.status_code == 401
    assert "wrong" in answer.json()["detail"]
    assert "set-cookie" not in answer.headers


def test_browser_signs_in_once_and_the_viewer_is_served(closed):
    assert "<form" in closed.get("/auth/sign-in").text
    form = {"username": "user", "password": PASSWORD}
    answer = closed.post("/auth/sign-in", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ohif/")
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in answer.headers["set-cookie"].split(";")}
    assert closed.get("/info/").status_code == 200  # with the cookie, as the panel asks
    assert closed.get("/info/", headers={"origin": "https://evil.example"}).status_code == 403


def test_user_of_a_label_is_the_one_who_signed_in(closed, key, realm, scan, instance):
    headers = {"authorization": f"Bearer {token(key, realm, 'annotator')}"}
    answer = closed.put("/datastore/image/info", params={"image": STUDY}, data={"info": "{}"}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert instance.datastore().get_image_info(STUDY)["user"] == "annotator 1"


def test_provider_that_does_not_answer_lets_nobody_in(
    instance, app_folder, key, realm, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "MONAI_LABEL_AUTH_ENABLE", True)
    monkeypatch.setattr(server, "MONAI_LABEL_AUTH_REALM_URI", "http://127.0.0.1:9/realms/none")
    app = new_server()
    close(app, str(app_folder), SecuritySettings())
    headers = {"authorization": f"Bearer {token(key, realm, 'admin')}"}
    assert client_of(app).get("/info/", headers=headers).status_code == 503
    assert client_of(app).post("/auth/token", data={"username": "a", "password": "b"}).status_code == 502


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
