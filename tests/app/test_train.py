"""What the training task asks of the bundle's workflow; the workflow itself is not run here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import monai.bundle
import pytest

from dualtask.errors import InputError
from lib.train import DualTaskTrain


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The calls of ``monai.bundle.run``."""
    calls: list[dict] = []
    monkeypatch.setattr(monai.bundle, "run", lambda run_id=None, **arguments: calls.append(arguments))
    return calls


@pytest.fixture
def task(bundle, tmp_path: Path) -> DualTaskTrain:
    return DualTaskTrain(bundle, tmp_path, lambda: "current.pt", {})


def labelled(count: int) -> SimpleNamespace:
    cases = [{"image": f"image_{case:03d}.nii.gz", "label": f"label_{case:03d}.nii.gz"} for case in range(count)]
    return SimpleNamespace(datalist=lambda: cases)


def train(task: DualTaskTrain, count: int = 10, **request: object) -> None:
    task({"model": "dualtask", **request}, labelled(count))


def test_request_that_says_nothing_trains_as_the_panel_shows(task, runs, monkeypatch: pytest.MonkeyPatch):
    shown = {**task.config(), "max_epochs": 7}
    monkeypatch.setattr(task, "config", lambda: shown)
    train(task)
    assert runs[0]["train#trainer#max_epochs"] == 7


def test_request_wins_over_what_the_panel_shows(task, runs):
    train(task, max_epochs=3)
    assert runs[0]["train#trainer#max_epochs"] == 3


def test_training_starts_from_the_current_weights(task, runs, bundle):
    train(task)
    assert [Path(file).name for file in runs[0]["config_file"]] == ["train.json", "finetune.json"]
    assert runs[0]["weights"] == "current.pt"


def test_training_can_start_from_scratch(task, runs):
    train(task, pretrained=False)
    assert [Path(file).name for file in runs[0]["config_file"]] == ["train.json"]


def test_everything_is_written_beside_the_app_and_nothing_into_the_bundle(task, runs, bundle, tmp_path: Path):
    train(task)
    assert runs[0]["ckpt_dir"] == str(tmp_path)
    assert runs[0]["output_dir"].startswith(str(tmp_path))


def test_ids_that_the_task_overrides_exist_in_the_bundle(task, runs):
    train(task)
    parser = monai.bundle.ConfigParser()
    parser.read_config(runs[0]["config_file"])
    ids = set(runs[0]) - {"config_file", "meta_file"}
    assert {name for name in ids if parser.get(name) is None} == set()


def test_training_and_validation_share_no_study(task, runs):
    train(task, count=10, val_split=0.2)
    training, validation = (runs[0][f"{part}#dataset#data"] for part in ("train", "validate"))
    assert len(training) == 8
    assert len(validation) == 2
    assert not [case for case in validation if case in training]


@pytest.mark.parametrize(("count", "val_split"), [(1, 0.2), (4, 0), (2, 0.2)])
def test_weights_can_always_be_saved_because_there_is_a_validation(task, runs, count: int, val_split: float):
    train(task, count=count, val_split=val_split)
    assert runs[0]["train#dataset#data"]
    assert runs[0]["validate#dataset#data"]


@pytest.mark.parametrize("epochs", [1, 3, 50])
def test_training_reaches_a_validation_however_short(task, runs, epochs: int):
    train(task, max_epochs=epochs)
    assert 1 <= runs[0]["val_interval"] <= epochs


def test_optimistic_validation_is_announced(task, runs, caplog: pytest.LogCaptureFixture):
    train(task, count=1)
    assert "Validating on the training studies (1)" in caplog.text


def test_training_without_labels_says_what_to_do(task, runs):
    with pytest.raises(InputError, match="No study has a final label"):
        train(task, count=0)
    assert runs == []


def test_tracking_by_mlflow_stays_off(task, runs):
    train(task, tracking="mlflow")
    assert "tracking" not in runs[0]


def test_several_gpus_do_not_end_the_training_before_it_begins(task, runs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "GPU")
    train(task, multi_gpu=True, device="cpu")
    assert len(runs) == 1
