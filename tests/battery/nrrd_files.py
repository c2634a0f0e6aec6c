"""NRRD files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nrrd
import numpy as np

from battery.given import SCAN, Accepted, Input, Refused, cut, with_bytes

_SAME = Accepted(SCAN)
_LPS = np.diag([-1, -1, 1, 1]) @ SCAN.affine


def _file(voxels: np.ndarray = SCAN.voxels, affine: np.ndarray = _LPS, **header: object) -> Callable[[Path], Path]:
    """A file of SCAN; an entry of the header that is None is left out."""
    whole = {
        "space": "left-posterior-superior",
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        **{name.replace("_", " "): value for name, value in header.items()},
    }

    def make(folder: Path) -> Path:
        nrrd.write(
            str(folder / "scan.nrrd"), voxels, {name: value for name, value in whole.items() if value is not None}
        )
        return folder / "scan.nrrd"

    return make


def _cut(encoding: str) -> Callable[[Path], Path]:
    return lambda folder: cut(_file(encoding=encoding)(folder))


def _detached(folder: Path) -> Path:
    nrrd.write(str(folder / "scan.nhdr"), SCAN.voxels, {"space": "left-posterior-superior"})
    return folder / "scan.nhdr"


def _pointing_elsewhere(folder: Path) -> Path:
    path = _file(encoding="raw")(folder)
    header = path.read_bytes().split(b"\n\n")[0]
    with_bytes(folder / "other.raw", SCAN.voxels.tobytes(order="F"))
    return with_bytes(path, header + b"\ndata file: /etc/passwd\n\n")


_PHASES = np.stack([SCAN.voxels] * 2)
_FOUR_AXES = np.vstack([[np.nan] * 3, _LPS[:3, :3].T])

NRRD = [
    Input(name, "NRRD", make, expected)
    for name, make, expected in (
        ("not NRRD", lambda d: with_bytes(d / "scan.nrrd", b"nothing"), Refused("not a readable NRRD")),
        ("empty NRRD", lambda d: with_bytes(d / "scan.nrrd", b""), Refused("is empty")),
        ("NRRD without its last bytes", _cut("raw"), Refused("damaged")),
        ("compressed NRRD without its last bytes", _cut("gzip"), Refused("damaged")),
        ("NRRD of two phases", _file(_PHASES, space_directions=_FOUR_AXES), Refused("2 x 9 x 8 x 7")),
        ("NRRD without a space", _file(space=None), Refused("space")),
        ("NRRD without an origin", _file(space_origin=None), Refused("origin")),
        ("NRRD without directions", _file(space_directions=None), Refused("directions")),
        ("NRRD with directions that are no numbers", _file(affine=_LPS * np.nan), Refused("not a readable NRRD")),
        ("NRRD with a direction of zero", _file(affine=_LPS * [1, 1, 0, 1]), Refused("geometry")),
        ("NRRD in another space", _file(space="left-anterior-superior"), Refused("left-anterior")),
        ("NRRD in a shortened space", _file(space="LPS"), Refused("'LPS'")),
        ("NRRD with its voxels in another file", _detached, Refused("suffix")),
        ("NRRD that takes its voxels from the system", _pointing_elsewhere, Refused("another file")),
        ("NRRD", _file(), _SAME),
        ("NRRD, right-anterior-superior", _file(affine=SCAN.affine, space="right-anterior-superior"), _SAME),
        ("NRRD, not compressed", _file(encoding="raw"), _SAME),
        ("NRRD, big-endian", _file(SCAN.voxels.astype(">i2"), encoding="raw", endian="big"), _SAME),
    )
]
