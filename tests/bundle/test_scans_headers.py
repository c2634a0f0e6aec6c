"""Bad scans are refused before their voxels are read, each with one sentence that names the file and the remedy."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from dicom_series import write_series
from dualtask.errors import InputError
from dualtask.scans import check_scans

VOXELS = np.arange(60, dtype=np.int16).reshape(5, 4, 3)


def nifti(path: Path, voxels: np.ndarray = VOXELS, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(voxels, np.diag([2, 2, 2.5, 1]) if affine is None else affine), path)
    return path


def with_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def with_header(path: Path, change: Callable[[nib.Nifti1Header], None]) -> Path:
    """A file with a header that nibabel would not write."""
    header = nib.Nifti1Image(VOXELS, np.eye(4)).header
    header.set_data_offset(352)
    change(header)
    return with_bytes(path, header.binaryblock + b"\0" * 4 + VOXELS.tobytes(order="F"))


def zoomed(path: Path, zoom: float) -> Path:
    def change(header: nib.Nifti1Header) -> None:
        header["pixdim"][3] = zoom

    return with_header(path, change)


def flattened(path: Path) -> Path:
    def change(header: nib.Nifti1Header) -> None:
        header["srow_y"] = 0

    return with_header(path, change)


def cut(path: Path) -> Path:
    nifti(path, np.random.default_rng(0).integers(-1000, 1000, (8, 8, 8), np.int16))
    return with_bytes(path, path.read_bytes()[:-20])


def promising_more(path: Path) -> Path:
    """A whole gzip file with fewer voxels than its header says, more than any memory holds."""

    def change(header: nib.Nifti1Header) -> None:
        header["dim"][1:4] = 30000

    plain = with_header(path.with_suffix(""), change)
    return with_bytes(path, gzip.compress(plain.read_bytes()))


def of_unknown_type(path: Path) -> Path:
    def change(header: nib.Nifti1Header) -> None:
        header["datatype"] = 999

    return with_header(path, change)


def nrrd_file(path: Path, **header: object) -> Path:
    whole = {"space": "left-posterior-superior", "space directions": np.eye(3), "space origin": np.zeros(3)}
    nrrd.write(str(path), VOXELS, {key: value for key, value in (whole | header).items() if value is not None})
    return path


BAD_FILES = {
    "missing": (lambda d: d / "scan.nii.gz", "does not exist"),
    "empty": (lambda d: with_bytes(d / "scan.nii.gz", b""), "is empty"),
    "unknown suffix": (lambda d: with_bytes(d / "scan.jpg", b"x"), "suffix"),
    "one DICOM slice": (lambda d: with_bytes(d / "000.dcm", b"x"), "folder"),
    "not NIfTI": (lambda d: with_bytes(d / "scan.nii.gz", gzip.compress(b"nothing" * 100)), "not a readable NIfTI"),
    "not gzip": (lambda d: with_bytes(d / "scan.nii.gz", b"nothing" * 100), "not a readable NIfTI"),
    "cut off": (lambda d: cut(d / "scan.nii"), "cut off"),
    "cut off, compressed": (lambda d: cut(d / "scan.nii.gz"), "cut off"),
    "fewer voxels than stated": (lambda d: promising_more(d / "scan.nii.gz"), "cut off"),
    "unknown voxel type": (lambda d: of_unknown_type(d / "scan.nii"), "not a readable NIfTI"),
    "colours": (lambda d: nifti(d / "scan.nii", np.zeros((4, 4, 4), [(c, "u1") for c in "RGB"])), "colours"),
    "complex": (lambda d: nifti(d / "scan.nii", VOXELS.astype(np.complex64)), "complex numbers"),
    "2-D": (lambda d: nifti(d / "scan.nii", VOXELS[..., 0]), "flat image of 5 x 4"),
    "one slice": (lambda d: nifti(d / "scan.nii", VOXELS[..., :1]), "flat image"),
    "4-D": (lambda d: nifti(d / "scan.nii", np.stack([VOXELS] * 2, -1)), "5 x 4 x 3 x 2"),
    "zero spacing": (lambda d: zoomed(d / "scan.nii", 0.0), "spacing"),
    "negative spacing": (lambda d: zoomed(d / "scan.nii", -2.5), "spacing"),
    "NaN spacing": (lambda d: zoomed(d / "scan.nii", np.nan), "spacing"),
    "singular affine": (lambda d: flattened(d / "scan.nii"), "geometry"),
    "not NRRD": (lambda d: with_bytes(d / "scan.nrrd", b"nothing"), "not a readable NRRD"),
    "NRRD without origin": (lambda d: nrrd_file(d / "scan.nrrd", **{"space origin": None}), "origin"),
    "NRRD in another space": (lambda d: nrrd_file(d / "scan.nrrd", space="left-anterior-superior"), "left-anterior"),
    "NRRD in a shortened space": (lambda d: nrrd_file(d / "scan.nrrd", space="LPS"), "'LPS'"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_refused_in_one_sentence_with_a_remedy(fault, tmp_path):
    make, words = BAD_FILES[fault]
    assert_refused(make(tmp_path), words)


def assert_refused(path: Path, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_scans([path])
    sentence = str(refusal.value)
    assert str(path) in sentence
    assert words in sentence
    assert "\n" not in sentence
    # The remedy follows the colon.
    assert sentence.rstrip(".").rpartition(": ")[2].split()[0] in {"give", "copy", "export", "check", "put", "remove"}


def mixed_series(folder: Path) -> Path:
    write_series(folder / "a")
    write_series(folder / "b")
    both = folder / "both"
    both.mkdir()
    for source in ("a", "b"):
        for path in (folder / source).iterdir():
            (both / f"{source}{path.name}").write_bytes(path.read_bytes())
    return both


def compressed(index: int, header: FileDataset) -> None:
    header.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    header.PixelData = encapsulate([header.PixelData])
    header["PixelData"].is_undefined_length = True


def coloured(index: int, header: FileDataset) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "RGB", 0
    header.PixelData = header.PixelData * 3


def set_attribute(name: str, value: object, where: int | None = None):
    return lambda index, header: setattr(header, name, value) if where is None or index == where else None


BAD_SERIES = {
    "nothing": (lambda d: (d / "empty").mkdir() or d / "empty", "no DICOM files"),
    "two series": (mixed_series, "2 DICOM series"),
    "missing slice": (
        lambda d: write_series(d, [(0, 0, z) for z in (0, 2.5, 7.5, 10, 12.5)]),
        "5.00 mm instead of 2.50",
    ),
    "doubled slice": (lambda d: write_series(d, [(0, 0, z) for z in (0, 2.5, 2.5, 5)]), "two slices at one position"),
    "tilted gantry": (lambda d: write_series(d, [(0, 0.5 * k, 2.5 * k) for k in range(4)]), "tilted gantry"),
    "other modality": (lambda d: write_series(d, change=set_attribute("Modality", "MR")), "is MR and not CT"),
    "other size": (lambda d: write_series(d, change=set_attribute("PixelSpacing", [1, 1], 2)), "mixes slices"),
    "no rescale": (lambda d: write_series(d, change=set_attribute("RescaleIntercept", None)), "RescaleIntercept"),
    "no spacing": (lambda d: write_series(d, change=set_attribute("PixelSpacing", None, 1)), "1 slices without Pixel"),
    "no position": (lambda d: write_series(d, change=set_attribute("ImagePositionPatient", None, 1)), "ImagePosition"),
    "zero spacing": (lambda d: write_series(d, change=set_attribute("PixelSpacing", [0, 1])), "impossible"),
    "colours": (lambda d: write_series(d, change=coloured), "colour"),
    "frames in one file": (lambda d: write_series(d, change=set_attribute("NumberOfFrames", 4)), "multi-frame"),
    "unknown compression": (lambda d: write_series(d, change=compressed), "JPEG Lossless"),
    "single slice": (lambda d: write_series(d, [(0, 0, 0)]), "single slice"),
}


@pytest.mark.parametrize("fault", BAD_SERIES)
def test_a_bad_dicom_folder_is_refused_in_one_sentence_with_a_remedy(fault, tmp_path):
    make, words = BAD_SERIES[fault]
    assert_refused(make(tmp_path), words)


def rounded(index: int, header: FileDataset) -> None:
    header.ImageOrientationPatient = [1, 0, 0, 0, 1 - 1e-6 * index, 0]


def test_slices_that_differ_by_rounding_pass(tmp_path):
    check_scans([write_series(tmp_path / "series", change=rounded)])


def test_a_file_of_several_gzip_members_passes(tmp_path):
    content = nifti(tmp_path / "plain.nii").read_bytes()
    members = gzip.compress(content[:400]) + gzip.compress(content[400:])
    check_scans([with_bytes(tmp_path / "scan.nii.gz", members)])


@pytest.mark.parametrize(
    ("paths", "words"), [("scan.nii", "one path"), ([None], "no path"), ([["scan.nii"]], "no path")]
)
def test_what_is_no_list_of_paths_is_refused(paths, words):
    with pytest.raises(InputError, match=words):
        check_scans(paths)


def test_good_scans_of_each_format_pass(tmp_path):
    check_scans(
        [
            nifti(tmp_path / "a.nii.gz"),
            nifti(tmp_path / "b.nii", VOXELS[..., None]),
            nrrd_file(tmp_path / "scan.nrrd"),
            write_series(tmp_path / "series"),
        ]
    )


def test_an_empty_list_is_refused():
    with pytest.raises(InputError, match="empty"):
        check_scans([])


def test_the_real_scans_pass(shared_data):
    check_scans([*sorted(shared_data.glob("ct_*_3mm.nii.gz")), shared_data / "ct_upper_abdomen_dicom"])
