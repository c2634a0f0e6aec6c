"""What is read beside scans, lists of cases and weights, and folders in which nothing can be written."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from battery.given import SCAN, Input, Refused, nifti, with_bytes
from dualtask.networks import load_weights
from dualtask.nifti import save_nifti
from dualtask.scans import decathlon_datalist

_NOBODY = 65534


def _listing(content: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        nifti(folder / "scan.nii.gz")
        return with_bytes(folder / "dataset.json", json.dumps(content).encode())

    return make


def _read_list(path: Path) -> object:
    return decathlon_datalist(path.parent)


def _weights(state: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.save(state, folder / "model.pt")
        return folder / "model.pt"

    return make


def _read_weights(path: Path) -> object:
    return load_weights(torch.nn.Linear(2, 1), str(path))


def _cut_weights(folder: Path) -> Path:
    path = _weights(torch.nn.Linear(2, 1).state_dict())(folder)
    return with_bytes(path, path.read_bytes()[:-200])


class _Command:
    """Runs a command while it is unpickled, as weights from a stranger may."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hacked",)


def _command(folder: Path) -> Path:
    return with_bytes(folder / "model.pt", pickle.dumps({"weight": _Command()}))


def _save_mask(path: Path) -> None:
    save_nifti(path, np.random.default_rng(0).integers(0, 3, (32, 32, 32)).astype(np.uint8), SCAN.affine)


@contextlib.contextmanager
def full_disk(left: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes; writing more fails as on a full disk, without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _save_on_full_disk(path: Path) -> None:
    with full_disk(left=1000):
        _save_mask(path)


def _save_as_nobody(path: Path) -> None:
    """Permissions do not bind root: step back from it."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        _save_mask(path)
    finally:
        os.seteuid(user)


def _read_only(folder: Path) -> Path:
    (folder / "out").mkdir(mode=0o555)
    return folder / "out" / "scan_seg.nii.gz"


def _into_a_file(folder: Path) -> Path:
    with_bytes(folder / "out", b"")
    return folder / "out" / "scan_seg.nii.gz"


_CASE = {"image": "./scan.nii.gz"}
_GONE = {"image": "./gone.nii.gz"}

BESIDE = [
    Input(name, kind, make, Refused(words), use, uploaded=False)
    for kind, use, rows in (
        (
            "list of cases",
            _read_list,
            (
                ("list missing", lambda folder: folder / "dataset.json", "does not exist"),
                ("list that is not JSON", lambda d: with_bytes(d / "dataset.json", b"{"), "no readable list"),
                ("list that is binary", lambda d: with_bytes(d / "dataset.json", b"\xff\xfe\0"), "no readable list"),
                ("list without cases", _listing({"training": []}), "lists no case"),
                ("list without images", _listing({"training": [{"label": "a"}]}), "without an image"),
                ("list of a scan that is gone", _listing({"training": [_GONE]}), "gone.nii.gz"),
                ("list with a scan twice", _listing({"training": [_CASE, _CASE]}), "scan.nii.gz"),
            ),
        ),
        (
            "weights",
            _read_weights,
            (
                ("weights missing", lambda folder: folder / "model.pt", "No weights at"),
                ("weights cut off", _cut_weights, "cannot be read"),
                ("weights that run a command", _command, "cannot be read"),
                ("weights of another network", _weights({"a": torch.zeros(1)}), "another network"),
            ),
        ),
        (
            "result",
            _save_on_full_disk,
            (("full disk", lambda folder: folder / "out" / "scan_seg.nii.gz", "cannot be written"),),
        ),
        (
            "result",
            _save_as_nobody,
            (("read-only folder", _read_only, "cannot be written"),),
        ),
        (
            "result",
            _save_mask,
            (("a file in the folder's place", _into_a_file, "cannot be written"),),
        ),
    )
    for name, make, words in rows
]
