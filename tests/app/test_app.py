"""The app object as MONAI Label makes it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fastapi import HTTPException
from monailabel.utils.async_tasks.task import AsyncTask


@pytest.fixture
def make_app(bundle, app_dir: Path, tmp_path: Path):
    specification = importlib.util.spec_from_file_location("dualtask_app", app_dir / "main.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return lambda: module.DualTaskApp(str(tmp_path / "app"), str(tmp_path / "studies"), {"bundle": str(bundle.root)})


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How trainings are started: here, or by asking the server over HTTP."""
    calls: list[str] = []
    monkeypatch.setattr(AsyncTask, "run", lambda *args, **options: (calls.append("here"), None))
    monkeypatch.setattr(
        "monailabel.interfaces.app.MONAILabelApp._local_request", lambda *args: calls.append("over HTTP")
    )
    return calls


def test_server_starts_tasks_itself_even_after_a_reload(make_app, started, bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "monailabel.app", ModuleType("monailabel.app"))
    make_app().async_training(bundle.name)
    assert started == ["here"]


def test_process_of_a_task_asks_the_server(make_app, started, bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "monailabel.app", raising=False)
    make_app().async_training(bundle.name)
    assert started == ["over HTTP"]


def test_app_is_named_after_the_bundle(make_app, bundle):
    info = make_app().info()
    assert (info["name"], info["version"]) == (bundle.name, bundle.version)
    assert info["labels"] == ["pancreas", "lesion", "background"]
    assert {name: model["type"] for name, model in info["models"].items()} == {
        bundle.name: "segmentation",
        "clicks": "deepedit",
        "scribbles": "scribbles",
    }
    assert list(info["trainers"]) == [bundle.name]


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.nii.gz").write_bytes(b"not a scan")
    return tmp_path / "studies"


def test_studies_are_scored_in_the_background_only_while_some_have_no_score(make_app, started, studies, monkeypatch):
    app = make_app()
    app.server_mode(True)
    app.async_scoring(None)
    assert started == ["here"]
    with pytest.raises(Exception, match="not a readable NIfTI file"):
        app.infer({"model": app.name, "image": "a"})
    app.async_scoring(None)
    assert started == ["here"]


def test_second_scoring_does_not_start_beside_the_first(make_app, started, studies, monkeypatch):
    app = make_app()
    app.server_mode(True)
    monkeypatch.setitem(type(app).async_scoring.__globals__, "tasks", lambda method: [{"status": "RUNNING"}])
    app.async_scoring(None)
    assert started == []


def test_saved_label_asks_for_scores(make_app, started, studies):
    app = make_app()
    app.server_mode(True)
    app.on_save_label("a", "a")
    assert started == ["here"]


def test_unusable_study_is_answered_with_its_sentence_and_unknown_ones_with_theirs(make_app, studies):
    app = make_app()
    for study, status, words in (("a", 422, "a.nii.gz"), ("c", 404, "no study 'c'")):
        with pytest.raises(HTTPException) as answer:
            app.infer({"model": app.name, "image": study})
        assert answer.value.status_code == status
        assert words in answer.value.detail


def test_final_label_is_shown_of_a_study_that_has_one_and_is_not_saved_again(make_app, studies):
    app = make_app()
    asked = {"model": app.name, "show": "final label"}
    for more, status, words in (
        ({"image": str(studies / "a.nii.gz")}, 422, "An uploaded scan has no final label"),
        ({"image": "a", "save_label": True}, 422, "is saved already"),
        ({"image": "a"}, 404, "Study 'a' has no label 'final'"),
    ):
        with pytest.raises(HTTPException) as answer:
            app.infer({**asked, **more})
        assert answer.value.status_code == status
        assert words in answer.value.detail
