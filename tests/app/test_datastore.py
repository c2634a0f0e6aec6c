"""The studies and their labels, in a folder."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from monailabel.config import settings
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException

from dualtask.errors import InputError
from lib.annotator import signed_in
from lib.datastore import StudyFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"scan")
    return tmp_path


@pytest.fixture
def store(folder: Path) -> StudyFolder:
    return StudyFolder(str(folder), extensions=["*.nii.gz"])


@pytest.fixture
def label(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("label") / "label.nii.gz"
    path.write_bytes(b"label")
    return str(path)


@pytest.mark.parametrize(
    "ask",
    [
        lambda store, label: store.save_label("c", label, "final", {}),
        lambda store, label: store.remove_label("c", "final"),
        lambda store, label: store.remove_image("c"),
        lambda store, label: store.get_image_info("c"),
        lambda store, label: store.get_label_info("c", "final"),
    ],
)
def test_unknown_study_is_told_in_a_sentence(store, label, ask):
    with pytest.raises(ImageNotFoundException) as error:
        ask(store, label)
    assert "'c'" in error.value.msg or "Image c not found" in error.value.msg


def test_label_that_a_study_does_not_have_is_told_in_a_sentence(store):
    with pytest.raises(LabelNotFoundException) as error:
        store.remove_label("a", "final")
    assert error.value.msg.startswith("Study 'a' has no label 'final'")


def test_label_carries_who_and_when(store, label):
    store.save_label("a", label, "final", {"client_id": "reader 1", "comment": "clear"})
    info = store.get_label_info("a", "final")
    assert (info["annotator"], info["comment"]) == ("reader 1", "clear")
    assert info["ts"] > 1.7e9


def test_signed_in_user_counts_more_than_what_the_viewer_says(store, label, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    token = signed_in.set("dr.who")
    try:
        store.save_label("a", label, "final", {"client_id": "somebody else"})
    finally:
        signed_in.reset(token)
    assert store.get_label_info("a", "final")["annotator"] == "dr.who"


def test_automatic_label_names_its_model_and_no_annotator(store, label):
    store.save_label("a", label, "original", {"model": "dualtask"})
    assert "annotator" not in store.get_label_info("a", "original")


def test_label_that_slicer_submits_is_a_persons_although_it_names_the_model(store, label):
    store.save_label("a", label, "final", {"client_id": "reader 1", "model": "dualtask"})
    assert store.get_label_info("a", "final")["annotator"] == "reader 1"


def test_automatic_label_never_takes_the_place_of_a_persons(store, label):
    assert store.may_save_automatic_label("a", "original")
    assert not store.may_save_automatic_label("a", "final")
    store.save_label("a", label, "original", {"model": "dualtask"})
    assert store.may_save_automatic_label("a", "original")
    store.save_label("a", label, "original", {"client_id": "reader 1"})
    assert not store.may_save_automatic_label("a", "original")


def test_what_was_removed_is_gone_at_once(folder, label):
    store = StudyFolder(str(folder), extensions=["*.nii.gz"], auto_reload=True)
    store.save_label("a", label, "final", {})
    store.remove_label("a", "final")
    assert store.get_labeled_images() == []
    store.remove_image("b")
    assert store.list_images() == ["a"]


def test_restart_finds_the_same_studies_labels_and_records(store, folder, label):
    store.save_label("a", label, "final", {"client_id": "reader 1"})
    store.update_image_info("b", {"note": "motion"})
    again = StudyFolder(str(folder), extensions=["*.nii.gz"])
    assert again.json() == store.json()
    assert again.get_labeled_images() == ["a"]


def test_kill_while_a_label_is_written_leaves_the_old_one(store, folder, label, monkeypatch: pytest.MonkeyPatch):
    store.save_label("a", label, "final", {})

    def killed(source: str, destination: Path) -> None:
        Path(destination).write_bytes(b"ha")
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save_label("a", label, "final", {})
    assert Path(store.get_label_uri("a", "final")).read_bytes() == b"label"


def test_list_of_labels_is_whole_at_every_moment(store, folder, label, monkeypatch: pytest.MonkeyPatch):
    store.save_label("a", label, "final", {})
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.update_image_info("a", {"note": "x" * 10000})
    assert "a" in json.loads((folder / "datastore_v2.json").read_text())["objects"]


def test_readers_see_all_studies_while_others_write_and_refresh(folder, label):
    for number in range(30):
        (folder / f"study_{number}.nii.gz").write_bytes(b"scan")
    store = StudyFolder(str(folder), extensions=["*.nii.gz"])

    def work(number: int) -> int:
        if number % 3 == 0:
            store.save_label(f"study_{number % 30}", label, "final", {})
        elif number % 3 == 1:
            store.refresh()
        return len(store.list_images())

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(120))) == {32}


def test_two_servers_on_one_folder_lose_no_label_and_see_each_other(folder, label):
    for number in range(40):
        (folder / f"study_{number}.nii.gz").write_bytes(b"scan")
    stores = [StudyFolder(str(folder), extensions=["*.nii.gz"]) for _ in range(2)]

    def save(number: int) -> None:
        stores[number % 2].save_label(f"study_{number}", label, "final", {"client_id": f"reader {number % 2}"})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(40)))
    for store in stores:
        annotators = {store.get_label_info(f"study_{number}", "final")["annotator"] for number in range(40)}
        assert annotators == {"reader 0", "reader 1"}
        assert len(store.get_labeled_images()) == 40


def test_what_a_kill_left_of_a_file_is_no_study(folder):
    (folder / ".17.a.nii.gz").write_bytes(b"sc")
    assert StudyFolder(str(folder), extensions=["*.nii.gz"]).list_images() == ["a", "b"]


def test_damaged_list_is_told_in_a_sentence(store, folder, label):
    store.save_label("a", label, "final", {})
    (folder / "datastore_v2.json").write_text("{")
    with pytest.raises(InputError, match="is damaged: remove it"):
        StudyFolder(str(folder), extensions=["*.nii.gz"])
