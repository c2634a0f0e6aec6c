"""A case as a DICOM series of single-frame CT Image Storage objects."""

from __future__ import annotations

import datetime
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dualtask.phantom.generator import Case

_INTERCEPT = -1024


def write_dicom_series(folder: str | Path, case: Case) -> list[Path]:
    """Write one axial CT series, one file per slice, and return the files in order of instance number.

    Rows run to the patient's left and columns to the back, as scanners store a supine head-first patient; slices are
    numbered in the direction of the case's own third axis. All UIDs are fresh, so writing twice gives two studies.

    Args:
        folder: made if it is missing.
        case: image in HU within [-1024, 3071]; its affine's axes are parallel to the patient's.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    up = nib.aff2axcodes(case.affine)[2]
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(case.affine), nib.orientations.axcodes2ornt(("L", "P", up))
    )
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ case.affine @ nib.orientations.inv_ornt_aff(turn, case.image.shape)
    volume = nib.orientations.apply_orientation(case.image, turn)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    now = datetime.datetime.now()

    files = []
    for k in range(volume.shape[2]):
        position = affine[:3, 3] + k * affine[:3, 2]
        data = _common_attributes(case, now)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.InstanceNumber = str(k + 1)
        data.ImageOrientationPatient = [_decimal(v) for v in (*affine[:3, 0] / spacing[0], *affine[:3, 1] / spacing[1])]
        data.ImagePositionPatient = [_decimal(v) for v in position]
        data.SliceLocation = _decimal(position[2])
        data.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
        data.SliceThickness = data.SpacingBetweenSlices = _decimal(spacing[2])
        data.Columns, data.Rows = volume.shape[:2]
        data.PixelData = (volume[:, :, k].T.astype(np.int32) - _INTERCEPT).astype("<u2").tobytes()
        path = folder / f"{k + 1:04d}.dcm"
        data.save_as(path, write_like_original=False)
        files.append(path)
    return files


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters."""
    return f"{value + 0.0:.10g}"[:16]


def _common_attributes(case: Case, now: datetime.datetime) -> FileDataset:
    """Everything that is the same for all slices of the series."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.is_little_endian, data.is_implicit_VR = True, False
    day, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CTImageStorage,
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "InstanceCreationDate": day,
        "InstanceCreationTime": time,
        "StudyDate": day,
        "SeriesDate": day,
        "AcquisitionDate": day,
        "ContentDate": day,
        "StudyTime": time,
        "SeriesTime": time,
        "AcquisitionTime": time,
        "ContentTime": time,
        "AccessionNumber": "",
        "Modality": "CT",
        "Manufacturer": "SYNTHETIC",
        "ManufacturerModelName": "dualtask.phantom",
        "InstitutionName": f"SYNTHETIC {case.site.name}",
        "ReferringPhysicianName": "",
        "StudyDescription": "SYNTHETIC abdominal CT, not a patient",
        "SeriesDescription": f"SYNTHETIC {case.phase} phase",
        "PatientName": f"SYNTHETIC^{case.name}",
        "PatientID": f"SYNTHETIC-{case.name}",
        "PatientBirthDate": "",
        "PatientSex": "O",
        "BodyPartExamined": "ABDOMEN",
        "KVP": "120",
        "PatientPosition": "HFS",
        "ConvolutionKernel": "SHARP" if case.site.kernel_boost > 0 else "SOFT",
        "StudyID": "1",
        "SeriesNumber": "1",
        "AcquisitionNumber": "1",
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleIntercept": str(_INTERCEPT),
        "RescaleSlope": "1",
        "RescaleType": "HU",
        "WindowCenter": "40",
        "WindowWidth": "400",
    }
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data
