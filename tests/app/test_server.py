"""The app in a real server process, asked by MONAI Label's own client. The studies are synthetic, one is shared."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

BROKEN = "broken"


def server_command(repository: Path, studies: Path, port: int) -> list[str]:
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(repository / "apps" / "dualtask")]
    return [*command, "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]


def environment(folder: Path) -> dict[str, str]:
    """One thread per process, and sessions in ``folder`` instead of the home directory."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


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
    port = free_port()
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(
            server_command(copied_repository, studies, port),
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: process.poll() is not None or answers(url), seconds=180)
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)
    assert [entry.name for entry in folder.iterdir() if entry.name not in ("log.txt", "sessions")] == []


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/info/", timeout=5).ok
    except requests.ConnectionError:
        return False


def wait_until(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


@pytest.fixture
def client(server: str, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(server, tmpdir=str(tmp_path))


@pytest.fixture(scope="module")
def model(bundle) -> str:
    return bundle.name


def finished(client: MONAILabelClient, task: str = "train") -> dict:
    """The task's record once it has ended."""

    def status() -> dict:
        return requests.get(f"{client.get_server_url()}/{task}/", timeout=10).json()

    wait_until(lambda: status()["status"] not in ("SUBMITTED", "RUNNING"), seconds=300)
    return status()


def test_info_names_model_trainer_and_labels(client, model):
    info = client.info()
    assert info["models"][model]["labels"] == {"pancreas": 1, "lesion": 2}
    assert model in info["trainers"]
    assert set(info["strategies"]) == {"random", "first"}


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


def test_unknown_strategy_is_answered_with_a_sentence(client):
    with pytest.raises(MONAILabelClientException) as error:
        client.next_sample("clever", {})
    assert error.value.status_code == 404
    assert "'clever'" in json.loads(error.value.response)["detail"]


def test_saved_label_completes_its_study(client, synthetic_dataset: Path):
    client.save_label("coastal_000", str(synthetic_dataset / "labelsTr" / "coastal_000.nii.gz"))
    assert "final" in client.datastore()["objects"]["coastal_000"]["labels"]
    offered = {client.next_sample("random", {})["id"] for _ in range(20)}
    assert "coastal_000" not in offered


def test_server_answers_after_a_reload(server, client):
    assert requests.post(f"{server}/reload", timeout=10).ok
    answer = requests.post(f"{server}/activelearning/first", json={}, timeout=30)
    assert answer.json()["id"]


def test_training_publishes_weights_and_leaves_the_shipped_ones(
    server, client, model, copied_repository: Path, synthetic_dataset: Path
):
    shipped = copied_repository / "bundle" / "models" / "model.pt"
    before = hashlib.sha256(shipped.read_bytes()).digest()
    client.save_label("valley_000", str(synthetic_dataset / "labelsTr" / "valley_000.nii.gz"))
    client.train_start(model, {"max_epochs": 1})
    task = finished(client)
    assert task["status"] == "DONE", "\n".join(task["details"])
    assert hashlib.sha256(shipped.read_bytes()).digest() == before
    trained = copied_repository / "apps" / "dualtask" / "model" / "model.pt"
    assert requests.get(f"{server}/model/{model}", timeout=30).content == trained.read_bytes()
    path, _ = client.infer(model, "valley_000", {})
    assert nib.load(path).shape == nib.load(synthetic_dataset / "imagesTr" / "valley_000.nii.gz").shape


def test_training_can_be_stopped(client, model):
    client.train_start(model, {"max_epochs": 1000})
    wait_until(lambda: client.train_status(check_if_running=True), seconds=60)
    client.train_stop()
    assert finished(client)["status"] == "STOPPED"
    assert not client.train_status(check_if_running=True)


def test_batch_inference_labels_the_studies_and_passes_over_a_broken_one(server, client, model):
    answer = requests.post(f"{server}/batch/infer/{model}", params={"images": "unlabeled"}, timeout=10)
    assert answer.ok
    task = finished(client, "batch/infer")
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
    assert "No weights at" in output
    assert "Traceback" not in output
