"""The requests of 3D Slicer, sent by its own extension's client to a server with TLS and tokens. The scans are
synthetic.

The client is a file of MONAI Label's repository (``plugins/slicer/MONAILabel/MONAILabelLib``) and no part of its
package; ``DUALTASK_SLICER_PLUGIN`` names the folder that holds ``MONAILabelLib``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import requests
from openid_provider import PASSWORD, token

from battery.servers import wait_until

FIRST, REVIEWER, SECOND = "annotator", "reviewer", "admin"
"""Accounts, called by their roles; an administrator may label too."""

AS_SLICER_ASKS = {"result_extension": ".nrrd", "result_dtype": "uint8"}


@pytest.fixture(scope="module")
def plugin() -> Iterator[ModuleType]:
    """The extension's own code."""
    folder = os.environ.get("DUALTASK_SLICER_PLUGIN", "")
    if not (Path(folder) / "MONAILabelLib" / "client.py").is_file():
        pytest.skip(
            "DUALTASK_SLICER_PLUGIN names no folder with MONAILabelLib of MONAI Label's extension for 3D Slicer"
        )
    sys.path.insert(0, folder)
    try:
        import MONAILabelLib.client

        yield MONAILabelLib.client
    finally:
        sys.path.remove(folder)


@pytest.fixture
def slicer(plugin, server, tmp_path: Path) -> Callable[[str], Any]:
    """A client as the extension makes one for each click: signed in by name and password."""

    def slicer(account: str, password: str = PASSWORD) -> Any:
        client = plugin.MONAILabelClient(server.url, str(tmp_path), "user-xyz")
        assert client.auth_enabled()
        client.update_auth(client.auth_token(account, password))
        assert client.auth_valid_token()
        return client

    return slicer


@pytest.fixture
def review(server, key, realm) -> Callable[..., requests.Response]:
    """A review, which the extension has no button for: the one request that a reviewer sends by other means."""

    def review(study: str, account: str = REVIEWER, **what: str) -> requests.Response:
        return server.put(
            f"{server.url}/datastore/label/info",
            params={"label": study, "tag": "final"},
            data={"info": json.dumps({"segmentationMeta": what})},
            headers={"Authorization": f"Bearer {token(key, realm, account)}"},
            timeout=60,
        )

    return review


@pytest.fixture
def label(synthetic_dataset: Path) -> Callable[[str], str]:
    return lambda study: str(synthetic_dataset / "labelsTr" / f"{study}.nii.gz")


@pytest.fixture(scope="module")
def model(bundle) -> str:
    return bundle.name


def volume_ml(file: str) -> float:
    """Volume of a voxel."""
    return float(np.prod(nib.load(file).header.get_zooms())) / 1000


def shown(plugin: ModuleType, ask: Callable[[], Any]) -> str:
    """What the extension shows of an error."""
    with pytest.raises(plugin.MONAILabelClientException) as error:
        ask()
    return error.value.msg


def test_who_is_not_signed_in_is_told_so(plugin, server, slicer, tmp_path: Path):
    stranger = plugin.MONAILabelClient(server.url, str(tmp_path), "user-xyz")
    assert "Status: 401" in shown(plugin, stranger.info)
    assert "Sign in first" in shown(plugin, stranger.info)
    assert "The name or the password is wrong." in shown(plugin, lambda: slicer(FIRST, "guessed"))


def test_info_lists_what_the_panel_offers(slicer, model):
    info = slicer(FIRST).info()
    assert info["models"][model]["labels"] == {"pancreas": 1, "lesion": 2}
    assert {"random", "first", "review"} <= set(info["strategies"])
    assert info["trainers"][model]["config"]["max_epochs"] == 50


def test_proposal_comes_with_its_mask_and_what_is_known_of_it(slicer, server, model):
    sample = slicer(FIRST).next_sample("first", {})
    assert Path(sample["path"]).is_file()
    file, params = slicer(FIRST).infer(model, sample["id"], {**AS_SLICER_ASKS, "refine": False})
    mask = nrrd.read(file)[0]
    assert mask.shape == nib.load(sample["path"]).shape
    assert set(np.unique(mask)) <= {0, 1, 2}
    assert params["label_names"] == {"pancreas": 1, "lesion": 2}
    assert {"score", "warning"} <= set(params["doubt"])
    assert params["measurements"]["pancreas_ml"] == pytest.approx(
        (mask > 0).sum() * volume_ml(sample["path"]), rel=1e-3
    )


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda client, model: client.infer(model, "metro_000", {"threshold": 3}), "is not between 0 and 1"),
        (lambda client, model: client.infer(model, "metro_000", {"sharpness": 3}), "'sharpness' is not offered"),
        (lambda client, model: client.infer(model, "case_7", {}), "There is no study 'case_7'"),
        (lambda client, model: client.infer("unet", "metro_000", {}), "There is no model 'unet'"),
        (lambda client, model: client.next_sample("clever", {}), "There is no strategy 'clever'"),
        (lambda client, model: client.infer(model, "metro_000", {"show": "final label"}), "has no label 'final'"),
        (lambda client, model: client.download_label("metro_000", "original"), "Label NOT Found"),
        (lambda client, model: client.train_start(model, {}), "needs the role of admin"),
    ],
    ids=["value", "option", "study", "model", "strategy", "no final label", "no original label", "role"],
)
def test_what_cannot_be_done_is_shown_as_a_sentence(plugin, slicer, model, ask, words: str):
    message = shown(plugin, lambda: ask(slicer(FIRST), model))
    assert words in message
    assert "Traceback" not in message


def test_label_is_sent_back_corrected_read_by_a_second_reader_and_approved(plugin, slicer, model, review, label):
    study = "coastal_000"
    submitted = {"label_info": [{"name": "pancreas", "idx": 1}, {"name": "lesion", "idx": 2}], "model": model}
    slicer(FIRST).save_label(study, label(study), params=dict(submitted))
    record = slicer(FIRST).datastore()["objects"][study]["labels"]["final"]["info"]
    assert record["annotator"] == f"{FIRST} 1"

    waiting = slicer(REVIEWER).next_sample("review", {})
    assert waiting["id"] == study
    file, params = slicer(REVIEWER).infer(model, study, {**AS_SLICER_ASKS, "show": "final label"})
    np.testing.assert_array_equal(nrrd.read(file)[0], np.asarray(nib.load(label(study)).dataobj))
    assert (params["annotator"], params["review"]) == (f"{FIRST} 1", {})
    drawn = (nrrd.read(file)[0] > 0).sum() * volume_ml(label(study))
    assert params["measurements"]["pancreas_ml"] == pytest.approx(drawn, rel=1e-3)
    assert review(study, FIRST, status="approved").status_code == 403
    assert "say in a sentence" in review(study, status="flagged").json()["detail"]
    assert review(study, status="flagged", comment="The tail is missing.").ok

    back = slicer(FIRST).next_sample("random", {})
    assert (back["id"], back["review"]["comment"]) == (study, "The tail is missing.")
    assert back["review"]["approvedBy"] == f"{REVIEWER} 1"
    slicer(FIRST).save_label(study, label(study), params=dict(submitted))

    assert review(study, status="second reader").ok
    assert slicer(FIRST).next_sample("first", {})["id"] != study
    assert slicer(SECOND).next_sample("first", {})["id"] == study
    slicer(SECOND).save_label(study, label(study), params=dict(submitted))
    assert review(study, status="approved").ok
    assert slicer(REVIEWER).next_sample("review", {}) == {}
    _, params = slicer(FIRST).infer(model, study, {**AS_SLICER_ASKS, "show": "final label"})
    assert params["review"]["status"] == "approved"


def test_two_readers_are_compared_in_the_table(server, key, realm, plugin):
    headers = {"Authorization": f"Bearer {token(key, realm, REVIEWER)}"}
    page = server.get(f"{server.url}/proposals/", headers=headers, timeout=60).text
    assert "readers surface mm pancreas" in page
    assert f"{SECOND} 1" in page


def test_training_starts_tells_how_it_is_and_stops(plugin, slicer, model):
    refused = shown(plugin, lambda: slicer(SECOND).train_start(model, {"max_epochs": -1}))
    assert "Status: 422" in refused and "choose a whole number from 1" in refused
    assert not slicer(SECOND).train_status(check_if_running=True)
    slicer(SECOND).train_start(model, {"max_epochs": 1000})
    wait_until(lambda: slicer(SECOND).train_status(check_if_running=True), seconds=60)
    assert slicer(SECOND).train_status()["status"] == "RUNNING"
    slicer(SECOND).train_stop()
    wait_until(lambda: not slicer(SECOND).train_status(check_if_running=True), seconds=60)
