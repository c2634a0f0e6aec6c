"""OHIF in a real browser, from the list of studies to the new version of the model. The scans are synthetic."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
from monailabel.client import MONAILabelClient

from battery.servers import finished

pytest.importorskip("playwright", reason="playwright is not installed")
from viewer import Viewer

MODEL = "pancreas_ct_dualtask_segmentation"


@pytest.fixture
def viewer(page, server: str, screenshots: Path) -> Viewer:
    return Viewer(page, server, screenshots)


@pytest.fixture
def client(server: str, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(server, tmpdir=str(tmp_path))


def test_radiologist_corrects_a_proposal_and_gets_a_better_model(viewer, client, server, uids, bundle):
    viewer.open_list()
    assert viewer.patients() == ["coastal_000", "metro_000", "valley_000"]
    viewer.show("list of studies")
    viewer.open_study("coastal_000")

    viewer.wait_for_scan()
    assert viewer.server_field() == f"{server}/"
    assert viewer.connect() == f"{bundle.name} {bundle.version}"
    assert viewer.run().status == 200
    assert viewer.segments() == {"pancreas": "rgb(249, 180, 111)", "lesion": "rgb(68, 230, 42)"}
    viewer.show("proposal")
    drawn = viewer.drawn()

    viewer.paint("pancreas")
    viewer.show("correction")
    assert viewer.export("corrected").status == 200
    viewer.show("saved")
    series = uids["coastal"][1]
    proposal, final = _voxels(client.infer(MODEL, series, {})[0]), _final(server, series, client)
    assert drawn == {"pancreas": (proposal == 1).sum(), "lesion": (proposal == 2).sum()}
    assert min(drawn.values()) > 0
    changed = proposal != final
    assert changed.any() and set(final[changed]) == {1}
    assert len(np.unique(np.nonzero(changed)[2])) == 1  # the spot, on one slice; all else is where it was proposed

    kept = viewer.drawn()
    viewer.connect()
    assert viewer.drawn() == kept

    viewer.open_active_learning()
    assert viewer.next_sample() == uids["valley"][0]  # metro has a label from another workstation
    viewer.wait_for_scan()
    viewer.connect()
    viewer.open_active_learning()
    assert viewer.train(epochs=1).status == 200
    assert finished(client.get_server_url())["status"] == "DONE"
    assert client.info()["train_stats"][MODEL]["training"]["state"] == "published"
    assert viewer.connect() == f"{bundle.name} {bundle.version}+1"
    viewer.show("new version")
    assert viewer.left_the_server == []


def test_clicks_correct_a_proposal_where_they_were_made(viewer):
    viewer.open_list()
    viewer.open_study("metro_000")
    viewer.wait_for_scan()
    viewer.connect()
    viewer.run()
    viewer.open_points("lesion")
    viewer.click_on_scan(0.45, 0.4)
    viewer.show("click")
    answer = viewer.run_points()
    assert answer.status == 200
    (point,) = json.loads(re.search(r'name="params"\s+(\{.*?\})\s+--', answer.request.post_data, re.DOTALL)[1])[
        "lesion"
    ]
    assert viewer.segment_at(point) == "lesion"
    viewer.show("corrected by a click")
    assert set(viewer.segments()) == {"pancreas", "lesion"}


def test_search_in_the_list_finds_the_patient(viewer):
    viewer.open_list()
    viewer.search("metro")
    viewer.page.get_by_text("valley_000").first.wait_for(state="detached")
    assert viewer.patients() == ["metro_000"]


def _final(server: str, series: str, client: MONAILabelClient) -> np.ndarray:
    answer = requests.get(f"{server}/datastore/label", params={"label": series, "tag": "final"}, timeout=60)
    assert answer.ok, answer.text
    path = Path(client._tmpdir) / "final.nii.gz"
    path.write_bytes(answer.content)
    return _voxels(path)


def _voxels(path: str | Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)
