"""The server as it is started: with TLS and authentication, and refused where it would be open."""

from __future__ import annotations

import importlib.util
import json
import ssl
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from openid_provider import PASSWORD, token
from small_server import new_server

from dualtask.errors import InputError


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
