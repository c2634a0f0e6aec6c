"""No request, however malformed, is answered 500, and none changes a file that it should not."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from pkgutil import iter_modules

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monailabel import endpoints
from small_server import MODEL, STUDY, scan_bytes

from hostile_headers import DICOM_SERIES, NIFTI_FILES, NRRD_FILES
from lib.security.routes import ROUTES

FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SPITEFUL = st.sampled_from(
    [
        *(
            "../x",
            "/etc/passwd",
            "%2e%2e%2f",
            "\0",
            "a" * 5000,
            "NaN",
            "1e999",
            "-1",
            "9" * 400,
            "{}",
            "[",
            "null",
            "'",
        ),
        *(STUDY, MODEL, "first", "final", "true", "image", "é", "\u202e", "SHA256:" + "a" * 64, "1.2.3"),
    ]
)
TEXTS = SPITEFUL | st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *("image", "id", "label", "tag", "session_id", "output", "params", "limit_cases", "lines", "refresh", "html"),
    *("check_sum", "expiry", "uncompress", "run_sync", "all", "images", "enqueue", "update_ts", "text"),
)
QUERIES = st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=5)


def path_with(path: str, value: str) -> str:
    for name in ("{path:path}", "{model}", "{strategy}", "{method}", "{session_id}"):
        path = path.replace(name, value.replace("?", "").replace("#", ""))
    return path


@FUZZ
@given(st.sampled_from(ROUTES), TEXTS, QUERIES, st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_ids_tags_and_json_bodies(closed, route, value, query, body):
    if route.path == "/session/" or "/static/" in route.path:
        return
    answer = closed.request(route.method, path_with(route.path, value), params=query, content=body)
    assert answer.status_code < 500, (route, answer.text)


@FUZZ
@given(
    st.sampled_from([route for route in ROUTES if route.method in ("PUT", "POST")]),
    QUERIES,
    st.dictionaries(st.sampled_from(["params", "info", "wsi", "username"]), TEXTS | JSON.map(json.dumps), max_size=2),
    st.lists(
        st.tuples(
            st.sampled_from(["file", "label", "files", "params"]),
            st.tuples(
                TEXTS | st.sampled_from(["a.nii", "a.nii.gz", "a.nrrd", "a.pt"]),
                st.binary(max_size=50) | st.just(scan_bytes(4)),
            ),
        ),
        max_size=3,
    ),
)
def test_forms_and_files(closed, route, query, fields, files):
    query = {**query, "image": query.get("image", STUDY)}
    path = path_with(route.path, MODEL)
    answer = closed.request(route.method, path, params=query, data=fields, files=files or None)
    assert answer.status_code < 500, (route, answer.text)


@FUZZ
@given(
    st.binary(max_size=300),
    st.sampled_from(["x", "--x", '"', "é", ""]),
    st.sampled_from(["", "; charset=idna", "; charset=hex", "; charset=utf-16", "; charset=\0"]),
)
def test_bodies_that_are_no_form(closed, body, boundary, charset):
    kind = f"multipart/form-data; boundary={boundary}{charset}".encode()
    for content in (body, b"--" + boundary.encode() + b"\r\n" + body):
        answer = closed.put("/datastore/label?image=case_1", content=content, headers={"content-type": kind})
        assert 400 <= answer.status_code < 500, answer.text


@FUZZ
@given(NIFTI_FILES)
def test_headers_of_nifti(closed, content):
    answer = closed.post(f"/infer/{MODEL}", files={"file": ("x.nii", content)})
    assert answer.status_code in (200, 422), answer.text


@FUZZ
@given(NRRD_FILES)
def test_headers_of_nrrd(closed, content):
    answer = closed.post(f"/infer/{MODEL}", files={"file": ("x.nrrd", content)})
    assert answer.status_code in (200, 422), answer.text
    assert b"data file" not in content or answer.status_code == 422


@FUZZ
@given(DICOM_SERIES)
def test_headers_of_dicom(closed, contents):
    files = [("files", (f"{place}.dcm", content)) for place, content in enumerate(contents)]
    answer = closed.put("/session/", files=files)
    assert answer.status_code in (200, 422), answer.text


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("PUT", "/datastore/label?image=unknown", {"files": {"label": ("x.nii", scan_bytes())}}),
        ("DELETE", "/datastore/image?id=unknown", {}),
        ("PUT", f"/datastore/image/info?image={STUDY}", {"data": {"info": "[1]"}}),
        ("PUT", f"/datastore/label/info?label={STUDY}&tag=final", {"data": {"info": "{}"}}),
        ("POST", f"/infer/{MODEL}", {"params": {"image": STUDY}, "data": {"params": "{"}}),
        ("POST", f"/infer/{MODEL}", {"params": {"image": STUDY, "output": "dicom_seg"}}),
        ("POST", f"/infer/{MODEL}", {}),
        ("HEAD", f"/datastore/image?image={STUDY}&check_sum=CRC:1", {}),
        ("GET", "/datastore/dataset", {}),
        ("GET", "/proxy/dicom/studies", {}),
        ("GET", f"/logs/?lines={10**30}", {}),
    ],
)
def test_what_stock_answers_500_is_a_sentence(stock, closed, tmp_path: Path, method: str, path: str, options: dict):
    assert stock.request(method, path, **options).status_code == 500
    answer = closed.request(method, path, **options)
    assert 400 <= answer.status_code < 500
    if method != "HEAD":
        assert answer.json()["detail"]
        assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a": NaN}', b'{"client_id": "\\ud800"}', b"9" * 10_000, b"[]"])
def test_json_that_breaks_parsers_is_refused(closed, body: bytes):
    assert closed.post(f"/train/{MODEL}", content=body).status_code == 422


def test_task_that_would_stop_the_server_is_refused(closed):
    for path in (f"/train/{MODEL}", f"/batch/infer/{MODEL}", "/scoring/", "/train/"):
        assert closed.post(path, params={"run_sync": "TRUE"}).status_code == 422


def test_client_cannot_break_the_list_of_next_studies(stock, closed):
    record = {"info": json.dumps({"strategy": "x"})}
    assert closed.put("/datastore/image/info", params={"image": STUDY}, data=record).status_code == 422
    assert closed.post("/activelearning/first").status_code == 200
    assert stock.put("/datastore/image/info", params={"image": STUDY}, data=record).status_code == 200
    assert stock.post("/activelearning/first").status_code == 500


def test_every_route_of_monai_label_is_known_or_closed_on_purpose(closed_server):
    def routes(owner) -> set[tuple[str, str]]:
        return {(method, route.path) for route in owner.routes for method in getattr(route, "methods", None) or ()}

    modules = [
        importlib.import_module(f"monailabel.endpoints.{found.name}") for found in iter_modules(endpoints.__path__)
    ]
    theirs = set().union(*(routes(module.router) for module in modules if hasattr(module, "router")))
    theirs |= {route for route in routes(closed_server) if route not in (("HEAD", "/openapi.json"), ("HEAD", "/docs"))}
    ours = {(route.method, route.path) for route in ROUTES}
    pathology = {("POST", "/infer/wsi/{model}"), ("POST", "/infer/wsi_v2/{model}")}
    assert theirs - ours == {*pathology, ("POST", "/proxy/dicom/qido/{path:path}")}
    assert {path for _, path in ours - theirs} == {
        *("/auth/sign-in", "/static/{path:path}"),  # the one is made, the other mounted
        *("/proposals/", "/proposals/table.csv"),  # of our app
    }


def test_websockets_are_closed(closed):
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), closed.websocket_connect("/info/"):
        pass
