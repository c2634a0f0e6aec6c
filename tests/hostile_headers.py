"""Scans whose headers were made to break their reader: strategies of hypothesis. Small, synthetic, mostly nonsense."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pydicom
from hypothesis import strategies as st

from dicom_series import write_series

_VOXELS = (np.arange(64, dtype=np.int16) - 100).reshape(4, 4, 4)
_NIFTI = nib.Nifti1Image(_VOXELS, np.eye(4)).to_bytes()

_NIFTI_FIELDS = {
    **{40 + 2 * axis: "h" for axis in range(8)},  # dim
    **{76 + 4 * axis: "f" for axis in range(8)},  # pixdim
    **{280 + 4 * entry: "f" for entry in range(12)},  # srow
    **{0: "i", 70: "h", 72: "h", 108: "f", 112: "f", 116: "f", 123: "b", 252: "h", 254: "h", 256: "f", 268: "f"},
    348: "b",  # extensions follow
}
"""Offset -> type of what readers believe."""

_NUMBERS = {
    "b": st.integers(-128, 127),
    "h": st.sampled_from([0, 1, -1, 2, 7, 8, 128, 511, 1792, 2304, 32767, -32768]) | st.integers(-32768, 32767),
    "i": st.sampled_from([0, 540, -1, 2**31 - 1, -(2**31)]),
    "f": st.sampled_from([0.0, -1.0, 1e-45, 1e38, 351.0, 1e9, -352.0, float("nan"), float("inf"), 0.5]),
}

NIFTI_FILES = st.tuples(
    st.lists(
        st.sampled_from(sorted(_NIFTI_FIELDS.items())).flatmap(
            lambda field: st.tuples(st.just(field), _NUMBERS[field[1]])
        ),
        max_size=5,
    ),
    st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=3),
    st.sampled_from([len(_NIFTI), len(_NIFTI), len(_NIFTI) - 1, 352, 348, 100, 4]),
).map(lambda drawn: _damaged_nifti(*drawn))

_NRRD_FIELDS = {
    "type": ["short", "double", "block", "unsigned long long int", "x"],
    "dimension": ["3", "0", "-1", "99999999999", "x", "", "3.5"],
    "sizes": ["4 4 4", "0 4 4", "-4 4 -4", "99999999 99999999 99999999", "65536 65536 65536", "4", "x", "4 4 4 1", ""],
    "encoding": ["raw", "gzip", "hex", "ascii", "bzip2", "x"],
    "endian": ["little", "big", "x"],
    "space": ["left-posterior-superior", "right-anterior-superior", "x"],
    "space directions": [
        "(1,0,0) (0,1,0) (0,0,1)",
        "none (0,0,0) (0,0,0)",
        "(nan,0,0) (0,1,0) (0,0,1)",
        "(1,0) (0,1,0) (0,0,1)",
        "(1e999,0,0) (0,1,0) (0,0,1)",
        "(1,0,0)",
        "x",
        "",
    ],
    "space origin": ["(0,0,0)", "(inf,0,0)", "(0,0)", "x", ""],
    "data file": ["/etc/passwd", "LIST", "%d.raw 1 2 1", "x"],
    "byte skip": ["-1", "-2", "99999999999", "x"],
    "line skip": ["1", "-1", "99999999999", "x"],
    "space units": ['"mm" "mm" "mm"', '"', "x"],
    "kinds": ["domain domain domain", "vector domain domain", "x"],
    "block size": ["99999999999", "x"],
    "number": ["x"],
}

NRRD_FILES = st.tuples(
    st.fixed_dictionaries(
        {name: st.just(values[0]) | st.sampled_from(values) for name, values in list(_NRRD_FIELDS.items())[:8]},
        optional={name: st.sampled_from(values) for name, values in list(_NRRD_FIELDS.items())[8:]},
    ),
    st.sampled_from([_VOXELS.tobytes(), b"", b"\x1f\x8b\x08\0\0\0\0\0", b"1 2 3"]),
    st.sampled_from([b"NRRD0004\n", b"NRRD9999\n", b"NRRD", b"NRRD0005\n\xff\xfe: \x80\n", b"NRRD0004\n: \n:=\n#\n"]),
).map(lambda drawn: _nrrd(*drawn))

_DICOM_ATTRIBUTES = {
    "Rows": [0, 1, 65535],
    "Columns": [0, 7, 65535],
    "BitsAllocated": [0, 1, 7, 8, 12, 32, 64],
    "BitsStored": [0, 99],
    "PixelRepresentation": [2],
    "SamplesPerPixel": [0, 3],
    "PhotometricInterpretation": ["", "PALETTE COLOR", "x"],
    "NumberOfFrames": ["-1", "0", "9" * 12, "x", "1.5"],
    "RescaleSlope": ["x", "0", "1e999", "nan", "1\\2"],
    "RescaleIntercept": ["x", "-1e999", ""],
    "PixelSpacing": ["1", "1\\1\\1", "x\\y", "-1\\1", "1e999\\1", "nan\\nan", ""],
    "ImagePositionPatient": ["0\\0", "x\\0\\0", "nan\\0\\0", "1e999\\0\\0"],
    "ImageOrientationPatient": ["1\\0\\0", "0\\0\\0\\0\\0\\0", "x\\0\\0\\0\\1\\0"],
    "InstanceNumber": ["x", "9" * 30],
    "Modality": ["", "MR", "CT\\CT"],
    "SeriesInstanceUID": ["", "x", "1.2\\1.3"],
    "SpecificCharacterSet": ["x", "ISO 2022 IR 87\\x"],
    "TransferSyntaxUID": ["", "x", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"],
    "PixelData": [b"", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"],
}

DICOM_SERIES = st.tuples(
    st.lists(
        st.sampled_from(sorted(_DICOM_ATTRIBUTES)).flatmap(
            lambda name: st.tuples(st.just(name), st.none() | st.sampled_from(_DICOM_ATTRIBUTES[name]))
        ),
        max_size=3,
    ),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=4),
    st.sampled_from([1.0, 1.0, 0.9, 0.5, 0.1]),
).map(lambda drawn: _damaged_series(*drawn))
"""The files of three slices: attributes changed or left out of the first or of all, bytes of the first changed, cut."""


def _damaged_nifti(fields: list, changes: list, length: int) -> bytes:
    damaged = bytearray(_NIFTI)
    for (offset, kind), value in fields:
        struct.pack_into(kind, damaged, offset, value)
    for place, value in changes:
        damaged[place] = value
    return bytes(damaged[:length])


def _nrrd(fields: dict[str, str], data: bytes, magic: bytes) -> bytes:
    return magic + "".join(f"{name}: {value}\n" for name, value in fields.items()).encode() + b"\n" + data


def _slices() -> list[bytes]:
    with TemporaryDirectory() as folder:
        series = write_series(Path(folder) / "series", [(0.0, 0.0, 2.5 * place) for place in range(3)])
        return [path.read_bytes() for path in sorted(series.iterdir())]


_SLICES = _slices()


def _damaged_series(attributes: list, everywhere: bool, changes: list, kept: float) -> list[bytes]:
    files = [
        _changed(content, attributes) if everywhere or not place else content for place, content in enumerate(_SLICES)
    ]
    first = bytearray(files[0])
    for place, value in changes:
        first[int(place * len(first))] = value
    return [bytes(first[: int(kept * len(first))]), *files[1:]]


def _changed(content: bytes, attributes: list) -> bytes:
    header = pydicom.dcmread(io.BytesIO(content))
    for name, value in attributes:
        owner = header.file_meta if name == "TransferSyntaxUID" else header
        if name in owner:
            del owner[name]
        if value is not None:
            tag = pydicom.datadict.tag_for_keyword(name)
            kind = pydicom.datadict.dictionary_VR(tag).split(" ")[0]
            stored = value if isinstance(value, bytes) else struct.pack("<H", value) if kind == "US" else value.encode()
            owner[tag] = pydicom.dataelem.RawDataElement(tag, kind, len(stored), stored, 0, False, True)
    with io.BytesIO() as buffer:
        buffer.write(content[:132])
        pydicom.filewriter.write_dataset(_in_explicit_little_endian(buffer), header.file_meta)
        pydicom.filewriter.write_dataset(_in_explicit_little_endian(buffer), header)
        return buffer.getvalue()


def _in_explicit_little_endian(buffer: io.BytesIO) -> pydicom.filebase.DicomFileLike:
    file = pydicom.filebase.DicomFileLike(buffer)
    file.is_little_endian, file.is_implicit_VR = True, False
    return file
