"""A study runs what is not done, keeps the test site out of every choice, and loses nothing when a run fails."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fire.parser import DefaultParseValue
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from monai.bundle import ConfigParser

from dualtask.errors import InputError
from dualtask.scans import decathlon_datalist
from dualtask_research.jobs.pool import JobPool
from dualtask_research.sites.folds import deal_folds
from dualtask_research.studies import plan_runs, read_study, runner
from dualtask_research.studies.__main__ import main
from dualtask_research.studies.runner import collect, commands, run_study
from dualtask_research.studies.tracking import track
from small_workflows import SMALL_GRID

STUDIES = Path(__file__).parents[2] / "configs" / "studies"
STUDY_NAMES = sorted(path.stem for path in STUDIES.glob("*.json") if "variants" in json.loads(path.read_text()))
TINY = {
    "train#trainer#max_epochs": 1,
    "val_interval": 1,
    "train#dataloader#num_workers": 0,
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def study(**changes: object) -> Path:
        content = {
            "description": "Two variants at one site.",
            "test_sites": ["valley"],
            "seeds": [0],
            "training": TINY,
            "localiser_training": TINY,
            "variants": {"full": {"seeds": [0, 1]}, "less": {"overlays": ["less.json"]}},
            **changes,
        }
        (tmp_path / "less.json").write_text(json.dumps({"loss#weights#regression": 0.0}))
        (tmp_path / "tiny.json").write_text(json.dumps(content))
        return tmp_path / "tiny.json"

    return study


def finish(command: list[str], **options: object) -> subprocess.CompletedProcess:
    """Stands for a workflow: writes the files that a real one would."""
    output = Path(command[command.index("--output_dir") + 1])
    if "evaluating" in command:
        rows = "case,site,structure,dice,uncertainty\na,valley,pancreas,0.8,0.25\na,valley,lesion,0.3,0.5\n"
        (output / "metrics.csv").write_text(rows)
    return subprocess.CompletedProcess(command, 0)


@pytest.mark.parametrize("name", STUDY_NAMES)
def test_the_studies_of_the_repository_can_be_planned(name):
    study = read_study(STUDIES / f"{name}.json")
    runs = plan_runs(study)
    assert len({run.name for run in runs}) == len(runs)
    assert all(overlay.is_file() for variant in study.variants for overlay in variant.overlays)


def test_the_localiser_of_a_fold_is_shared_by_its_variants_and_seeds_and_precedes_them(write):
    names = [run.name for run in plan_runs(read_study(write()))]
    assert names == [
        "localiser/valley/seed0",
        "full/valley/seed0",
        "less/valley/seed0",
        "full/valley/seed1",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": {"less": {"overlays": ["absent.json"]}}}, r"absent\.json, which does not exist"),
        ({"variants": None}, "cannot be read"),
        ({"test_sites": None}, "cannot be read"),
        ({"slurm": "gpu"}, "cannot be read"),
        ({"endpoints": {"liver": ["valley"]}}, "endpoint of liver: name pancreas or lesion"),
        ({"endpoints": {"lesion": ["metro"]}}, "endpoint at metro, which no fold leaves out"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(changes, words, write):
    with pytest.raises(InputError, match=words):
        read_study(write(**changes))


def test_a_study_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no study"):
        read_study(tmp_path / "absent.json")


def test_a_test_site_that_the_data_lack_is_refused(write, small_dataset, tmp_path):
    with pytest.raises(InputError, match="no case of the site metro"):
        run_study(read_study(write(test_sites=["metro"])), small_dataset, tmp_path / "out", JobPool())


def write_patients(dataset_dir: Path, output_dir: Path) -> None:
    """The two cases of each of the two sites as patients of two folds."""
    deal_folds(dataset_dir, {"coastal": "coastal", "valley": "valley"}, 2, output_dir)


def resolve(command: list[str]) -> ConfigParser:
    """What ``monai.bundle run`` makes of a command of a study."""
    words = command[command.index("run") + 2 :]
    options = dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2], strict=True))
    parser = ConfigParser()
    parser.read_meta(options.pop("meta_file"))
    options.pop("logging_file")
    parser.read_config(literal_eval(options.pop("config_file")))
    for key, value in options.items():
        parser[key] = DefaultParseValue(value)
    return parser


def test_the_test_site_reaches_neither_training_nor_validation_and_alone_is_evaluated(write, small_dataset):
    leak = {"test_sites": ["coastal"]}
    study = read_study(write(training=leak, localiser_training=leak, inference=leak))
    for run in plan_runs(study):
        for command in commands(study, run, small_dataset, Path("out")):
            parser = resolve(command)
            if "training" in command:
                for part in ("train", "validate"):
                    cases = parser.get_parsed_content(f"{part}#dataset#data", eval_expr=True)
                    assert {case["site"] for case in cases} == {"coastal"}
            else:
                valley = [case["image"] for case in decathlon_datalist(small_dataset, sites=["valley"])]
                assert parser.get_parsed_content("datalist") == valley
                assert [case["image"] for case in parser.get_parsed_content("cases")] == valley


def test_a_fold_may_leave_out_several_sites_together(write, small_dataset, tmp_path):
    write_patients(small_dataset, tmp_path / "folds")
    study = read_study(write(test_sites=[["coastal_1", "valley_1"], "coastal_2"], variants={"full": {}}))
    runs = plan_runs(study)
    assert [run.name for run in runs if run.variant] == ["full/coastal_1+valley_1/seed0", "full/coastal_2/seed0"]
    for run, held_out in (runs[2], {"coastal_1", "valley_1"}), (runs[3], {"coastal_2"}):
        training, evaluation = (resolve(command) for command in commands(study, run, tmp_path / "folds", Path("out")))
        for part in ("train", "validate"):
            cases = training.get_parsed_content(f"{part}#dataset#data", eval_expr=True)
            assert not held_out & {case["site"] for case in cases}
        assert {case["site"] for case in evaluation.get_parsed_content("cases")} == held_out


def test_overlays_of_training_reach_localiser_and_variants_before_their_own_but_no_inference(write, small_dataset):
    overlays = {"training_overlays": ["caching.json"], "variants": {"less": {"overlays": ["less.json"]}}}
    (write().parent / "caching.json").write_text(json.dumps({"loss#weights#regression": 0.25}))
    study = read_study(write(**overlays))
    localiser, less = (commands(study, run, small_dataset, Path("out")) for run in plan_runs(study))
    assert resolve(localiser[0]).get_parsed_content("loss#weights#regression") == 0.25
    assert resolve(less[0]).get_parsed_content("loss#weights#regression") == 0.0
    assert not any("caching.json" in word for word in less[1])


def test_the_folds_of_real_patients_share_what_the_fold_that_is_left_out_leaves(small_dataset):
    study = read_study(STUDIES / "real_cross_validation.json")
    for run in plan_runs(study):
        shares = resolve(commands(study, run, small_dataset, Path("out"))[0]).get_parsed_content("site_shares")
        real = {f"{name}_{fold}" for name in ("btcv", "msd") for fold in (1, 2, 3)} - {*study.folds[run.test_site]}
        assert shares.keys() == {*real, "alpine", "coastal", "metro", "valley"}


@pytest.mark.parametrize("name", STUDY_NAMES)
def test_the_networks_of_a_fold_are_used_as_they_were_trained(name, small_dataset, tmp_path):
    study = read_study(STUDIES / f"{name}.json")
    runs = [run for run in plan_runs(study) if (run.test_site, run.seed) == (next(iter(study.folds)), 0)]
    localiser = resolve(commands(study, runs[0], small_dataset, tmp_path)[0])
    assert runs[0].name.startswith("localiser/")
    for run in runs:
        training, *evaluations = (resolve(command) for command in commands(study, run, small_dataset, tmp_path))
        weights = tmp_path / run.name / "model.pt"
        weights.parent.mkdir(parents=True)
        torch.save(training.get_parsed_content("network_def").state_dict(), weights)
        for inference in evaluations:
            for part in ("image_format", "pred_format"):
                assert inference.get_parsed_content(part) == training.get_parsed_content(part)
            used = inference.get_parsed_content("network")
            trained = training.get_parsed_content("network_def")
            assert used.bounded == trained.bounded
            assert torch.equal(used.regression_share, trained.regression_share)
            assert torch.equal(used.sharpness, trained.sharpness)
            assert inference.get_parsed_content("inferer").truncation.flatten().tolist() == (
                training.get_parsed_content("truncation")
            )
            sharpness = localiser.get_parsed_content("network_def").sharpness
            assert torch.equal(inference.get_parsed_content("localiser").sharpness, sharpness)


def test_what_is_done_is_not_run_again_and_other_settings_are_refused(
    write, small_dataset, tmp_path, monkeypatch, run_here
):
    ran: list[str] = []
    tracked: list[str] = []
    monkeypatch.setattr(runner, "track", lambda output_dir, study, run, *others: tracked.append(run.name))
    run_here(lambda command, **options: ran.append(command) or finish(command))
    study = read_study(write(variants={"full": {}}))
    for _ in range(2):
        run_study(study, small_dataset, tmp_path / "out", JobPool())
        assert len(ran) == 3
        assert tracked == ["localiser/valley/seed0", "full/valley/seed0"]
    changed = read_study(write(variants={"full": {}}, training={**TINY, "learning_rate": 0.1}))
    with pytest.raises(InputError, match=r"1 of 2 runs failed.*other settings"):
        run_study(changed, small_dataset, tmp_path / "out", JobPool())


def test_a_run_that_finished_after_its_study_was_stopped_is_tracked_by_the_next(
    write, small_dataset, tmp_path, monkeypatch, run_here
):
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    study = read_study(write(variants={"full": {}}))
    run_here(lambda command, **options: finish(command))
    monkeypatch.setattr(runner, "track", stop)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, small_dataset, tmp_path / "out", JobPool())
    tracked: list[str] = []
    monkeypatch.setattr(runner, "track", lambda output_dir, study, run, *others: tracked.append(run.name))
    run_study(study, small_dataset, tmp_path / "out", JobPool())
    assert tracked == ["localiser/valley/seed0", "full/valley/seed0"]


def test_a_study_that_is_stopped_leaves_the_table_of_what_had_finished(write, small_dataset, tmp_path, run_here):
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
        if any("less.json" in word for word in command):
            raise KeyboardInterrupt
        return finish(command)

    run_here(run)
    with pytest.raises(KeyboardInterrupt):
        run_study(read_study(write()), small_dataset, tmp_path / "out", JobPool(), tracking=False)
    assert "full,valley,0,a,valley,pancreas,0.8" in (tmp_path / "out" / "tiny" / "cases.csv").read_text()


def test_a_further_evaluation_has_the_weights_of_a_run_and_a_table_of_its_own(write, small_dataset, tmp_path, run_here):
    ran: list[list[str]] = []
    run_here(lambda command, **options: ran.append(command) or finish(command))
    (write().parent / "given.json").write_text(json.dumps({"inferer#max_rounds": 1}))
    study = read_study(write(variants={"full": {}}, evaluations={"given": ["given.json"]}))
    run_study(study, small_dataset, tmp_path / "out", JobPool(), tracking=False)
    whole, given = (resolve(command) for command in ran if "evaluating" in command)
    assert [whole["inferer"].get("max_rounds"), given["inferer"]["max_rounds"]] == [None, 1]
    assert given["output_dir"] == whole["output_dir"] + "/given"
    for setting in ("weights", "localiser_weights", "test_sites"):
        assert given[setting] == whole[setting]
    folder = tmp_path / "out" / "tiny"
    assert (folder / "cases_given.csv").read_text() == (folder / "cases.csv").read_text()


def test_what_ran_without_a_record_gets_one_when_asked_for(write, small_dataset, tmp_path, monkeypatch, run_here):
    tracked: list[str] = []
    monkeypatch.setattr(runner, "track", lambda output_dir, study, run, *others: tracked.append(run.name))
    run_here(lambda command, **options: finish(command))
    study = read_study(write(variants={"full": {}}))
    run_study(study, small_dataset, tmp_path / "out", JobPool(), tracking=False)
    assert tracked == []
    run_study(study, small_dataset, tmp_path / "out", JobPool())
    assert tracked == ["localiser/valley/seed0", "full/valley/seed0"]


def test_a_run_that_fails_is_one_sentence_and_the_others_go_on(write, small_dataset, tmp_path, monkeypatch, run_here):
    def run(command: list[str], stdout=None, **options: object) -> subprocess.CompletedProcess:
        if any("less.json" in word for word in command):
            stdout.write("error: The scan is flat.\n")
            return subprocess.CompletedProcess(command, 1)
        return finish(command)

    monkeypatch.setattr(runner, "track", lambda *arguments: None)
    run_here(run)
    study = read_study(write())
    with pytest.raises(InputError, match=r"1 of 4 runs failed.*less/valley/seed0.*The scan is flat"):
        run_study(study, small_dataset, tmp_path / "out", JobPool())
    with collect(study, tmp_path / "out" / "tiny").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seed"], row["structure"], row["uncertainty"]) for row in rows] == [
        ("full", "0", "pancreas", "0.25"),
        ("full", "0", "lesion", "0.5"),
        ("full", "1", "pancreas", "0.25"),
        ("full", "1", "lesion", "0.5"),
    ]


def test_the_variants_of_a_localiser_that_fails_are_not_trained(write, small_dataset, tmp_path, run_here, capsys):
    ran: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
        ran.append(command)
        return subprocess.CompletedProcess(command, 1)

    run_here(run)
    with pytest.raises(InputError, match="4 of 4 runs failed"):
        run_study(read_study(write()), small_dataset, tmp_path / "out", JobPool())
    assert len(ran) == 1
    assert "less/valley/seed0 was not trained, because its localiser" in capsys.readouterr().err


def recorded(output_dir: Path) -> list[MlflowRun]:
    """What MLflow knows of the only study of a folder."""
    client = MlflowClient(f"sqlite:///{output_dir / 'mlflow.db'}")
    return client.search_runs([client.get_experiment_by_name("tiny").experiment_id])


def test_a_run_that_is_made_again_replaces_its_record(write, tmp_path):
    study = read_study(write())
    run = plan_runs(study)[1]
    for dice in (0.5, 0.75):
        found = {"dice": {"mean": dice}, "detection": {"sensitivity": 1.0}}
        froc = {"sensitivity_at_0.25_per_scan": 0.5, "sensitivity_at_2_per_scan": None}
        overall = {"pancreas": found, "lesion": {"dice": {"mean": None}, "froc": froc}}
        (tmp_path / "summary.json").write_text(json.dumps({"overall": overall}))
        track(tmp_path, study, run, tmp_path, {"torch": "2"})
    (record,) = recorded(tmp_path)
    assert record.data.metrics == {
        "pancreas_dice": 0.75,
        "pancreas_sensitivity": 1.0,
        "lesion_sensitivity_at_0.25_per_scan": 0.5,
    }
    assert record.data.params == {"variant": "full", "test_site": "valley", "seed": "0", "torch": "2"}


def test_the_command_runs_a_whole_study_and_then_finds_it_done(
    write, small_dataset, tmp_path, packages, monkeypatch, capsys
):
    (tmp_path / "grid.json").write_text(json.dumps({"image_format": SMALL_GRID}))
    study = write(overlays=["grid.json"], variants={"full": {}})
    command = ["studies", str(study), "--dataset_dir", str(small_dataset), "--output_dir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the command replaces it
    monkeypatch.setattr(sys, "argv", [*command, "--dry-run"])
    main()
    assert len([shlex.split(line) for line in capsys.readouterr().out.splitlines()]) == 3
    assert not (tmp_path / "out").exists()

    monkeypatch.setattr(sys, "argv", command)
    main()
    with (tmp_path / "out" / "tiny" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    valley = [case for case in decathlon_datalist(small_dataset) if case["site"] == "valley"]
    assert len(rows) == 2 * len(valley)
    assert {row["site"] for row in rows} == {"valley"}
    names = {run.data.tags["mlflow.runName"] for run in recorded(tmp_path / "out")}
    assert names == {"localiser/valley/seed0", "full/valley/seed0"}

    monkeypatch.setattr(JobPool, "_executor", None)
    main()
    assert "All results" in capsys.readouterr().out
