"""The holes of MONAI Label 0.8.5: each attack works on the server as it is shipped and not behind the gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_server import MODEL, STUDY


def put_image(client, image: str, content: bytes, filename: str):
    return client.put("/datastore/image", params={"image": image}, files={"file": (filename, content)})


def put_label(client, tag: str, content: bytes):
    return client.put("/datastore/label", params={"image": STUDY, "tag": tag}, files={"label": ("label.nii", content)})


def test_stock_server_lets_an_upload_overwrite_the_app(stock, app_folder: Path):
    assert put_image(stock, "../app/main", b"evil()", "x.py").status_code == 200
    assert (app_folder / "main.py").read_bytes() == b"evil()"


@pytest.mark.parametrize("path", ["/datastore/image", "/datastore/"])
@pytest.mark.parametrize("image", ["../app/main", "/tmp/x", "..", ".hidden", "a\x00b", "a/../../app/main", "CON\\x"])
def test_upload_outside_the_studies_is_refused(closed, untouched, path: str, image: str, scan: bytes):
    for filename in ("x.py", "x.nii"):
        answer = closed.put(path, params={"image": image}, files={"file": (filename, scan)})
        assert answer.status_code == 422, answer.text


def test_stock_server_lets_a_tag_write_anywhere(stock, tmp_path: Path, scan: bytes):
    assert put_label(stock, "../../../elsewhere", scan).status_code == 200
    assert (tmp_path / "elsewhere" / f"{STUDY}.nii").is_file()


@pytest.mark.parametrize("tag", ["../../../elsewhere", "..", "/tmp", "a/b", "a\\b", ".", "fin al", "final\n"])
def test_tag_that_is_no_plain_name_is_refused(closed, untouched, tag: str, scan: bytes):
    assert put_label(closed, tag, scan).status_code == 422


def test_stock_server_reads_any_file_for_an_inference(stock, app_folder: Path):
    answer = stock.post(f"/infer/{MODEL}", params={"image": str(app_folder / "main.py")})
    assert answer.json()["size"] == (app_folder / "main.py").stat().st_size


def test_inference_on_any_file_is_refused(closed, app_folder: Path, tmp_path: Path, monkeypatch):
    assert closed.post(f"/infer/{MODEL}", params={"image": str(app_folder / "main.py")}).status_code == 422
    monkeypatch.chdir(app_folder)  # a path from the server's working directory is none either
    assert closed.post(f"/infer/{MODEL}", params={"image": "main.py"}).status_code == 404


@pytest.mark.parametrize("image", [STUDY, "../x"])
def test_the_last_of_two_images_is_checked_too(closed, app_folder: Path, image: str):
    query = f"image={image}&image={app_folder}/main.py"
    assert closed.post(f"/infer/{MODEL}?{query}").status_code == 422


def test_stock_server_takes_the_image_from_the_options(stock, app_folder: Path):
    options = {"params": json.dumps({"image": str(app_folder / "main.py")})}
    answer = stock.post(f"/infer/{MODEL}", params={"image": STUDY}, data=options)
    assert answer.json()["read"] == str(app_folder / "main.py")


@pytest.mark.parametrize(
    "options",
    [
        {"image": "/etc/hostname"},
        {"label": "/etc/hostname"},
        {"bundle_path": "/tmp/evil"},
        {"session": {"image": "/etc/hostname"}},
        {"result_extension": "/../../../elsewhere.nii"},
        {"label_tag": "../../elsewhere", "save_label": True},
        {"result_dtype": "object"},
        {"logging": "LOUD"},
        {"model": "other"},
        {"device": "/dev/sda"},
        {"threshold": "0.5; rm -rf /"},
        {"threshold": None},
        {"flips": 3},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_are_not_offered_are_refused(closed, untouched, options: dict):
    answer = closed.post(f"/infer/{MODEL}", params={"image": STUDY}, data={"params": json.dumps(options)})
    assert answer.status_code == 422
    assert "option" in answer.json()["detail"]


@pytest.mark.parametrize("filename", ["../../x.pt", "/tmp/x.pt", "absent.pt", ["model.pt", "../x.pt"], 3])
def test_weights_that_do_not_exist_are_refused(closed, filename):
    options = {"params": json.dumps({"model_filename": filename})}
    assert closed.post(f"/infer/{MODEL}", params={"image": STUDY}, data=options).status_code == 422


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"client_id": None},
        {"client_id": "reading room 3", "device": "cpu"},
        {"device": ["cpu"], "threshold": 0.4, "flips": "8", "refine": False, "model_filename": "model.pt"},
        {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, "restore_label_idx": False},
        {"label_info": [{"name": "pancreas", "idx": 1, "color": [255, 0, 0]}]},
    ],
)
def test_options_that_viewers_send_are_taken(closed, options: dict):
    answer = closed.post(f"/infer/{MODEL}", params={"image": STUDY}, data={"params": json.dumps(options)})
    assert answer.status_code == 200, answer.text
