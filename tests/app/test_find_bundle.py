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


def test_labels_are_those_of_the_bundle_without_background(bundle):
    assert bundle.labels == {"pancreas": 1, "lesion": 2}
