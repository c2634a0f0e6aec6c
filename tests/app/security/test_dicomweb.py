"""A server whose studies lie in a DICOM server: what may be asked of it, and what it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from monailabel.config import settings as server
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.endpoints import proxy
from monailabel.interfaces.utils import app as instances
from small_server import MODEL, SmallApp, client_of, new_server, scan_bytes
from starlette.testclient import TestClient

from dualtask.archive.dicomweb import TIMEOUT
from lib.repairs import dicom_proxy
from lib.security import close
from lib.security.settings import SecuritySettings

SERIES = "1.2.3"


class DicomServer(ThreadingHTTPServer):
    """Answers everything, and remembers what it was asked."""

    def __init__(self) -> None:
        asked = self.asked = []

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.command, self.path, {name.lower() for name in self.headers}))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"[]")

            do_POST = do_GET  # noqa: N815

            def log_message(self, *message: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]


class OneSeries:
    """Stands for the client that MONAI Label lists series with."""

    base_url = "http://dicom"

    def search_for_series(self, search_filters: dict) -> list[dict]:
        wanted = search_filters.get("SeriesInstanceUID", SERIES)
        return [{"0020000E": {"vr": "UI", "Value": [SERIES]}}] if wanted == SERIES else []


@pytest.fixture
def dicom_server() -> Iterator[DicomServer]:
    running = DicomServer()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def instance(dicom_server, app_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallApp:
    studies = f"http://127.0.0.1:{dicom_server.server_port}/dicom-web"
    store = DICOMWebDatastore(OneSeries(), {"Modality": "CT"}, str(tmp_path / "cache"))
    monkeypatch.setattr(SmallApp, "init_datastore", lambda self: store)
    monkeypatch.setattr(server, "MONAI_LABEL_APP_DIR", str(app_folder))
    monkeypatch.setattr(server, "MONAI_LABEL_STUDIES", studies)
    app = SmallApp(str(app_folder), studies, {"server_mode": "true"})
    monkeypatch.setattr(instances, "apps", {f"{app_folder}{studies}": app})
    return app


@pytest.fixture
def stock(instance) -> TestClient:
    return client_of(new_server())


@pytest.fixture
def closed(instance, app_folder: Path) -> TestClient:
    app = new_server()
    close(app, str(app_folder), SecuritySettings())
    return client_of(app)


def test_stock_server_leads_to_everything_on_the_dicom_server(stock, dicom_server):
    stock.get("/proxy/dicom/%2e%2e/tools/shutdown")
    assert dicom_server.paths == ["/tools/shutdown"]


@pytest.mark.parametrize(
    "path", ["%2e%2e/tools/shutdown", "studies/%2e%2e/%2e%2e/system", "wado/%2e%2e/system", "system"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_but_dicomweb_is_asked_of_the_dicom_server(closed, dicom_server, method: str, path: str):
    assert closed.request(method, f"/proxy/dicom/{path}").status_code == 422
    assert dicom_server.paths == []


def test_viewer_gets_studies_and_stores_labels(closed, dicom_server):
    assert closed.get("/proxy/dicom/qido/studies", params={"limit": 101}).status_code == 200
    assert closed.get("/proxy/dicom/wado/studies/1.2/series/3.4/metadata").status_code == 200
    assert closed.post("/proxy/dicom/wado/studies", content=b"--x--").status_code == 200
    assert dicom_server.paths == [
        "/dicom-web/studies",
        "/dicom-web/studies/1.2/series/3.4/metadata",
        "/dicom-web/studies",
    ]


def test_instances_are_stored_under_studies_alone(closed, dicom_server):
    assert closed.post("/proxy/dicom/wado/series/1.2", content=b"x").status_code == 422
    assert dicom_server.paths == []


def test_credentials_stay_here(stock, closed, dicom_server):
    own = {"authorization": "Bearer secret", "cookie": "dualtask_token=secret"}
    stock.post("/proxy/dicom/stow/studies", content=b"x", headers=own)
    closed.post("/proxy/dicom/stow/studies", content=b"x", headers=own)
    (_, _, stock_sent), (_, _, sent) = dicom_server.asked
    assert {"authorization", "cookie"} <= stock_sent
    assert not {"authorization", "cookie"} & sent


@pytest.mark.parametrize(("series", "status"), [("../x", 422), ("1.2.3/..", 422), ("case_1", 422), ("1.2.4", 404)])
def test_series_that_is_none_is_refused(closed, series: str, status: int):
    assert closed.post(f"/infer/{MODEL}", params={"image": series}).status_code == status
    upload = {"files": {"label": ("x.nii", scan_bytes())}}
    assert closed.put("/datastore/label", params={"image": series}, **upload).status_code == status


def test_scans_are_not_uploaded_past_the_dicom_server(closed):
    answer = closed.put("/datastore/image", params={"image": "1.2.9"}, files={"file": ("x.nii", scan_bytes())})
    assert answer.status_code == 422
    assert "DICOM server" in answer.json()["detail"]


def test_dicom_server_that_hangs_is_a_sentence(closed, dicom_server, monkeypatch: pytest.MonkeyPatch):
    def give_up(*_: object, **options: object) -> None:
        assert options["timeout"] == TIMEOUT
        raise requests.ReadTimeout

    for name in ("proxy_dicom", "requests"):
        monkeypatch.setattr(proxy, name, getattr(proxy, name))  # to be undone after the repair
    dicom_proxy.apply()
    monkeypatch.setattr(requests.Session, "send", give_up)
    answer = closed.get("/proxy/dicom/qido/studies")
    assert answer.status_code == 502
    assert "does not answer" in answer.json()["detail"]


def test_dicom_server_that_is_gone_is_a_sentence(closed, instance, dicom_server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "MONAI_LABEL_STUDIES", "http://127.0.0.1:9/dicom-web")
    monkeypatch.setattr(instances, "apps", {f"{instance.app_dir}http://127.0.0.1:9/dicom-web": instance})
    answer = closed.get("/proxy/dicom/qido/studies")
    assert answer.status_code == 502
    assert "127.0.0.1" not in answer.text
