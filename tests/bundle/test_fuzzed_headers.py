"""A scan that was made to break its reader is read or refused in a sentence: no other error, hang or huge memory."""

from __future__ import annotations

import gzip
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

from dualtask.errors import InputError
from dualtask.scans import LoadScand
from hostile_headers import DICOM_SERIES, NIFTI_FILES, NRRD_FILES

FUZZ = settings(max_examples=150, deadline=20_000, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

MEMORY = 2**29
"""Bytes that may be allocated for scans of a kilobyte."""


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """Let larger allocations fail with a MemoryError, which is no sentence."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def read_or_refused(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            LoadScand("image")({"image": str(path)})
        except InputError as refusal:
            assert path.name in str(refusal)
            assert "\n" not in str(refusal)


@contextmanager
def scan(name: str, content: bytes) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


@FUZZ
@given(NIFTI_FILES)
def test_headers_of_nifti(content: bytes):
    with scan("scan.nii", content) as path:
        read_or_refused(path)


@FUZZ
@given(NIFTI_FILES)
def test_headers_of_compressed_nifti(content: bytes):
    with scan("scan.nii.gz", gzip.compress(content, 1)) as path:
        read_or_refused(path)


@FUZZ
@given(NRRD_FILES)
def test_headers_of_nrrd(content: bytes):
    with scan("scan.nrrd", content) as path:
        read_or_refused(path)


@FUZZ
@given(DICOM_SERIES)
def test_headers_of_dicom(files: list[bytes]):
    with TemporaryDirectory() as folder:
        series = Path(folder) / "series"
        series.mkdir()
        for place, content in enumerate(files):
            (series / f"{place}.dcm").write_bytes(content)
        read_or_refused(series)
