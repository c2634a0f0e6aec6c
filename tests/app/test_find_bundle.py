from pathlib import Path

import pytest

from lib.bundle import BundleNotFoundError, find_bundle


def test_without_conf_the_bundle_is_the_folder_beside_apps(copied_repository: Path):
    found = find_bundle(str(copied_repository / "apps" / "dualtask"), {})
    assert found.root == copied_repository / "bundle"


def test_conf_names_another_bundle(copied_repository: Path, tmp_path: Path):
    found = find_bundle(str(tmp_path / "anywhere" / "app"), {"bundle": str(copied_repository / "bundle")})
    assert found.root == copied_repository / "bundle"


def test_absent_bundle_is_told_in_one_sentence(tmp_path: Path):
    with pytest.raises(BundleNotFoundError, match=r"There is no bundle in .*nowhere: start the server with --conf"):
        find_bundle(str(tmp_path), {"bundle": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("content", [None, "", "{}", '{"name": "x"}'])
def test_half_copied_bundle_is_told_in_one_sentence(tmp_path: Path, content: str | None):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text("{}")
    if content is not None:
        (tmp_path / "configs" / "metadata.json").write_text(content)
    with pytest.raises(BundleNotFoundError, match=r"metadata\.json cannot be read: copy the bundle to .* again"):
        find_bundle(str(tmp_path), {"bundle": str(tmp_path)})


def test_labels_are_those_of_the_bundle_without_background(bundle):
    assert bundle.labels == {"pancreas": 1, "lesion": 2}
