"""Folders of DICOM series."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers.rle_handler import rle_encode_frame
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless, generate_uid

from battery.given import Accepted, Input, Refused, Volume, cut, with_bytes
from dicom_series import write_series

_ROWS, _COLUMNS, _SLICES = 6, 5, 4
_COLUMN, _ROW, _SLICE = np.indices((_COLUMNS, _ROWS, _SLICES))
SERIES = Volume((100 * _SLICE + 10 * _ROW + _COLUMN - 1024).astype(np.int16), np.diag([-0.7, -0.8, 2.5, 1]))
"""What ``write_series`` writes."""

_SAME = Accepted(SERIES)
Change = Callable[[int, FileDataset], None]


def _series(change: Change, heights: Sequence[float] = (0, 2.5, 5, 7.5)) -> Callable[[Path], Path]:
    return lambda folder: write_series(folder / "series", [(0, 0, z) for z in heights], change=change)


def _set(keyword: str, value: object, where: int | None = None) -> Callable[[Path], Path]:
    """A series with another value in all slices or in one; None removes it."""

    def change(index: int, header: FileDataset) -> None:
        if where is not None and index != where:
            return
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)

    return _series(change)


def _at(heights: Sequence[float]) -> Callable[[Path], Path]:
    return _series(lambda index, header: None, heights)


def _moved(shift: Sequence[float]) -> Callable[[Path], Path]:
    """Each slice shifted against the one below."""

    def make(folder: Path) -> Path:
        positions = [tuple(index * np.array(shift) + (0, 0, 2.5 * index)) for index in range(_SLICES)]
        return write_series(folder / "series", positions)

    return make


def _after(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """A good series to which something is done on disk."""

    def make(folder: Path) -> Path:
        series = write_series(folder / "series")
        change(series)
        return series

    return make


def _mixed(series: Path) -> None:
    for path in write_series(series.parent / "other").iterdir():
        path.rename(series / f"other_{path.name}")
    (series.parent / "other").rmdir()


def _report(series: Path) -> None:
    report = pydicom.dcmread(series / "000.dcm")
    report.SeriesInstanceUID, report.Modality = generate_uid(), "SR"
    del report.PixelData, report.Rows
    pydicom.dcmwrite(series / "report.dcm", report)
    (series / "notes.txt").write_text("notes")


def _without_suffix(series: Path) -> None:
    for path in list(series.iterdir()):
        path.rename(path.with_suffix(""))


def _nested(folder: Path) -> Path:
    write_series(folder / "study" / "series")
    return folder / "study"


def _one_file(folder: Path) -> Path:
    return write_series(folder / "series") / "000.dcm"


def _empty(folder: Path) -> Path:
    (folder / "series").mkdir()
    return folder / "series"


def _named(name: str) -> Callable[[Path], Path]:
    return lambda folder: write_series(folder / name)


def _as(syntax: str, encode: Callable[[FileDataset], bytes]) -> Change:
    def change(index: int, header: FileDataset) -> None:
        header.file_meta.TransferSyntaxUID = syntax
        header.PixelData = encapsulate([encode(header)])
        header["PixelData"].is_undefined_length = True

    return change


def _rle(header: FileDataset) -> bytes:
    return rle_encode_frame(np.frombuffer(header.PixelData, np.int16).reshape(_ROWS, _COLUMNS))


def _deflated(index: int, header: FileDataset) -> None:
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def _numbered(*numbers: int | None) -> Change:
    def change(index: int, header: FileDataset) -> None:
        header.InstanceNumber = numbers[index]

    return change


def _coloured(index: int, header: FileDataset) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PlanarConfiguration = 3, "RGB", 0
    header.PixelData = header.PixelData * 3


def _unsigned(index: int, header: FileDataset) -> None:
    header.PixelRepresentation = 0


def _slope_of_its_own(index: int, header: FileDataset) -> None:
    """Each slice is scaled in its own way to the same HU."""
    stored = np.frombuffer(header.PixelData, np.int16)
    header.PixelData = (stored * (index + 1)).astype(np.int16).tobytes()
    header.RescaleSlope = 1 / (index + 1)


def _turned(orientation: Sequence[float]) -> Callable[[Path], Path]:
    return _set("ImageOrientationPatient", list(orientation))


def _scout(index: int, header: FileDataset) -> None:
    if index == 3:
        header.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def _prone(index: int, header: FileDataset) -> None:
    header.ImageOrientationPatient, header.PatientPosition = [-1, 0, 0, 0, -1, 0], "FFP"


_PRONE = Volume(SERIES.voxels, np.diag([0.7, 0.8, 2.5, 1]))
_NOTHING = Refused("no DICOM files")

DICOM = [
    Input(name, "DICOM series", make, expected, uploaded=False)
    for name, make, expected in (
        ("empty folder", _empty, _NOTHING),
        ("a study, the series one folder further down", _nested, _NOTHING),
        ("one slice instead of the folder", _one_file, Refused("give the folder")),
        ("single slice", _at([0]), Refused("single slice")),
        ("missing slice", _at([0, 2.5, 7.5, 10, 12.5]), Refused("5.00 mm instead of 2.50")),
        ("duplicate slice", _after(lambda s: shutil.copy(s / "001.dcm", s / "copy.dcm")), Refused("one position")),
        ("two phases under one series", _at([0, 0, 2.5, 2.5, 5, 5]), Refused("one position")),
        ("two series in one folder", _after(_mixed), Refused("2 DICOM series")),
        ("tilted gantry", _moved((0, 0.5, 0)), Refused("tilted gantry")),
        ("a scout among the slices", _series(_scout), Refused("mixes slices")),
        ("a slice of another spacing", _set("PixelSpacing", [1, 1], 2), Refused("mixes slices")),
        ("MR series", _set("Modality", "MR"), Refused("is MR and not CT")),
        ("no modality", _set("Modality", None), Refused("unknown modality")),
        ("colour pictures", _series(_coloured), Refused("colour")),
        ("frames in one file", _set("NumberOfFrames", 4), Refused("multi-frame")),
        ("intercept missing", _set("RescaleIntercept", None), Refused("RescaleIntercept")),
        ("slope of zero", _set("RescaleSlope", 0), Refused("everywhere")),
        ("spacing missing in one slice", _set("PixelSpacing", None, 1), Refused("1 slices without PixelSpacing")),
        ("position missing in one slice", _set("ImagePositionPatient", None, 1), Refused("ImagePositionPatient")),
        ("DICOM spacing of zero", _set("PixelSpacing", [0, 0.7]), Refused("impossible")),
        ("negative DICOM spacing", _set("PixelSpacing", [-0.8, 0.7]), Refused("impossible")),
        ("orientation of zeros", _turned([0, 0, 0, 0, 0, 0]), Refused("orientation")),
        ("parallel row and column", _turned([1, 0, 0, 1, 0, 0]), Refused("orientation")),
        ("row and column that are not perpendicular", _turned([1, 0, 0, 0.6, 0.8, 0]), Refused("orientation")),
        ("all slices at one height", _at([5, 5, 5, 5]), Refused("one position")),
        ("JPEG Lossless", _series(_as(JPEGLosslessSV1, lambda h: h.PixelData)), Refused("JPEG Lossless")),
        ("broken JPEG 2000", _series(_as(JPEG2000Lossless, lambda h: h.PixelData)), Refused("damaged")),
        ("a slice without pixels", _set("PixelData", None, 1), Refused("damaged")),
        ("a slice that was cut off", _after(lambda series: cut(series / "002.dcm")), Refused("damaged")),
        ("a slice overwritten", _after(lambda s: with_bytes(s / "001.dcm", b"x" * 900)), Refused("lacks slices")),
        ("instance numbers in another order", _series(_numbered(4, 2, 3, 1)), _SAME),
        ("instance numbers all the same", _series(_numbered(1, 1, 1, 1)), _SAME),
        ("an instance number missing", _series(_numbered(1, None, 3, 4)), _SAME),
        ("slices from head to foot", _after(lambda s: (s / "000.dcm").rename(s / "zzz.dcm")), _SAME),
        ("patient position that contradicts the orientation", _set("PatientPosition", "FFP"), _SAME),
        ("prone, feet first", _series(_prone), Accepted(_PRONE)),
        ("slice thickness other than the distance", _set("SliceThickness", 5), _SAME),
        ("spacing between slices that is wrong", _set("SpacingBetweenSlices", -9), _SAME),
        ("unsigned with intercept", _series(_unsigned), _SAME),
        ("another slope in each slice", _series(_slope_of_its_own), _SAME),
        ("shown inverted (MONOCHROME1)", _set("PhotometricInterpretation", "MONOCHROME1"), _SAME),
        ("RLE", _series(_as(RLELossless, _rle)), _SAME),
        ("deflated", _series(_deflated), _SAME),
        ("files without suffix", _after(_without_suffix), _SAME),
        ("a report and notes beside the slices", _after(_report), _SAME),
        ("Unicode and spaces in the folder's name", _named("Müller 胰腺 (3)"), _SAME),
        ("a folder named like a file", _named("series.nii.gz"), _SAME),
    )
]
