"""Small DICOM series for tests, written slice by slice so that each can be made wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_series(
    folder: Path,
    positions: Sequence[Sequence[float]] = tuple((0.0, 0.0, 2.5 * k) for k in range(4)),
    rows: int = 6,
    columns: int = 5,
    change: Callable[[int, FileDataset], None] = lambda index, header: None,
) -> Path:
    """One CT slice per position; voxel (row, column) of slice k has 100 k + 10 row + column - 1024 HU."""
    folder.mkdir(parents=True, exist_ok=True)
    series, frame, study = generate_uid(), generate_uid(), generate_uid()
    for index, position in enumerate(positions):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        header.is_little_endian, header.is_implicit_VR = True, False
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, frame
        header.Modality, header.PatientName, header.PatientID = "CT", "TEST", "TEST"
        header.InstanceNumber = index + 1
        header.Rows, header.Columns = rows, columns
        header.PixelSpacing, header.SliceThickness = [0.8, 0.7], 2.5
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        header.ImagePositionPatient = list(position)
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation = 15, 1
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.RescaleIntercept, header.RescaleSlope = -1024, 1
        values = 100 * index + 10 * np.arange(rows)[:, None] + np.arange(columns)
        header.PixelData = values.astype(np.int16).tobytes()
        change(index, header)
        pydicom.dcmwrite(folder / f"{index:03d}.dcm", header, write_like_original=False)
    return folder


def describe_patient_and_study(_: int, header: FileDataset) -> None:
    """As ``change``: what every scanner writes of patient and study, and what objects derived of the series repeat."""
    header.PatientBirthDate = header.PatientSex = header.StudyDate = header.StudyTime = header.AccessionNumber = ""
    header.StudyID = header.ReferringPhysicianName = ""
