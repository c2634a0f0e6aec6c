"""What the training task asks of the bundle's workflows, and what it does with their results; neither is run here."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from dualtask.errors import InputError
from dualtask.evaluation import METRICS
from dualtask.evaluation.tables import write_scores
from lib.options import GO_BACK
from lib.train import DualTaskTrain
from lib.versions import WeightVersions


class Workflows:
    """Stands for ``monai.bundle.run``: keeps the calls; training writes weights, evaluating scores them."""

    def __init__(self) -> None:
        self.trainings: list[dict] = []
        self.evaluations: list[dict] = []
        self.dice = {"current": 0.5, "candidate": 0.6}
        self.killed = False

    def __call__(self, run_id: str | None = None, **arguments: object) -> None:
        if run_id == "evaluating":
            self.evaluations.append(arguments)
            weights = "candidate" if "candidate" in arguments["weights"] else "current"
            scores = {**dict.fromkeys(METRICS, 0.0), "dice": self.dice[weights]}
            rows = [{"case": "a", "site": "", "structure": name, **scores} for name in ("pancreas", "lesion")]
            write_scores(Path(arguments["output_dir"]) / "metrics.csv", rows)
        else:
            self.trainings.append(arguments)
            weights = Path(arguments["ckpt_dir"]) / arguments["ckpt_name"]
            assert weights.parent.is_dir()
            if self.killed:
                raise KeyboardInterrupt
            weights.write_bytes(f"weights {len(self.trainings)}".encode())


@pytest.fixture
def workflows(monkeypatch: pytest.MonkeyPatch) -> Workflows:
    workflows = Workflows()
    monkeypatch.setattr(monai.bundle, "run", workflows)
    monkeypatch.setattr("os.nice", lambda increment: None)
    return workflows


@pytest.fixture
def task(bundle, tmp_path: Path) -> DualTaskTrain:
    return DualTaskTrain(bundle, WeightVersions(tmp_path / "model", bundle.root / "models" / "model.pt", "1.0"), {})


@pytest.fixture
def train(task: DualTaskTrain, tmp_path: Path):
    """Train on so many labelled studies, and so many without a label."""

    def train(count: int = 10, others: int = 0, **request: object) -> dict:
        cases = [tmp_path / f"label_{case:03d}.nii.gz" for case in range(count)]
        for label in cases:
            label.exists() or label.touch()
        scans = [tmp_path / f"scan_{number:03d}.nii.gz" for number in range(others)]
        for scan in scans:
            nib.save(
                nib.Nifti1Image(np.random.default_rng(0).integers(-500, 500, (8, 8, 8), np.int16), np.eye(4)), scan
            )
        datastore = SimpleNamespace(
            datalist=lambda: [
                {"image": str(label).replace("label_", "image_"), "label": str(label), "more": 1} for label in cases
            ],
            get_unlabeled_images=lambda: [str(scan) for scan in scans],
            scan_at_hand=lambda scan: scan,
        )
        return task({"model": "dualtask", **request}, datastore)

    return train


def test_request_that_says_nothing_trains_as_the_panel_shows(task, train, workflows, monkeypatch: pytest.MonkeyPatch):
    shown = {**task.config(), "max_epochs": 7}
    monkeypatch.setattr(task, "config", lambda: shown)
    train()
    assert workflows.trainings[0]["train#trainer#max_epochs"] == 7


def test_request_wins_over_what_the_panel_shows(train, workflows):
    train(max_epochs=3)
    assert workflows.trainings[0]["train#trainer#max_epochs"] == 3


def test_training_starts_from_the_current_weights(task, train, workflows):
    current = str(task.versions.path)
    train()
    assert [Path(file).name for file in workflows.trainings[0]["config_file"]] == ["train.json", "finetune.json"]
    assert workflows.trainings[0]["weights"] == current


def test_training_can_start_from_scratch(train, workflows):
    train(pretrained=False)
    assert [Path(file).name for file in workflows.trainings[0]["config_file"]] == ["train.json"]


def test_everything_is_written_beside_the_app_and_nothing_into_the_bundle(train, workflows, tmp_path: Path):
    train()
    written = [workflows.trainings[0]["ckpt_dir"], *(run["output_dir"] for run in workflows.trainings)]
    written += [run["output_dir"] for run in workflows.evaluations]
    assert all(folder.startswith(str(tmp_path)) for folder in written)


def test_ids_that_the_task_overrides_exist_in_the_bundle(train, workflows):
    train()
    for run in (workflows.trainings[0], workflows.evaluations[0]):
        parser = monai.bundle.ConfigParser()
        parser.read_config(run["config_file"])
        ids = set(run) - {"config_file", "meta_file"}
        assert {name for name in ids if parser.get(name) is None} == set()


def test_judging_needs_no_data_set_beside_the_judges(train, workflows):
    train()
    overrides = dict(workflows.evaluations[0])
    parser = monai.bundle.ConfigParser()
    parser.read_config(overrides.pop("config_file"))
    parser.read_meta(overrides.pop("meta_file"))
    parser.update({**overrides, "dataset_dir": "$missing"})
    for name in ("postprocessing", "handlers"):
        parser.get_parsed_content(name)


def test_held_out_studies_judge_and_never_teach(train, workflows):
    train(count=30)
    run = workflows.trainings[0]
    teaching, judging = run["train#dataset#data"], run["validate#dataset#data"]
    assert len(teaching) + len(judging) == 30
    assert not [case for case in judging if case in teaching]
    assert all(evaluation["cases"] == judging for evaluation in workflows.evaluations)


def test_only_studies_with_a_final_label_teach_and_others_take_part_without_one(train, workflows):
    train(count=4, others=2)
    teaching = workflows.trainings[0]["train#dataset#data"]
    assert sorted(Path(case["image"]).name for case in teaching if "label" not in case) == [
        "scan_000.nii.gz",
        "scan_001.nii.gz",
    ]
    assert all(set(case) <= {"image", "label"} for case in teaching)


def test_scan_without_label_that_cannot_be_read_is_left_out(task, train, workflows, tmp_path: Path, caplog):
    (tmp_path / "broken.nii.gz").write_bytes(b"not a scan")
    datastore = SimpleNamespace(
        datalist=lambda: [{"image": "image.nii.gz", "label": __file__}],
        get_unlabeled_images=lambda: ["broken"],
        scan_at_hand=lambda study: str(tmp_path / "broken.nii.gz"),
    )
    task({"model": "dualtask"}, datastore)
    assert workflows.trainings[0]["train#dataset#data"] == [{"image": "image.nii.gz", "label": __file__}]
    assert "broken.nii.gz" in caplog.text


def test_only_labelled_study_teaches_and_judges_with_a_warning(train, workflows, caplog):
    train(count=1)
    run = workflows.trainings[0]
    assert run["train#dataset#data"] == run["validate#dataset#data"] != []
    assert "the Dice will be too good" in caplog.text


@pytest.mark.parametrize("dice", [0.5, 0.9])
def test_weights_that_are_not_worse_are_published(task, train, workflows, dice: float):
    workflows.dice["candidate"] = dice
    assert train() == {"version": "1.0+1"}
    assert task.versions.path.read_bytes() == b"weights 1"
    stats = task.stats()
    assert stats["training"]["state"] == "published"
    assert stats["published"][0]["dice"] == {"pancreas": dice, "lesion": dice}
    assert stats["published"][0]["dice_before"] == {"pancreas": 0.5, "lesion": 0.5}


def test_worse_weights_are_not_published(task, train, workflows):
    before = task.versions.path
    workflows.dice["candidate"] = 0.49
    assert train() == {"version": "1.0"}
    assert task.versions.path == before
    assert task.stats()["training"]["state"] == "rejected"


def test_both_weights_are_scored_in_the_same_way(train, workflows):
    train()
    before, after = ({**run, "weights": ""} for run in workflows.evaluations)
    assert before == after
    assert [Path(file).name for file in before["config_file"]] == ["inference.json", "evaluate.json"]


def test_next_training_replays_earlier_cases_beside_new_ones(task, train, workflows):
    train(count=150)
    train(count=152)
    first, second = ({case["label"] for case in run["train#dataset#data"]} for run in workflows.trainings)
    new = second - first
    assert 0 < len(new) <= 2
    assert len(second - new) == 20


def test_going_back_serves_the_version_before(task, train, workflows):
    train()
    train()
    assert train(action=GO_BACK) == {"version": "1.0+1"}
    assert task.versions.path.read_bytes() == b"weights 1"
    assert len(workflows.trainings) == 2


def test_training_without_labels_says_what_to_do(train, workflows):
    with pytest.raises(InputError, match="No study has a final label"):
        train(count=0)
    assert workflows.trainings == []


def test_unknown_action_is_refused_in_a_sentence(train, workflows):
    with pytest.raises(InputError, match="There is no action 'forget'"):
        train(action="forget")


def test_second_training_at_the_same_time_is_refused(task, train, workflows):
    task.folder.mkdir(parents=True)
    with FileLock(task.folder / ".lock"), pytest.raises(InputError, match="running already"):
        train()


def test_failure_is_shown_with_its_sentence(task, train, workflows, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **options: object) -> None:
        raise InputError("label_001.nii.gz lies elsewhere.")

    monkeypatch.setattr(monai.bundle, "run", fail)
    with pytest.raises(InputError):
        train()
    assert task.stats()["training"]["error"] == "label_001.nii.gz lies elsewhere."


def test_killed_training_is_shown_as_interrupted_and_leaves_the_weights(task, monkeypatch: pytest.MonkeyPatch):
    task.progress.write("training", max_epochs=5)
    assert task.stats()["training"]["state"] == "training"
    monkeypatch.setattr("psutil.pid_exists", lambda process: False)
    assert task.stats()["training"] == {"state": "interrupted", "max_epochs": 5}
    assert task.versions.current == 0


def test_left_over_weights_of_a_killed_training_are_not_taken_for_new_ones(task, train, workflows):
    (task.folder / "candidate").mkdir(parents=True)
    (task.folder / "candidate" / "model.pt").write_bytes(b"left over")
    train()
    assert task.versions.path.read_bytes() == b"weights 1"


@pytest.fixture
def killed(train, workflows) -> None:
    """A training was killed."""
    workflows.killed = True
    with pytest.raises(KeyboardInterrupt):
        train()
    workflows.killed = False


def test_killed_training_is_continued_by_the_next(killed, task, train, workflows):
    left = task.folder / "candidate" / "model_last.pt"
    left.write_bytes(b"state")
    train()
    assert workflows.trainings[-1]["resume"] is True
    assert left.read_bytes() == b"state"
    assert task.versions.current == 1


@pytest.mark.parametrize(
    "change", [{"count": 11}, {"others": 1}, {"max_epochs": 3}, {"pretrained": False}], ids=lambda change: str(change)
)
def test_killed_training_of_other_studies_or_settings_is_not_continued(killed, task, train, workflows, change):
    (task.folder / "candidate" / "model_last.pt").write_bytes(b"state")
    train(**change)
    assert workflows.trainings[-1]["resume"] is False
    assert not (task.folder / "candidate" / "model_last.pt").exists()


def test_killed_training_is_not_continued_after_a_correction(killed, train, workflows, tmp_path: Path):
    os.utime(tmp_path / "label_004.nii.gz", ns=(1, 1))
    train()
    assert workflows.trainings[-1]["resume"] is False


def test_training_that_ended_is_not_continued(task, train, workflows):
    for judged in (0.4, 0.6, 0.6):  # rejected, published, anew
        workflows.dice["candidate"] = judged
        train()
        assert workflows.trainings[-1]["resume"] is False


def test_failed_training_is_not_continued(train, workflows, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **options: object) -> None:
        raise InputError("label_001.nii.gz lies elsewhere.")

    with monkeypatch.context() as failing, pytest.raises(InputError):
        failing.setattr(monai.bundle, "run", fail)
        train()
    train()
    assert workflows.trainings[-1]["resume"] is False


def test_tracking_by_mlflow_stays_off(train, workflows):
    train(tracking="mlflow")
    assert "tracking" not in workflows.trainings[0]


def test_several_gpus_do_not_end_the_training_before_it_begins(train, workflows, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "GPU")
    train(multi_gpu=True, device="cpu")
    assert len(workflows.trainings) == 1
