"""NIfTI files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from battery.given import SCAN, Accepted, Input, Refused, Volume, cut, nifti, with_bytes

_SAME = Accepted(SCAN)


def _with_header(path: Path, voxels: np.ndarray = SCAN.voxels, **fields: object) -> Path:
    """A file with a header that nibabel would not write; a field is a value or (where, value)."""
    header = nib.Nifti1Image(voxels, SCAN.affine).header
    header.set_data_offset(352)
    for name, value in fields.items():
        if isinstance(value, tuple):
            where, value = value
            header[name][where] = value
        else:
            header[name] = value
    return with_bytes(path, header.binaryblock + b"\0" * 4 + voxels.tobytes(order="F"))


def _changed(name: str = "scan.nii", **fields: object) -> Callable[[Path], Path]:
    return lambda folder: _with_header(folder / name, **fields)


def _of(voxels: np.ndarray, name: str = "scan.nii.gz", affine: np.ndarray = SCAN.affine) -> Callable[[Path], Path]:
    return lambda folder: nifti(folder / name, voxels, affine)


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    return lambda folder: with_bytes(folder / name, content)


def _cut(name: str, lost: int = 20) -> Callable[[Path], Path]:
    noise = np.random.default_rng(0).integers(-1000, 1000, (16, 16, 16), np.int16)
    return lambda folder: cut(nifti(folder / name, noise), lost)


def _overwritten(folder: Path) -> Path:
    path = nifti(folder / "scan.nii.gz", np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20), np.int16))
    content = path.read_bytes()
    return with_bytes(path, content[:3000] + bytes(500) + content[3500:])


def _promising_ten_thousand_slices(folder: Path) -> Path:
    plain = _with_header(folder / "plain.nii", dim=(3, 10_000))
    path = with_bytes(folder / "scan.nii.gz", gzip.compress(plain.read_bytes()))
    plain.unlink()
    return path


def _scaled(voxels: np.ndarray, slope: float, inter: float) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return _with_header(folder / "scan.nii", voxels, scl_slope=slope, scl_inter=inter)

    return make


def _pair(folder: Path) -> Path:
    nib.save(nib.Nifti1Pair(SCAN.voxels, SCAN.affine), folder / "scan.img")
    return folder / "scan.hdr"


def _dangling(folder: Path) -> Path:
    (folder / "scan.nii.gz").symlink_to(folder / "moved.nii.gz")
    return folder / "scan.nii.gz"


def _linked(folder: Path) -> Path:
    (folder / "scan.nii.gz").symlink_to(nifti(folder / "stored.nii.gz"))
    return folder / "scan.nii.gz"


def _in_members(folder: Path) -> Path:
    content = nifti(folder / "plain.nii").read_bytes()
    (folder / "plain.nii").unlink()
    return with_bytes(folder / "scan.nii.gz", gzip.compress(content[:400]) + gzip.compress(content[400:]))


def _qform_only(folder: Path) -> Path:
    image = nib.Nifti1Image(SCAN.voxels, SCAN.affine)
    image.set_qform(SCAN.affine, code=1)
    image.set_sform(None, code=0)
    nib.save(image, folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def _big_endian(folder: Path) -> Path:
    image = nib.Nifti1Image(SCAN.voxels.astype(">i2"), SCAN.affine, nib.Nifti1Header(endianness=">"))
    nib.save(image, folder / "scan.nii")
    return folder / "scan.nii"


def _nifti2(folder: Path) -> Path:
    nib.save(nib.Nifti2Image(SCAN.voxels, SCAN.affine), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def _with_a_tail(folder: Path) -> Path:
    path = nifti(folder / "scan.nii")
    return with_bytes(path, path.read_bytes() + b"\0" * 1000)


def _where(value: float, dtype: type = np.float32) -> np.ndarray:
    return np.where(SCAN.voxels == 7, value, SCAN.voxels).astype(dtype)


_FLIPPED = Volume(SCAN.voxels[::-1], SCAN.affine @ np.array([[-1, 0, 0, 8], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
_TURNED = Volume(SCAN.voxels.transpose(2, 0, 1), SCAN.affine[:, [2, 0, 1, 3]])
_HEAVY = Volume(_where(30_000, np.int16), SCAN.affine)
_PADDED = Volume(_where(-3024, np.int16), SCAN.affine)
_THICK = Volume(SCAN.voxels, SCAN.affine @ np.diag([1, 1, 4, 1]))
_PAIR_OF_SLICES = Volume(SCAN.voxels[..., :2], SCAN.affine)
_RGB = [(channel, "u1") for channel in "RGB"]
_ERROR_PAGE = b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20

NIFTI = [
    Input(name, "NIfTI", make, expected)
    for name, make, expected in (
        ("no such file", lambda folder: folder / "scan.nii.gz", Refused("does not exist")),
        ("a link to a file that was moved", _dangling, Refused("does not exist")),
        ("empty file", _bytes("scan.nii.gz", b""), Refused("is empty")),
        ("an error page saved as a scan", _bytes("scan.nii", _ERROR_PAGE), Refused("not a readable NIfTI")),
        ("an error page saved as a compressed scan", _bytes("scan.nii.gz", _ERROR_PAGE), Refused("not a readable")),
        ("wrong magic", _changed(magic=b"abc"), Refused("not a readable NIfTI")),
        ("a header and nothing else", lambda d: cut(nifti(d / "scan.nii"), SCAN.voxels.nbytes), Refused("cut off")),
        ("half a header", _bytes("scan.nii", b"\x5c\x01\0\0" + bytes(100)), Refused("not a readable NIfTI")),
        ("last bytes missing", _cut("scan.nii"), Refused("cut off")),
        ("last bytes missing, compressed", _cut("scan.nii.gz"), Refused("cut off")),
        ("half of it missing, compressed", _cut("scan.nii.gz", 3000), Refused("cut off")),
        ("overwritten in the middle, compressed", _overwritten, Refused("damaged")),
        ("10,000 slices by the header, 7 in the file", _promising_ten_thousand_slices, Refused("cut off")),
        ("not compressed but named so", lambda d: nifti(d / "a.nii").rename(d / "scan.nii.gz"), Refused("readable")),
        ("compressed but not named so", lambda d: nifti(d / "a.nii.gz").rename(d / "scan.nii"), Refused("readable")),
        ("unknown voxel type", _changed(datatype=999), Refused("not a readable NIfTI")),
        ("negative size", _changed(dim=(2, -8)), Refused("9 x -8 x 7 voxels, which cannot be")),
        ("colours", _of(np.zeros((4, 4, 4), _RGB)), Refused("colours")),
        ("complex numbers", _of(SCAN.voxels.astype(np.complex64)), Refused("complex")),
        ("two-dimensional", _of(SCAN.voxels[..., 0]), Refused("flat image of 9 x 8")),
        ("one slice", _of(SCAN.voxels[..., :1]), Refused("flat image")),
        ("two phases in one file", _of(np.stack([SCAN.voxels] * 2, -1)), Refused("9 x 8 x 7 x 2")),
        ("spacing of zero", _changed(pixdim=(3, 0)), Refused("spacing")),
        ("negative spacing", _changed(pixdim=(3, -2.5)), Refused("spacing")),
        ("spacing that is not a number", _changed(pixdim=(2, np.nan)), Refused("spacing")),
        ("infinite spacing", _changed(pixdim=(2, np.inf)), Refused("spacing")),
        ("spacing in metres", _changed(xyzt_units=1), Refused("metres")),
        ("spacing in micrometres", _changed(xyzt_units=3), Refused("micrometres")),
        ("affine with a row of zeros", _changed(srow_y=np.zeros(4)), Refused("geometry")),
        ("affine with two parallel axes", _changed(srow_y=SCAN.affine[0]), Refused("geometry")),
        ("affine that is not a number", _changed(srow_x=(3, np.nan)), Refused("geometry")),
        ("affine of another spacing than the header's", _changed(srow_z=(2, 25.0)), Refused("spacing")),
        ("no orientation stated", _changed(sform_code=0, qform_code=0), Refused("orientation")),
        ("a voxel that is not a number", _of(_where(np.nan)), Refused("not numbers")),
        ("an infinite voxel", _of(_where(np.inf)), Refused("not numbers")),
        ("the same value everywhere", _of(np.full_like(SCAN.voxels, 40)), Refused("everywhere")),
        ("scaled to [0, 1]", _of(((SCAN.voxels + 200) / 600).astype(np.float32)), Refused("scaled to [0, 1]")),
        ("unsigned, the intercept forgotten", _of((SCAN.voxels + 1024).astype(np.uint16)), Refused("no voxel below 0")),
        ("MR instead of CT", _of(np.abs(SCAN.voxels) * 3), Refused("no voxel below 0")),
        ("header and voxels in two files", _pair, Refused("suffix")),
        ("a picture", _bytes("scan.jpg", b"\xff\xd8\xff"), Refused("suffix")),
        ("float64 values", _of(SCAN.voxels.astype(np.float64)), _SAME),
        ("int32 values", _of(SCAN.voxels.astype(np.int32)), _SAME),
        ("unsigned with an intercept", _scaled((SCAN.voxels + 1024).astype(np.uint16), 1, -1024), _SAME),
        ("slope and intercept", _scaled(((SCAN.voxels + 200) * 4).astype(np.int16), 0.25, -200), _SAME),
        ("slope of zero, which means none", _scaled(SCAN.voxels, 0, 5), _SAME),
        ("big-endian", _big_endian, _SAME),
        ("NIfTI-2", _nifti2, _SAME),
        ("several compressed members", _in_members, _SAME),
        ("bytes behind the voxels", _with_a_tail, _SAME),
        ("a fourth dimension of one", _of(SCAN.voxels[..., None]), _SAME),
        ("orientation as quaternion only", _qform_only, _SAME),
        ("left-handed axes", _of(_FLIPPED.voxels, affine=_FLIPPED.affine), _SAME),
        ("axes in another order", _of(_TURNED.voxels, affine=_TURNED.affine), _SAME),
        ("slices 10 mm apart", _of(SCAN.voxels, affine=_THICK.affine), Accepted(_THICK)),
        ("two slices", _of(_PAIR_OF_SLICES.voxels), Accepted(_PAIR_OF_SLICES)),
        ("padding of -3024", _of(_PADDED.voxels), Accepted(_PADDED)),
        ("metal of 30,000", _of(_HEAVY.voxels), Accepted(_HEAVY)),
        ("suffix in capitals", _of(SCAN.voxels, "SCAN.NII.GZ"), _SAME),
        ("Unicode and spaces in the name", _of(SCAN.voxels, "Müller 胰腺 (3).nii.gz"), _SAME),
        ("dots in the name", _of(SCAN.voxels, "1.2.840.113.nii.gz"), _SAME),
        ("a link to the file", _linked, _SAME),
    )
]
