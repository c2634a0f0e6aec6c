"""What the app loads from the bundle is what was released."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.answers import sentence_instead_of_traceback
from lib.manifest import MANIFEST, BundleChangedError, check_manifest, checksums, written


def test_manifest_of_the_repository_is_up_to_date(bundle_root: Path):
    """After an edit of the bundle: ``make manifest``."""
    if (bundle_root / MANIFEST).read_text() != written(checksums(bundle_root)):
        pytest.fail("bundle/manifest.sha256 is older than the bundle's files: run `make manifest`")


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    for name in ("configs/inference.json", "dualtask/scans/reading.py", "models/model.pt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    (tmp_path / MANIFEST).write_text(written(checksums(tmp_path)))
    return tmp_path


def test_unchanged_bundle_passes(small_bundle):
    check_manifest(small_bundle)


def test_sha256sum_reads_it(small_bundle):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum")
    subprocess.run(["sha256sum", "--check", "--strict", MANIFEST], cwd=small_bundle, check=True)


@pytest.mark.parametrize("name", ["configs/inference.json", "dualtask/scans/reading.py", "models/model.pt"])
def test_changed_file_is_named_with_the_remedy(small_bundle, name):
    (small_bundle / name).write_text("other")
    with pytest.raises(BundleChangedError, match=rf"{name} is not the file .*make manifest"):
        check_manifest(small_bundle)


def test_absent_file_is_named(small_bundle):
    (small_bundle / "models" / "model.pt").unlink()
    with pytest.raises(BundleChangedError, match=r"models/model\.pt .* not on disk"):
        check_manifest(small_bundle)


@pytest.mark.parametrize("name", ["configs/other.json", "dualtask/scans/extra.py", "models/other.pt"])
def test_file_that_was_never_released_is_named(small_bundle, name):
    (small_bundle / name).write_text("planted")
    with pytest.raises(BundleChangedError, match=rf"{name} is not in"):
        check_manifest(small_bundle)


def test_what_training_leaves_beside_the_weights_is_not_loaded_and_does_not_count(small_bundle):
    for name in ("model_previous.pt", "model_last.pt"):
        (small_bundle / "models" / name).write_text("left")
    check_manifest(small_bundle)


@pytest.mark.parametrize(
    "content", [None, b"", b"no manifest\n", b"\xff\xfe"], ids=["absent", "empty", "text", "bytes"]
)
def test_unusable_manifest_is_refused(small_bundle, content):
    (small_bundle / MANIFEST).unlink()
    if content is not None:
        (small_bundle / MANIFEST).write_bytes(content)
    with pytest.raises(BundleChangedError, match="manifest"):
        check_manifest(small_bundle)


def test_sentence_survives_the_start_of_the_server(small_bundle):
    (small_bundle / MANIFEST).unlink()
    with pytest.raises(BundleChangedError) as error, sentence_instead_of_traceback():
        check_manifest(small_bundle)
    assert error.value.__cause__ is None and error.value.__suppress_context__


def test_bundle_is_checked_before_its_package_is_imported(app_dir: Path, bundle_root: Path, tmp_path: Path):
    """A planted module does not run: the app is made in a process that has not imported the bundle yet."""
    copied = tmp_path / "bundle"
    shutil.copytree(bundle_root, copied, ignore=shutil.ignore_patterns("__pycache__", "data", "eval"))
    (copied / "dualtask" / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    make_app = f"import main; main.DualTaskApp({str(tmp_path)!r}, {str(tmp_path)!r}, {{'bundle': {str(copied)!r}}})"
    process = subprocess.run(
        [sys.executable, "-c", make_app], cwd=app_dir, capture_output=True, text=True, timeout=120, check=False
    )
    assert "__init__.py is not the file" in process.stderr.splitlines()[-1]
    assert not (tmp_path / "ran").exists()
