"""Training survives its process: it resumes exactly, stops when told, and leaves a record of every term."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dualtask.errors import InputError, find_input_error
from dualtask.handlers import EarlyStop
from small_workflows import SMALL_GRID

EPOCHS = 3


def settings(dataset: Path, folder: Path, **overrides: Any) -> dict[str, Any]:
    """A training of seconds with a teacher; ``folder`` takes all that it writes."""
    return {
        "loss#weights#output_consistency": 0.5,
        "dataset_dir": str(dataset),
        "ckpt_dir": str(folder),
        "output_dir": str(folder),
        "image_format": SMALL_GRID,
        "validate#crop#margin": [0, 0, 0],
        "val_interval": 1,
        "tracking_uri": "",
        "train#trainer#max_epochs": EPOCHS,
        "train#dataloader#num_workers": 0,
        **overrides,
    }


def history(folder: Path) -> list[dict]:
    return json.loads((folder / "history.json").read_text())


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "model_last.pt", weights_only=True)


def tracked(folder: Path) -> dict[str, Any]:
    """The settings that switch the record in MLflow on."""
    return {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}"}


@pytest.fixture
def build(workflow: Callable[..., ConfigWorkflow], small_dataset: Path) -> Callable[..., ConfigWorkflow]:
    return lambda folder, *overlays, **overrides: workflow(
        "train.json", *overlays, **settings(small_dataset, folder, **overrides)
    )


@pytest.fixture(scope="module")
def uninterrupted(bundle_root: Path, small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that ran from its first to its last epoch at once."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    built = ConfigWorkflow(
        str(bundle_root / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        **settings(small_dataset, folder, **tracked(folder)),
    )
    built.run()
    return folder


def run_until(built: ConfigWorkflow, epoch: int) -> None:
    """Run, and die in the middle of ``epoch``."""

    def die(trainer: Engine) -> None:
        if trainer.state.epoch == epoch:
            raise RuntimeError("power cut")

    # The workflow does so before it builds the network, which is built here already.
    set_determinism(seed=0)
    built.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED, die)
    with pytest.raises(RuntimeError, match="Failed to evaluate"):
        built.run()


def assert_same_training(one: Path, other: Path) -> None:
    """Same course, and the same state at the end, bit for bit."""
    assert history(one) == history(other)
    states = last(one), last(other)
    for name in ("lr_scheduler", "best", "early_stop", "trainer"):
        assert states[0][name] == states[1][name]
    for name in ("model", "averaged", "optimizer"):
        torch.testing.assert_close(*(state[name] for state in states), rtol=0, atol=0)
    best = (torch.load(folder / "model.pt", weights_only=True) for folder in (one, other))
    torch.testing.assert_close(*best, rtol=0, atol=0)


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(build, uninterrupted, tmp_path):
    run_until(build(tmp_path, **tracked(tmp_path)), epoch=3)
    assert [epoch["epoch"] for epoch in history(tmp_path)] == [1, 2]
    build(tmp_path, resume=True, **tracked(tmp_path)).run()
    assert [epoch["epoch"] for epoch in history(tmp_path)] == [1, 2, 3]
    assert_same_training(tmp_path, uninterrupted)
    assert not (tmp_path / "model_previous.pt").exists()
    (run,) = runs(tmp_path)
    assert [point.step for point in metric(tmp_path, run, "loss")] == [1, 2, 3]


def test_resuming_is_exact_with_a_worker_process_too(build, tmp_path):
    worker = {"train#dataloader#num_workers": 1, "train#trainer#max_epochs": 2}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    build(whole, **worker).run()
    run_until(build(broken, **worker), epoch=2)
    build(broken, resume=True, **worker).run()
    assert_same_training(broken, whole)


def test_epochs_differ_from_each_other(uninterrupted):
    """The seed of an epoch is not the seed of the training."""
    losses = [epoch["terms"]["output_consistency"] for epoch in history(uninterrupted)]
    assert len(set(losses)) == EPOCHS


@pytest.fixture
def command(bundle_root: Path, small_dataset: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the command that users type; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        line = [sys.executable, "-m", "monai.bundle", "run", "training"]
        line += ["--config_file", str(bundle_root / "configs" / "train.json")]
        line += ["--logging_file", str(bundle_root / "configs" / "logging.conf")]
        for key, value in settings(small_dataset, tmp_path).items():
            line += [f"--{key}", str(value)]
        with (tmp_path / "output.txt").open("w") as output:
            started.append(subprocess.Popen([*line, *arguments], stdout=output, stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_process_killed_in_the_middle_of_an_epoch_loses_that_epoch_only(command, uninterrupted, tmp_path):
    process = command()
    deadline = time.monotonic() + 300
    while not (tmp_path / "model_last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    trainer = last(tmp_path)["trainer"]
    done = trainer["iteration"] // trainer["epoch_length"]
    assert 1 <= done < EPOCHS
    code = command("--resume", "true").wait()
    output = (tmp_path / "output.txt").read_text()
    assert code == 0, output[-2000:]
    assert f"{done} of {EPOCHS} epochs are done" in output
    assert_same_training(tmp_path, uninterrupted)
    assert not list(tmp_path.glob(".*"))


def test_what_is_validated_and_kept_is_the_average_of_the_weights(build, tmp_path):
    built = build(tmp_path, **{"train#trainer#max_epochs": 2, "val_interval": 2})
    built.run()
    averaged = {
        name.removeprefix("module."): values
        for name, values in last(tmp_path)["averaged"].items()
        if name.startswith("module.")
    }
    torch.testing.assert_close(torch.load(tmp_path / "model.pt", weights_only=True), averaged, rtol=0, atol=0)
    part = built.parser.get_parsed_content
    assert part("validate#evaluator").network is part("averaged") is part("teacher")
    trained = dict(part("network").state_dict())
    assert any(not torch.equal(values, trained[name]) for name, values in averaged.items())


def test_the_history_says_what_each_head_knows_of_each_structure(uninterrupted):
    for epoch in history(uninterrupted):
        found = epoch["diagnostics"]
        assert {"dice_classification_pancreas", "dice_regression_pancreas", "inside_share_pancreas"} <= set(found)
        # A crop has a lesion that is found, or none that is falsely seen.
        assert {"inside_share_lesion", "false_alarms_lesion"} & set(found)
        assert all(0 <= found[name] <= 1 for name in found if not name.startswith("band_error"))
        assert 0 <= found["band_error_mm_pancreas"] <= 2 * 15.0


def test_without_a_checkpoint_resuming_starts_from_scratch_and_says_so(build, tmp_path, caplog):
    caplog.set_level("INFO")
    build(tmp_path, resume=True, **{"train#trainer#max_epochs": 1}).run()
    assert len(history(tmp_path)) == 1
    assert "training starts from scratch" in caplog.text


def refusal(built: ConfigWorkflow) -> str:
    with pytest.raises(RuntimeError) as failure:
        built.run()
    error = find_input_error(failure.value)
    assert isinstance(error, InputError)
    return str(error)


DAMAGE = {"cut off": lambda whole: whole[: len(whole) // 2], "empty": lambda _: b"", "no checkpoint": lambda _: b"text"}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_ends_with_one_sentence_and_stays_as_it_is(damage, build, uninterrupted, tmp_path):
    damaged = DAMAGE[damage]((uninterrupted / "model_last.pt").read_bytes())
    (tmp_path / "model_last.pt").write_bytes(damaged)
    assert "is damaged" in refusal(build(tmp_path, resume=True))
    assert (tmp_path / "model_last.pt").read_bytes() == damaged


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train#trainer#max_epochs": 9}, "max_epochs was 3 and is 9"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"loss#weights#regression": 0.5}, "weight_regression was 0.1 and is 0.5"),
        ({"network_def#backbone#width": 8}, "another network"),
    ],
)
def test_another_training_is_not_resumed(changed, words, build, uninterrupted, tmp_path):
    (tmp_path / "model_last.pt").write_bytes((uninterrupted / "model_last.pt").read_bytes())
    assert words in refusal(build(tmp_path, resume=True, **changed))
    assert not (tmp_path / "history.json").exists()


def test_a_resumed_fine_tuning_goes_on_from_its_own_weights(build, uninterrupted, tmp_path):
    (tmp_path / "model_last.pt").write_bytes((uninterrupted / "model_last.pt").read_bytes())
    built = build(tmp_path, "finetune.json", resume=True, learning_rate=0.001)
    built.run()
    assert (
        last(uninterrupted)["trainer"]["iteration"] == built.parser.get_parsed_content("train#trainer").state.iteration
    )
    torch.testing.assert_close(
        dict(built.parser.get_parsed_content("network").state_dict()), dict(last(uninterrupted)["model"])
    )


def test_training_stops_when_validation_gets_no_better_and_stays_stopped(build, tmp_path):
    # Without a step of the optimiser no validation is better than the first.
    still = {"learning_rate": 0.0, "early_stop_patience": 1}
    build(tmp_path, **still).run()
    assert len(history(tmp_path)) == 2
    build(tmp_path, resume=True, **still).run()
    assert len(history(tmp_path)) == 2
    build(tmp_path, resume=True, **{**still, "early_stop_patience": 2}).run()
    assert len(history(tmp_path)) == 3


@pytest.mark.parametrize(("patience", "validations"), [(1, 3), (2, 6), (0, 8), (None, 8)])
def test_patience_counts_validations_without_a_new_best(patience, validations):
    scores = iter([0.1, 0.2, 0.2, 0.3, 0.1, 0.2, 0.1, 0.1])
    trainer, evaluator = (Engine(lambda engine, batch: None) for _ in range(2))
    evaluator.state.key_metric_name = "dice"
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.state.metrics.update(dice=next(scores)))
    EarlyStop(patience, evaluator).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
    trainer.run([0], max_epochs=8)
    assert trainer.state.epoch == validations


def runs(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client.search_runs([client.get_experiment_by_name("training").experiment_id])


def metric(folder: Path, run: mlflow.entities.Run, name: str) -> list[mlflow.entities.Metric]:
    points = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").get_metric_history(run.info.run_id, name)
    return sorted(points, key=lambda point: point.step)


def curves(folder: Path) -> dict[str, list[float]]:
    """Name -> mean per epoch of the total, of every term, diagnostic and validation metric that every epoch has."""
    groups = ("terms", "diagnostics", "validation")
    epochs = [
        {"loss": epoch["loss"], **{k: v for group in groups for k, v in epoch[group].items()}}
        for epoch in history(folder)
    ]
    return {name: [epoch[name] for epoch in epochs] for name in epochs[0] if all(name in epoch for epoch in epochs)}


def test_tensorboard_shows_each_term_per_epoch_and_per_iteration(uninterrupted):
    scalars: dict[str, list] = {}
    for file in (uninterrupted / "tensorboard").iterdir():
        events = EventAccumulator(str(file)).Reload()
        scalars |= {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert "dice_regression_pancreas" in curves(uninterrupted)
    for name, values in curves(uninterrupted).items():
        assert [event.step for event in scalars[name]] == [1, 2, 3]
        assert [event.value for event in scalars[name]] == pytest.approx(values, rel=1e-6)
    for name in ("loss", *history(uninterrupted)[0]["terms"]):
        steps = [event.value for event in scalars[f"iteration/{name}"]]
        assert sum(steps) / len(steps) == pytest.approx(sum(curves(uninterrupted)[name]) / EPOCHS, rel=1e-5)
    assert scalars["learning_rate"][0].value == pytest.approx(0.001)
    assert scalars["learning_rate"][2].value < scalars["learning_rate"][1].value


def test_mlflow_has_one_finished_run_with_parameters_and_every_curve(uninterrupted):
    (run,) = runs(uninterrupted)
    assert run.info.status == "FINISHED"
    parameters = run.data.params
    assert (parameters["seed"], parameters["learning_rate"], parameters["max_epochs"]) == ("0", "0.001", "3")
    assert (parameters["training_cases"], parameters["validation_cases"]) == ("2", "2")
    assert parameters["weight_feature_contrast"] == "0.1"
    for name, values in curves(uninterrupted).items():
        points = metric(uninterrupted, run, name)
        assert [point.step for point in points] == [1, 2, 3]
        assert [point.value for point in points] == pytest.approx(values)
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(uninterrupted)


def test_a_training_begun_anew_gets_a_run_of_its_own_beside_one_that_died(build, tmp_path):
    once = {"train#trainer#max_epochs": 1, **tracked(tmp_path)}
    run_until(build(tmp_path, **once), epoch=1)
    build(tmp_path, **{**once, "learning_rate": 0.01}).run()
    assert sorted(run.data.params["learning_rate"] for run in runs(tmp_path)) == ["0.001", "0.01"]


def test_the_record_in_mlflow_is_switched_off_by_one_line(build, tmp_path):
    part = build(tmp_path, tracking_uri=None).parser.get_parsed_content
    assert part("train#tracking") is None
    part("train#trainer")
    assert not list(tmp_path.rglob("mlflow.db"))
