"""The app in a real server process, asked by MONAI Label's own client. The studies are synthetic, one is shared."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
from serving import running_server

from battery.servers import environment, finished, server_command, wait_until
from lib.dicomweb.orthanc import free_port

BROKEN = "broken"


@pytest.fixture(scope="module")
def studies(synthetic_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    for scan in (synthetic_dataset / "imagesTr").iterdir():
        shutil.copy(scan, folder)
    (folder / f"{BROKEN}.nii.gz").write_bytes(b"not a scan")
    return folder


@pytest.fixture(scope="module")
def server(copied_repository: Path, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that was started with no option but the app and the studies."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(copied_repository, studies, folder) as url:
        yield url
    assert [entry.name for entry in folder.iterdir() if entry.name not in ("log.txt", "sessions")] == []


@pytest.fixture
def client(server: str, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(server, tmpdir=str(tmp_path))


@pytest.fixture(scope="module")
def model(bundle) -> str:
    return bundle.name


def test_info_names_model_trainer_and_labels(client, model):
    info = client.info()
    assert info["models"][model]["labels"] == {"pancreas": 1, "lesion": 2}
    assert model in info["trainers"]
    assert {"random", "uncertainty", "diversity", "combined"} <= set(info["strategies"])
    assert {"threshold", "flip_averaging", "refine", "head"} <= set(info["models"][model]["config"])


def test_two_annotators_are_offered_different_studies(server):
    offered = [MONAILabelClient(server, client_id=name).next_sample("random", {})["id"] for name in ("x", "y")]
    assert offered[0] != offered[1]


@pytest.mark.parametrize("strategy", ["random", "first"])
def test_next_sample_is_a_study_without_label(client, strategy: str):
    for _ in range(2):
        assert Path(client.next_sample(strategy, {})["path"]).is_file()


def test_mask_has_the_geometry_of_the_study(client, model, studies: Path):
    path, parameters = client.infer(model, "metro_000", {})
    mask, scan = nib.load(path), nib.load(studies / "metro_000.nii.gz")
    assert mask.shape == scan.shape
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)
    assert mask.get_data_dtype() == np.uint8
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2}
    assert parameters["label_names"] == {"pancreas": 1, "lesion": 2}


def test_mask_has_the_geometry_of_an_uploaded_real_scan(client, model, shared_data: Path):
    file = shared_data / "ct_upper_abdomen_3mm.nii.gz"
    path, _ = client.infer(model, "", {}, file=str(file))
    mask, scan = nib.load(path), nib.load(file)
    assert mask.shape == scan.shape
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)


def test_second_request_is_answered_from_the_store_unless_an_option_changed(client, model):
    _, first = client.infer(model, "metro_000", {})
    _, second = client.infer(model, "metro_000", {})
    _, other = client.infer(model, "metro_000", {"threshold": 0.4})
    assert second["latencies"] == first["latencies"] != other["latencies"]
    assert set(first["scan_uncertainty"]) == {"pancreas", "lesion"}


def test_clicks_and_scribbles_correct_a_study(client, model, studies: Path, tmp_path: Path):
    before = np.asarray(nib.load(client.infer(model, "metro_000", {})[0]).dataobj)
    inside, beside = np.argwhere(before == 1)[0].tolist(), [0, 0, 0]
    # As 3D Slicer sends the points of its segments, the selected one beside them.
    points = {"pancreas": [], "lesion": [beside], "background": [inside], "label": "lesion"}
    mask = np.asarray(nib.load(client.infer("clicks", "metro_000", points)[0]).dataobj)
    assert (mask[tuple(inside)], mask[tuple(beside)]) == (0, 2)
    scan = nib.load(studies / "metro_000.nii.gz")
    painted = before.copy()
    painted[0, 0, :2] = 4
    nib.save(nib.Nifti1Image(painted.astype(np.uint8), scan.affine), tmp_path / "scribbles.nii.gz")
    names = ("pancreas", "lesion", "background_scribbles", "foreground_scribbles")
    segments = [{"name": name, "id": index} for index, name in enumerate(names, 1)]
    sent = {"roi": [], "label_info": segments, "selected_label_name": "pancreas"}
    path, _ = client.infer("scribbles", "metro_000", sent, label_in=str(tmp_path / "scribbles.nii.gz"))
    corrected = np.asarray(nib.load(path).dataobj)
    assert corrected[0, 0, :2].all()
    assert (corrected == (before == 1))[8:].all()  # 4 cm away and farther


@pytest.mark.parametrize(
    ("task", "sent", "words"),
    [
        ("clicks", {"lesion": [[10_000, 0, 0]]}, "lies outside the scan"),
        ("clicks", {"lesion": [[1, 2]]}, "has a value that cannot be used"),
        ("clicks", {"spleen": [[1, 2, 3]]}, "'spleen' is not offered"),
        ("scribbles", {"selected_label_name": "lesion"}, "There are no scribbles"),
        ("scribbles", {"label": "/etc/passwd"}, "'label' is not offered"),
    ],
)
def test_correction_that_cannot_be_made_is_answered_with_a_sentence(server, task: str, sent, words: str):
    answer = requests.post(
        f"{server}/infer/{task}", params={"image": "metro_000"}, data={"params": json.dumps(sent)}, timeout=60
    )
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/batch/infer/clicks", "/model/clicks", "/model/info/scribbles"])
def test_corrections_are_no_models_of_their_own(server, path: str):
    method = "POST" if "batch" in path else "GET"
    assert requests.request(method, server + path, json={}, timeout=60).status_code == 404


def test_other_requests_are_answered_while_a_scan_is_segmented(server, client, model):
    def ask() -> list[float]:
        seconds = []
        while not segmentation.done():
            start = time.monotonic()
            assert requests.get(f"{server}/datastore/", timeout=60).ok
            assert requests.post(f"{server}/activelearning/first", json={}, timeout=60).ok
            seconds.append(time.monotonic() - start)
            time.sleep(0.2)
        return seconds

    with ThreadPoolExecutor(4) as pool:
        segmentation = pool.submit(client.infer, model, "valley_000", {"threshold": 0.45})
        waits = [wait for answered in [pool.submit(ask) for _ in range(2)] for wait in answered.result()]
        segmentation.result()
    # In the event loop each client would get its first answer after the segmentation, and no second one.
    assert len(waits) > 4
    assert sorted(waits)[len(waits) // 2] < 1


@pytest.mark.parametrize(
    ("model_name", "study", "status", "words"),
    [
        (None, BROKEN, 422, BROKEN),
        (None, "case_7", 404, "There is no study 'case_7'"),
        ("unet", "metro_000", 404, "There is no model 'unet'"),
    ],
    ids=["unusable scan", "unknown study", "unknown model"],
)
def test_bad_request_is_answered_with_a_sentence(server, model, model_name, study, status, words):
    answer = requests.post(f"{server}/infer/{model_name or model}", params={"image": study}, timeout=120)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert words in detail
    assert "Traceback" not in detail


@pytest.mark.parametrize("options", [{"threshold": 3}, {"head": "third"}])
def test_unusable_option_is_answered_with_a_sentence(client, model, options):
    with pytest.raises(MONAILabelClientException) as error:
        client.infer(model, "metro_000", options)
    assert "Status: 422" in str(error.value)


@pytest.mark.parametrize(
    ("method", "path", "parameters"),
    [
        ("PUT", "/datastore/label", {"image": "case_7"}),
        ("DELETE", "/datastore/label", {"id": "case_7", "tag": "final"}),
        ("DELETE", "/datastore/label", {"id": "metro_000", "tag": "draft"}),
        ("DELETE", "/datastore/image", {"id": "case_7"}),
        ("GET", "/datastore/image/info", {"image": "case_7"}),
        ("GET", "/datastore/label/info", {"label": "case_7", "tag": "final"}),
        ("POST", "/train/unet", {}),
        ("POST", "/batch/infer/unet", {}),
        ("POST", "/scoring/luck", {}),
    ],
)
def test_unknown_name_is_answered_with_a_sentence(server, method, path, parameters):
    files = {"label": ("label.nii.gz", b"label")} if method == "PUT" else None
    answer = requests.request(method, server + path, params=parameters, files=files, timeout=60)
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith((".", "not found"))


def test_unknown_strategy_is_answered_with_a_sentence(client):
    with pytest.raises(MONAILabelClientException) as error:
        client.next_sample("clever", {})
    assert error.value.status_code == 404
    assert "'clever'" in json.loads(error.value.response)["detail"]


def test_saved_label_completes_its_study_and_says_who_and_how_much_was_kept(
    server, client, model, synthetic_dataset: Path
):
    client.infer(model, "coastal_000", {})
    reader = MONAILabelClient(server, client_id="reader")
    reader.save_label("coastal_000", str(synthetic_dataset / "labelsTr" / "coastal_000.nii.gz"))
    assert client.datastore()["objects"]["coastal_000"]["labels"]["final"]["info"]["annotator"] == "reader"
    offered = {client.next_sample("random", {}).get("id") for _ in range(20)}
    assert "coastal_000" not in offered
    (row,) = csv.DictReader(io.StringIO(requests.get(f"{server}/proposals/table.csv", timeout=30).text))
    assert (row["study"], row["annotator"]) == ("coastal_000", "reader")
    assert 0 < float(row["dice_pancreas"]) <= 1
    assert "coastal_000" in requests.get(f"{server}/proposals/", timeout=30).text


def test_empty_label_is_a_label(client, studies: Path, tmp_path: Path):
    scan = nib.load(studies / "metro_000.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(scan.shape, np.uint8), scan.affine), tmp_path / "empty.nii.gz")
    client.save_label("metro_000", str(tmp_path / "empty.nii.gz"))
    assert "final" in client.datastore()["objects"]["metro_000"]["labels"]
    assert requests.delete(
        f"{client.get_server_url()}/datastore/label", params={"id": "metro_000", "tag": "final"}, timeout=30
    ).ok
    assert "final" not in client.datastore()["objects"]["metro_000"]["labels"]


def test_automatic_label_never_takes_the_place_of_a_correction(client, model):
    for tag in ("final", "draft"):
        if tag == "draft":
            client.save_label("coastal_000", client.infer(model, "coastal_000", {})[0], tag)
        with pytest.raises(MONAILabelClientException) as error:
            client.infer(model, "coastal_000", {"save_label": True, "label_tag": tag})
        assert "Status: 409" in str(error.value)


def test_scores_for_the_strategies_are_computed_in_the_background(server, client, studies: Path):
    assert requests.post(f"{server}/scoring/scans", json={}, timeout=30).ok
    task = finished(client.get_server_url(), "scoring")
    assert task["status"] == "DONE", "\n".join(task["details"])
    records = [json.loads(path.read_text()) for path in (studies / "dualtask" / "results").rglob("*.json")]
    assert len([record for record in records if record["embedding"]]) >= 3
    assert [record for record in records if BROKEN in record["params"].get("error", "")]
    assert client.next_sample("combined", {}).get("id") != BROKEN


def test_training_publishes_what_is_not_worse_and_leaves_the_shipped_weights(
    server, client, model, bundle, copied_repository: Path, synthetic_dataset: Path
):
    shipped = copied_repository / "bundle" / "models" / "model.pt"
    before = hashlib.sha256(shipped.read_bytes()).digest()
    client.save_label("valley_000", str(synthetic_dataset / "labelsTr" / "valley_000.nii.gz"))
    client.train_start(model, {"max_epochs": 1})
    task = finished(client.get_server_url())
    assert task["status"] == "DONE", "\n".join(task["details"])
    assert hashlib.sha256(shipped.read_bytes()).digest() == before
    info = client.info()
    stats = info["train_stats"][model]
    outcome = stats["training"]
    assert (outcome["teaching"], outcome["judging"], outcome["without_label"]) == (1, 1, 1)
    not_worse = sum(outcome["dice"].values()) >= sum(outcome["dice_before"].values())
    assert outcome["state"] == ("published" if not_worse else "rejected")
    number = 1 if not_worse else 0
    assert info["models"][model]["version"] == stats["version"] == bundle.version + "+1" * number
    trained = copied_repository / "apps" / "dualtask" / "model" / "version_1.pt"
    current = trained if not_worse else shipped
    assert requests.get(f"{server}/model/{model}", timeout=30).content == current.read_bytes()
    _, parameters = client.infer(model, "valley_000", {})
    assert parameters["version"] == stats["version"]


def test_training_can_be_stopped(client, model):
    client.train_start(model, {"max_epochs": 1000})
    wait_until(lambda: client.train_status(check_if_running=True), seconds=60)
    client.train_stop()
    assert finished(client.get_server_url())["status"] == "STOPPED"
    assert not client.train_status(check_if_running=True)


def test_batch_inference_labels_the_studies_and_passes_over_a_broken_one(server, client, model):
    answer = requests.post(f"{server}/batch/infer/{model}", params={"images": "unlabeled"}, timeout=10)
    assert answer.ok
    task = finished(client.get_server_url(), "batch/infer")
    assert task["status"] == "DONE", "\n".join(task["details"])
    objects = client.datastore()["objects"]
    unlabelled = [study for study, record in objects.items() if "final" not in record["labels"]]
    assert {study for study in unlabelled if "original" in objects[study]["labels"]} == {*unlabelled} - {BROKEN}


def test_server_without_weights_refuses_to_start_in_one_sentence(
    copied_repository: Path, studies: Path, tmp_path: Path
):
    untrained = tmp_path / "repository"
    shutil.copytree(copied_repository, untrained, ignore=shutil.ignore_patterns("*.pt", "__pycache__"))
    command = server_command(untrained, tmp_path / "studies", free_port())
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=180
    )
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "localiser.pt is in the bundle's manifest.sha256 and not on disk" in output
    assert "Traceback" not in output
