"""From where the server may be reached."""

from __future__ import annotations

import pytest
import uvicorn
from monailabel.config import settings as server
from pydantic import AnyHttpUrl
from small_server import client_of, new_server

from dualtask.errors import InputError
from lib.security import close
from lib.security.network import check_bind_host, is_loopback
from lib.security.settings import SecuritySettings

START = ["start_server", "--app", "apps/dualtask", "--studies", "studies"]
OTHER_MACHINE = "192.0.2.7"
OTHER_SITE = "https://evil.example"


@pytest.mark.parametrize("host", [["--host", "0.0.0.0"], ["-i", "::"], ["--hos=0.0.0.0"], ["--host", OTHER_MACHINE]])
def test_server_refuses_to_listen_to_other_machines_without_authentication(host: list[str]):
    with pytest.raises(InputError, match=r"--host 127\.0\.0\.1"):
        check_bind_host([*START, *host], False, SecuritySettings())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_server_listens_to_its_own_machine(host: str):
    check_bind_host([*START, "--host", host], False, SecuritySettings())


def test_server_that_is_told_no_host_listens_to_its_own_machine():
    config = uvicorn.Config("monailabel.app:app", host="0.0.0.0")
    check_bind_host(START, False, SecuritySettings())
    assert config.host == "127.0.0.1"


def test_server_listens_to_other_machines_when_told_so_or_with_authentication():
    check_bind_host(START, False, SecuritySettings(open_hosts=["labels.example"]))
    check_bind_host(START, True, SecuritySettings())


@pytest.mark.parametrize("address", ["127.8.0.1", "::1", "::ffff:127.0.0.1", "LOCALHOST"])
def test_loopback_has_many_names(address: str):
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:192.0.2.7", "127.0.0.1.evil.example", "", "127.1"])
def test_other_names_are_not_loopback(address: str):
    assert not is_loopback(address)


def test_stock_server_answers_every_machine(instance):
    assert client_of(new_server(), OTHER_MACHINE).get("/info/").status_code == 200


def test_other_machines_are_refused_however_the_server_was_started(closed_server):
    assert client_of(closed_server, OTHER_MACHINE).get("/info/").status_code == 403


def test_other_machines_are_answered_where_the_operator_says_so(instance, app_folder):
    app = new_server()
    close(app, str(app_folder), SecuritySettings(open_hosts=["labels.example"]))
    client = client_of(app, OTHER_MACHINE)
    assert client.get("/info/", headers={"host": "labels.example"}).status_code == 200
    assert client.get("/info/", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1", ""])
def test_name_that_was_made_to_point_here_is_refused(closed, host: str):
    assert closed.get("/info/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_names_of_this_machine_are_taken(closed, host: str):
    assert closed.get("/info/", headers={"host": host}).status_code == 200


def test_stock_server_lets_every_site_read_with_credentials(stock):
    answer = stock.get("/info/", headers={"origin": OTHER_SITE, "cookie": "a=b"})
    assert answer.headers["access-control-allow-origin"] == OTHER_SITE
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("origin", [OTHER_SITE, "null", "http://127.0.0.1:9000", "http://127.0.0.1:8000.evil.example"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/info/"), ("POST", "/train/"), ("DELETE", "/train/")])
def test_pages_of_other_sites_are_refused(closed, origin: str, method: str, path: str):
    answer = closed.request(method, path, headers={"origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_own_pages_are_served(closed):
    assert closed.get("/info/", headers={"origin": "http://127.0.0.1:8000"}).status_code == 200


def test_pages_of_a_stated_site_are_served(instance, app_folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "MONAI_LABEL_CORS_ORIGINS", [AnyHttpUrl("https://viewer.example")])
    app = new_server()
    close(app, str(app_folder), SecuritySettings())
    client = client_of(app)
    answer = client.get("/info/", headers={"origin": "https://viewer.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"
    asked = {"origin": OTHER_SITE, "access-control-request-method": "PUT"}
    assert client.options("/datastore/label", headers=asked).status_code == 400


def test_stock_server_can_be_reloaded_by_anyone(stock):
    assert stock.post("/reload").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/reload"), ("PUT", "/model/pancreas"), ("DELETE", "/model/pancreas")]
)
def test_what_changes_the_code_or_weights_that_run_is_off_without_authentication(
    closed, untouched, method: str, path: str
):
    answer = closed.request(method, path)
    assert answer.status_code == 403
    assert "administrator" in answer.json()["detail"]
