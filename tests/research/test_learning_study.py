"""Simulated annotation: what is trained, on what, how often, and what the table says of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtask.errors import InputError
from dualtask.evaluation import METRICS
from dualtask.evaluation.tables import write_scores
from dualtask.structures import STRUCTURES
from dualtask_research.active_learning import study as module
from dualtask_research.active_learning.study import Annotation, read_learning_study, run_learning_study
from dualtask_research.report.learning import main, verdict
from dualtask_research.statistics import Comparison, Interval
from small_workflows import SMALL_GRID, write_two_sites

BACKBONE = {"_target_": "dualtask.networks.DynUNetBackbone", "width": 8}


@pytest.fixture(scope="session")
def pool_dataset(tmp_path_factory) -> Path:
    """Three synthetic cases of each of two sites: of each, one is kept for scoring."""
    return write_two_sites(tmp_path_factory.mktemp("pool"), 3)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def study(**changes: Any) -> Path:
        (tmp_path / "grid.json").write_text(json.dumps({"image_format": SMALL_GRID}))
        training = {"network_def#backbone": BACKBONE, "train#dataloader#num_workers": 0}
        content = {
            "description": "Two scans of each of two sites.",
            "pool": {"coastal": 2, "valley": 2},
            "strategies": ["random", "diversity"],
            "seeds": [0, 1],
            "initial": 1,
            "batch": 1,
            "rounds": 2,
            "steps": 2,
            "overlays": ["grid.json"],
            "training": training,
            "localiser_training": training,
            "inference": {"network_def#backbone": BACKBONE, "localiser_def#backbone": BACKBONE},
        }
        path = tmp_path / "tiny.json"
        path.write_text(json.dumps({**content, **changes}))
        return path

    return study


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Sequence[Sequence[str]]]]:
    """Folders and commands of trainings that are not run: their Dice is the number of labelled scans / 10."""
    done: list[tuple[Path, Sequence[Sequence[str]]]] = []

    def run(folder: Path, commands: list[list[str]], threads: int) -> dict[str, Any]:
        done.append((folder, commands))
        if folder.name != "localiser":
            dice = int(folder.name[:3]) / 10
            names = {"case": "coastal_002", "site": "coastal"}
            scores = {**dict.fromkeys(METRICS, 5.0), "dice": dice}
            rows = [{**names, "structure": structure, **scores} for structure in STRUCTURES]
            write_scores(folder / "metrics.csv", rows)
        return {"commands": commands, "seconds": 60, "commit": "abc", "hardware": "a CPU", "versions": {"torch": "2"}}

    def look(self: Annotation, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        return np.linspace(0, 1, len(self.pool)), np.eye(len(self.pool))

    monkeypatch.setattr(module, "run_commands", run)
    monkeypatch.setattr(Annotation, "_look", look)
    return done


def labelled(folder: Path) -> list[str]:
    """Names of the scans that a training was given."""
    return [Path(case["image"]).name for case in json.loads((folder / "cases.json").read_text())["cases"][0]]


def test_each_round_trains_on_more_scans_of_the_pool_for_as_many_steps(write, pool_dataset, tmp_path, ran):
    run_learning_study(read_learning_study(write(seeds=[0])), pool_dataset, tmp_path / "out")
    trainings = [(folder, commands) for folder, commands in ran if folder.name != "localiser"]
    kept = {"coastal_002.nii.gz", "valley_002.nii.gz"}
    for folder, commands in trainings:
        scans = labelled(folder)
        assert not kept & set(scans)
        epochs = int(commands[0][commands[0].index("--train#trainer#max_epochs") + 1])
        assert epochs * len(scans) == 2
    assert sorted({len(labelled(folder)) for folder, _ in trainings}) == [1, 2]


def test_strategies_share_the_first_training_and_the_localiser_of_a_seed(write, pool_dataset, tmp_path, ran):
    run_learning_study(read_learning_study(write()), pool_dataset, tmp_path / "out")
    for seed in ("seed0", "seed1"):
        names = [folder.name for folder, _ in ran if folder.parent.name == seed]
        assert names.count("localiser") == 1
        assert sum(name.startswith("001_") for name in names) == 1
        assert len(names) == len(set(names))


def test_a_study_that_was_interrupted_goes_on_and_one_that_is_done_trains_nothing(write, pool_dataset, tmp_path, ran):
    study = read_learning_study(write())
    table = run_learning_study(study, pool_dataset, tmp_path / "out").read_text()
    count = len(ran)
    run_learning_study(study, pool_dataset, tmp_path / "out")
    assert len(ran) == count
    (ran[-1][0] / "done.json").unlink()
    assert run_learning_study(study, pool_dataset, tmp_path / "out").read_text() == table
    assert [folder for folder, _ in ran[count:]] == [ran[count - 1][0]]


def test_another_number_of_steps_is_another_study(write, pool_dataset, tmp_path, ran):
    run_learning_study(read_learning_study(write()), pool_dataset, tmp_path / "out")
    with pytest.raises(InputError, match="other settings"):
        run_learning_study(read_learning_study(write(steps=4)), pool_dataset, tmp_path / "out")


def test_report_has_the_learning_curves_and_no_winner_among_equals(
    write, pool_dataset, tmp_path, ran, monkeypatch, capsys
):
    study = write()
    cases = run_learning_study(read_learning_study(study), pool_dataset, tmp_path / "out")
    output = tmp_path / "report"
    monkeypatch.setattr(
        "sys.argv", ["report", str(study), "--cases", str(cases), "--output_dir", str(output), "--synthetic"]
    )
    main()
    table = (output / "table.md").read_text()
    assert "| diversity | 0.100 [0.100, 0.100] | 0.200 [0.200, 0.200] |" in table
    assert "No strategy beats labelling by chance" in table
    assert "Synthetic scans" in table
    assert (output / "lesion.png").read_bytes().startswith(b"\x89PNG")
    assert str(output / "table.md") in capsys.readouterr().out


def test_verdict_names_what_is_surely_better_and_surely_worse():
    def comparison(name: str, difference: float, p: float) -> Comparison:
        return Comparison(name, Interval(9, difference, difference, difference), p, p, 0.0)

    said = verdict([comparison("a", 0.1, 0.01), comparison("b", -0.1, 0.01), comparison("c", 0.1, 0.2)])
    assert "a beat labelling by chance; b fell behind it" in said
    assert "No strategy beats" in verdict([comparison("c", 0.1, 0.2), comparison("d", 0.1, float("nan"))])


def test_a_real_round_scores_the_held_out_scans_and_looks_at_the_whole_pool(write, pool_dataset, tmp_path):
    looks = []
    look = Annotation._look

    def noted(self: Annotation, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        looks.append(look(self, folder))
        return looks[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Annotation, "_look", noted)
        study = read_learning_study(write(strategies=["random"], seeds=[0], rounds=1))
        cases = run_learning_study(study, pool_dataset, tmp_path / "out")
    with cases.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == {"coastal_002", "valley_002"}
    assert {(row["variant"], row["labelled"]) for row in rows} == {("random", "1")}
    uncertainty, embeddings = looks[0]
    assert uncertainty.shape == (4,) and embeddings.shape[0] == 4
    assert ((uncertainty >= 0) & (uncertainty <= 1)).all() and np.isfinite(embeddings).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pool": {"coastal": 9}}, "wants 9 scans of the site coastal: there are 2"),
        ({"strategies": ["guess"]}, "the strategy guess"),
        ({"overlays": ["none.json"]}, "the overlay none.json"),
        ({"rounds": None, "more": 1}, "cannot be read"),
    ],
)
def test_a_study_that_cannot_be_is_refused(write, pool_dataset, tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        run_learning_study(read_learning_study(write(**changes)), pool_dataset, tmp_path / "out")


def test_an_absent_study_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json"):
        read_learning_study(tmp_path / "none.json")


def test_the_committed_study_can_be_read(bundle_root):
    study = read_learning_study(bundle_root.parent / "configs" / "active_learning" / "synthetic.json")
    last = study.initial + (study.rounds - 1) * study.batch
    assert last <= sum(study.pool.values())
    assert all(study.steps % count == 0 or study.steps // count > 10 for count in range(study.initial, last + 1))
