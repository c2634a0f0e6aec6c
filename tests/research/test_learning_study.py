"""Simulated annotation: what is trained, on what, how often, and what the table says of it."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtask.errors import InputError
from dualtask.evaluation import METRICS
from dualtask.evaluation.tables import write_scores
from dualtask.structures import STRUCTURES
from dualtask_research.active_learning.looks import read_looks
from dualtask_research.active_learning.study import read_learning_study, run_learning_study
from dualtask_research.jobs.pool import JobPool
from dualtask_research.report.learning import main, same_in_every_seed, verdict
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
def ran(run_here) -> list[list[str]]:
    """Commands that are not run: the Dice of a training is its number of labelled scans / 10."""
    done: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess:
        done.append(command)
        folder = output_of(command)
        if "evaluating" in command:
            names = {"case": "coastal_002", "site": "coastal"}
            scores = {**dict.fromkeys(METRICS, 5.0), "dice": int(folder.name[:3]) / 10}
            write_scores(folder / "metrics.csv", [{**names, "structure": part, **scores} for part in STRUCTURES])
        if "looking" in command:
            each = np.linspace(0, 1, 4)
            np.savez(folder / "looks.npz", uncertainty=each, entropy=each, lesion=each > 0.5, embeddings=np.eye(4))
        return subprocess.CompletedProcess(command, 0)

    run_here(run)
    return done


def output_of(command: list[str]) -> Path:
    return Path(command[command.index("--output_dir") + 1])


def trained(ran: list[list[str]]) -> list[Path]:
    """Folders of the trainings, in their order."""
    return [output_of(command) for command in ran if "training" in command]


def labelled(folder: Path) -> list[str]:
    """Names of the scans that a training was given."""
    return [Path(case["image"]).name for case in json.loads((folder / "cases.json").read_text())["cases"][0]]


def test_each_round_trains_on_more_scans_of_the_pool_for_as_many_steps(write, pool_dataset, tmp_path, ran):
    run_learning_study(read_learning_study(write(seeds=[0])), pool_dataset, tmp_path / "out", JobPool(2))
    kept = {"coastal_002.nii.gz", "valley_002.nii.gz"}
    for command in ran:
        if "training" in command:
            scans = labelled(output_of(command))
            assert not kept & set(scans)
            epochs = int(command[command.index("--train#trainer#max_epochs") + 1])
            assert epochs * len(scans) == 2
    assert sorted({len(labelled(folder)) for folder in trained(ran)}) == [1, 2]


def test_strategies_share_the_first_training_and_the_localiser_of_a_seed(write, pool_dataset, tmp_path, ran):
    run_learning_study(read_learning_study(write()), pool_dataset, tmp_path / "out", JobPool(2))
    for seed in ("seed0", "seed1"):
        names = [folder.name for folder in trained(ran) if folder.parent.name == seed]
        assert names.count("localiser") == 1
        assert sum(name.startswith("001_") for name in names) == 1
        assert len(names) == len(set(names))


def test_a_study_that_was_interrupted_goes_on_and_one_that_is_done_trains_nothing(write, pool_dataset, tmp_path, ran):
    study = read_learning_study(write())
    table = run_learning_study(study, pool_dataset, tmp_path / "out", JobPool(2)).read_text()
    count = len(ran)
    run_learning_study(study, pool_dataset, tmp_path / "out", JobPool(2))
    assert len(ran) == count
    last = output_of(ran[-1])
    (last / "done.json").unlink()
    assert run_learning_study(study, pool_dataset, tmp_path / "out", JobPool(2)).read_text() == table
    assert {output_of(command) for command in ran[count:]} == {last}


def test_another_number_of_steps_is_another_study(write, pool_dataset, tmp_path, ran):
    run_learning_study(read_learning_study(write()), pool_dataset, tmp_path / "out", JobPool(2))
    with pytest.raises(InputError, match="other settings"):
        run_learning_study(read_learning_study(write(steps=4)), pool_dataset, tmp_path / "out", JobPool(2))


def test_report_has_the_learning_curves_and_no_winner_among_equals(
    write, pool_dataset, tmp_path, ran, monkeypatch, capsys
):
    study = write()
    cases = run_learning_study(read_learning_study(study), pool_dataset, tmp_path / "out", JobPool(2))
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

    surely = [comparison("a", 0.1, 0.01), comparison("b", -0.1, 0.01), comparison("c", 0.1, 0.2)]
    assert "a beat labelling by chance; b fell behind it" in verdict(surely, {"a", "b", "c"})
    assert "No strategy beats" in verdict([comparison("c", 0.1, 0.2), comparison("d", 0.1, float("nan"))], {"c", "d"})


def test_a_strategy_whose_seeds_disagree_or_tie_is_neither_better_nor_worse():
    rows = [
        {
            "variant": name,
            "seed": str(seed),
            "test_site": "coastal",
            "case": "a",
            "reference_ml": "9",
            "dice": str(dice),
        }
        for name, of_seeds in {
            "random": (0.4, 0.4),
            "a": (0.5, 0.6),
            "b": (0.9, 0.3),
            "c": (0.1, 0.2),
            "d": (0.4, 0.6),
        }.items()
        for seed, dice in enumerate(of_seeds)
    ]
    assert same_in_every_seed(rows) == {"a", "c"}
    b = Comparison("b", Interval(9, 0.2, 0.1, 0.3), 0.01, 0.01, 0.5)
    assert "No strategy beats labelling by chance**" in verdict([b], same_in_every_seed(rows))


def test_a_real_round_scores_the_held_out_scans_and_looks_at_the_whole_pool(write, pool_dataset, tmp_path, packages):
    study = read_learning_study(write(strategies=["random"], seeds=[0], rounds=1))
    cases = run_learning_study(study, pool_dataset, tmp_path / "out", JobPool())
    with cases.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["case"] for row in rows} == {"coastal_002", "valley_002"}
    assert {(row["variant"], row["labelled"]) for row in rows} == {("random", "1")}
    (looks,) = (tmp_path / "out").rglob("looks.npz")
    seen = read_looks(looks.parent)
    assert {name: len(values) for name, values in seen.items()} == dict.fromkeys(
        ("uncertainty", "entropy", "lesion", "embeddings"), 4
    )
    for name in ("uncertainty", "entropy"):
        assert ((seen[name] >= 0) & (seen[name] <= 1)).all()
    assert seen["lesion"].dtype == bool and np.isfinite(seen["embeddings"]).all()


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
        run_learning_study(read_learning_study(write(**changes)), pool_dataset, tmp_path / "out", JobPool(2))


def test_an_absent_study_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json"):
        read_learning_study(tmp_path / "none.json")


def test_the_committed_study_can_be_read(bundle_root):
    study = read_learning_study(bundle_root.parent / "configs" / "active_learning" / "synthetic.json")
    last = study.initial + (study.rounds - 1) * study.batch
    assert last <= sum(study.pool.values())
    assert all(study.steps % count == 0 or study.steps // count > 10 for count in range(study.initial, last + 1))
