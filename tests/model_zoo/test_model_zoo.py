"""The folder for the Model Zoo passes what awaits it there, and what would not pass is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import monai.bundle
import pytest
import torch

from dualtask.errors import InputError
from model_zoo import folder as folder_module
from model_zoo.checks import left_to_do, problems
from model_zoo.figures import write_eval_metrics
from model_zoo.folder import write_folder

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def submission(bundle_root: Path, tmp_path: Path) -> Path:
    return write_folder(bundle_root, tmp_path)


def bundle_tool(submission: Path, *arguments: str) -> None:
    """One of MONAI's commands as the Model Zoo's CI runs it, with the submitted package and no other."""
    outcome = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *arguments],
        cwd=submission,
        env={"PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]


def change_metadata(submission: Path, **changes: object) -> None:
    path = submission / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_our_checks_find_nothing(submission):
    assert problems(submission) == []


def test_what_is_left_by_work_and_the_app_s_manifest_stay_out(submission):
    names = {path.relative_to(submission).as_posix() for path in submission.rglob("*") if path.is_file()}
    assert {"LICENSE", "requirements.txt", "models/model.pt", "models/localiser.pt", "docs/data_license.txt"} <= names
    assert {name.split("/")[0] for name in names} == {
        "LICENSE",
        "requirements.txt",
        "configs",
        "docs",
        "dualtask",
        "models",
    }
    assert not any("__pycache__" in name or name.endswith(("_previous.pt", "_last.pt")) for name in names)


def test_the_network_has_the_declared_form_and_exports_with_its_weights(submission):
    configs = ("--config_file=configs/inference.json", "--meta_file=configs/metadata.json")
    bundle_tool(submission, "verify_net_in_out", "network_def", *configs)
    bundle_tool(submission, "ckpt_export", *configs)
    assert torch.jit.load(submission / "models" / "model.ts")


def test_the_unit_test_runs_every_workflow_in_the_zoo_s_place(submission, tmp_path):
    tests = tmp_path / "ci" / "unit_tests"
    # The Model Zoo has a helper of this name, which does the same.
    (tests / "utils.py").write_text(
        "def check_workflow(workflow, check_properties=False):\n"
        "    workflow.initialize()\n"
        "    assert not check_properties or not workflow.check_properties()\n"
        "    workflow.run()\n"
        "    workflow.finalize()\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-m", "unittest", f"test_{submission.name}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    assert "Ran 4 tests" in outcome.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "99"}, "the changelog does not have the version"),
        ({"name": "another"}, "the name is not that of the folder"),
        ({"eval_metrics": None}, "eval_metrics is missing"),
        ({"network_data_format": {"inputs": {"image": {"type": "image"}}}}, "image of inputs does not state"),
        ({"data_source": "/home/somebody/scans"}, "names the path of a machine"),
    ],
)
def test_faults_of_the_metadata_are_found(changes, words, submission):
    change_metadata(submission, **changes)
    assert any(words in problem for problem in problems(submission))


def test_missing_files_sections_and_ids_are_found(submission):
    (submission / "LICENSE").unlink()
    (submission / "docs" / "README.md").write_text("# Title\n")
    (submission / "configs" / "train.json").write_text("{}")
    (submission / "dualtask" / "units.py").write_text('ML = 1000\n"""In mm3."""\n')
    found = "\n".join(problems(submission))
    for words in (
        "LICENSE is missing",
        "the section Authors is missing",
        "train.json: there is no val_interval",
        "train.json is not indented",
        "units.py has a docstring that is not at its beginning",
    ):
        assert words in found


def test_the_code_that_is_submitted_says_the_same_in_comments(bundle_root, submission):
    """The hook of the Model Zoo allows a module one docstring."""
    ours, theirs = ((folder / "dualtask" / "units.py").read_text() for folder in (bundle_root, submission))
    value, text = ours.strip().splitlines()[-2:]
    assert theirs.strip().splitlines()[-2:] == [text.replace('"""', "# ", 1).removesuffix('"""'), value]


def test_large_files_become_links_that_a_person_has_to_fill_in(bundle_root, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "LARGEST_FILE", 10**6)
    submission = write_folder(bundle_root, tmp_path)
    links = monai.bundle.ConfigParser.load_config_file(submission / "large_files.yml")["large_files"]
    assert [link["path"] for link in links] == ["models/localiser.pt", "models/model.pt"]
    assert [path.name for path in (submission / "models").iterdir()] == ["doubt.json"]
    assert problems(submission) == []
    assert any("Upload" in step for step in left_to_do(submission))


def test_figures_replace_those_of_before_and_are_no_longer_left_to_do(submission, tmp_path):
    metric = {"n": 3, "mean": 0.81234, "median": 0.8}
    structure = {
        **dict.fromkeys(("dice", "surface_dice", "hausdorff95_mm"), metric),
        "detection": {"scans": 4, "sensitivity": None, "false_positives_per_scan": 0.25},
    }
    (tmp_path / "summary.json").write_text(json.dumps({"overall": {"pancreas": structure}, "sites": {}}))
    change_metadata(submission, eval_metrics={})
    assert any("eval_metrics" in step for step in left_to_do(submission))
    change_metadata(submission, eval_metrics={"other weights": {}})
    metadata = submission / "configs" / "metadata.json"
    write_eval_metrics(metadata, {"held-out scans": tmp_path / "summary.json"})
    figures = json.loads(metadata.read_text())["eval_metrics"]
    assert list(figures) == ["held-out scans"]
    assert figures["held-out scans"]["pancreas"]["mean_dice"] == 0.812
    assert figures["held-out scans"]["pancreas"]["sensitivity"] is None
    assert not any("eval_metrics" in step for step in left_to_do(submission))
    with pytest.raises(InputError, match="is no summary"):
        write_eval_metrics(metadata, {"nothing": metadata})


def test_the_command_writes_the_folder_and_says_what_is_left_to_do(tmp_path):
    outcome = subprocess.run(
        [sys.executable, "-m", "model_zoo", "--output", str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "bundle"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "Left to do by a person:" in outcome.stdout
