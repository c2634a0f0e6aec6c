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
    figures = viewer.figures()
    assert viewer.segments() == {"pancreas": "rgb(249, 180, 111)", "lesion": "rgb(68, 230, 42)"}
    viewer.show("proposal")
    drawn = viewer.drawn()

    viewer.paint("pancreas")
    viewer.show("correction")
    painted = viewer.drawn()
    assert painted["pancreas"] > drawn["pancreas"]
    assert viewer.undo() == drawn
    assert sum(viewer.undo().values()) == 0  # the proposal is a step, too
    assert (viewer.redo(), viewer.redo(), viewer.redo()) == (drawn, painted, painted)
    assert viewer.export("corrected").status == 200
    viewer.show("saved")
    series = uids["coastal"][1]
    mask, parameters = client.infer(MODEL, series, {})
    proposal, final, measured = _voxels(mask), _final(server, series, client), parameters["measurements"]
    assert figures["Pancreas"] == f"{measured['pancreas_ml']:.1f} ml"
    assert len(figures) == 1 + len(measured["lesions"]) > 1
    assert drawn == {"pancreas": (proposal == 1).sum(), "lesion": (proposal == 2).sum()}
    assert min(drawn.values()) > 0
    changed = proposal != final
    assert changed.any() and set(final[changed]) == {1}
    assert len(np.unique(np.nonzero(changed)[2])) == 1  # the spot, on one slice; all else is where it was proposed

    kept = viewer.drawn()
    viewer.connect()
    assert viewer.drawn() == kept

    viewer.open_tab("Active Learning")
    assert viewer.next_sample() == uids["valley"][0]  # metro has a label from another workstation
    viewer.wait_for_scan()
    viewer.connect()
    viewer.open_tab("Active Learning")
    assert viewer.train(epochs=1).status == 200
    assert finished(client.get_server_url())["status"] == "DONE"
    assert client.info()["train_stats"][MODEL]["training"]["state"] == "published"
    assert viewer.connect() == f"{bundle.name} {bundle.version}+1"
    viewer.show("new version")
    assert viewer.left_the_server == []


def test_reviewer_goes_through_the_labels(viewer, client, server, uids):
    study, uid = uids["metro"]  # labelled on another workstation, or since by the tests of the client
    label = _final(server, uid, client)
    viewer.open_list()
    viewer.open_address_of(uids["valley"][0])
    viewer.wait_for_scan()
    viewer.connect()
    viewer.open_tab("Review")
    assert viewer.review() == "This scan has no final label"
    assert viewer.next_to_review() in {study, uids["coastal"][0]}

    viewer.open_address_of(study)
    viewer.wait_for_scan()
    viewer.connect()
    viewer.open_tab("Review")
    assert viewer.review().endswith("Waits for a review")
    viewer.show_label()
    assert viewer.drawn() == {"pancreas": (label == 1).sum(), "lesion": (label == 2).sum()}
    refused = viewer.decide("Send back")
    assert refused.status == 422
    viewer.page.get_by_text(refused.json()["detail"]).first.wait_for()
    viewer.show("review without a sentence")
    assert viewer.decide("Send back", "The tail is missing.").ok
    assert viewer.review().endswith("Sent back by anonymous: The tail is missing.")
    viewer.show("sent back")

    viewer.open_tab("Active Learning")
    assert viewer.next_sample("sent back comes first") == study
    viewer.wait_for_scan()
    for reader, decision in (("reader 2", "Second reader"), ("reader 3", "Approve")):
        MONAILabelClient(server, client_id=reader).save_label(uid, str(Path(client._tmpdir) / "final.nii.gz"))
        viewer.connect()
        if decision == "Second reader":
            viewer.open_tab("Review")
        assert viewer.review() == f"Labelled by {reader}. Waits for a review"
        assert viewer.decide(decision).ok
        offered = MONAILabelClient(server, client_id="reader 3").next_sample("random", {}).get("id")
        assert (offered == uid) == (decision == "Second reader")
    assert viewer.review() == "Labelled by reader 3. Approved by anonymous"
    viewer.show("approved")
    viewer.page.goto(f"{server}/proposals/")
    row = viewer.page.locator("tr", has_text=uid)
    assert {"reader 2", "reader 3", "approved"} <= set(row.locator("td").all_inner_texts())
    viewer.show("table")


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
