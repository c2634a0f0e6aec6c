"""Uploaded files are readable scans of a bounded size, or nothing is kept of them."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage
from small_server import MODEL, STUDY, UPLOAD_LIMIT_MB, label_bytes, scan_bytes

from dicom_series import write_series
from dualtask.errors import InputError
from dualtask.scans.reading import read_volume

OTHER_PATIENT = np.full((4, 4, 4), 77, np.int16)


def upload(client, content: bytes, filename: str = "new.nii"):
    return client.put("/datastore/image", files={"file": (filename, content)})


def nrrd_bytes(header: str, voxels: bytes) -> bytes:
    geometry = (
        "type: short\ndimension: 3\nsizes: 4 4 4\nendian: little\nspace: left-posterior-superior\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
    )
    return f"NRRD0004\n{geometry}{header}\n\n".encode() + voxels


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("scan.nii", scan_bytes()),
        ("scan.nii.gz", gzip.compress(scan_bytes())),
        ("scan.nrrd", nrrd_bytes("encoding: raw", OTHER_PATIENT.tobytes())),
        ("scan.nrrd", nrrd_bytes("encoding: gzip", gzip.compress(OTHER_PATIENT.tobytes()))),
        ("Müller 3 (1).nii", scan_bytes()),
    ],
    ids=["NIfTI", "NIfTI compressed", "NRRD", "NRRD compressed", "name with marks"],
)
def test_scan_is_kept(closed, studies: Path, filename: str, content: bytes):
    answer = upload(closed, content, filename)
    assert answer.status_code == 200, answer.text
    assert (studies / filename).read_bytes() == content


def put_label(client, content: bytes, *segments: str):
    info = [{"name": name, "idx": place} for place, name in enumerate(segments, 1)]
    options = {"params": json.dumps({"label_info": info, "client_id": None})}
    files = {"label": ("C:\\tmp\\x.nii", content)}
    return client.put("/datastore/label", params={"image": STUDY}, data=options, files=files)


def test_label_is_kept(closed, studies: Path):
    answer = put_label(closed, label_bytes(1, 2), "pancreas", "lesion")
    assert answer.status_code == 200, answer.text
    assert (studies / "labels" / "final" / f"{STUDY}.nii").read_bytes() == label_bytes(1, 2)


def test_label_with_a_segment_that_is_no_structure_is_refused(closed, untouched):
    answer = put_label(closed, label_bytes(1, 2, 3), "pancreas", "lesion", "duct")
    assert answer.status_code == 422
    assert "The segment 'duct' is no structure: name it pancreas or lesion" in answer.json()["detail"]


def test_scan_in_the_place_of_a_label_is_refused(closed, untouched, scan: bytes):
    assert "of the label is no structure" in put_label(closed, scan).json()["detail"]


def test_client_may_send_the_whole_path_on_its_machine(closed, studies: Path, scan: bytes):
    assert upload(closed, scan, "/home/reader/new.nii").status_code == 200
    assert (studies / "new.nii").is_file()


def test_stock_server_keeps_anything(stock, studies: Path):
    assert upload(stock, b"#!/bin/sh", "new.sh").status_code == 200
    assert (studies / "new.sh").is_file()


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("new.py", b"print()"),
        ("new.nii", b"print()"),
        ("new.nii", b""),
        ("new.nii", scan_bytes()[:-1]),
        ("new.nii.gz", scan_bytes()),
        ("new.nii.gz", gzip.compress(scan_bytes())[:-20]),
        ("new.nii", scan_bytes()[:80] + bytes(12) + scan_bytes()[92:]),  # a spacing of zero
        ("new.nrrd", nrrd_bytes("encoding: raw", OTHER_PATIENT.tobytes()[:-1])),
        ("new.nrrd", nrrd_bytes("encoding: bzip2", b"x")),
        ("new", scan_bytes()),
        ("new.bin", scan_bytes()),
        (".nii", scan_bytes()),
        ("..nii", scan_bytes()),
        ("new.nii\n", scan_bytes()),
    ],
)
def test_what_is_no_readable_scan_is_refused(closed, untouched, filename: str, content: bytes):
    for request in (
        lambda: upload(closed, content, filename),
        lambda: closed.put("/datastore/label", params={"image": STUDY}, files={"label": (filename, content)}),
        lambda: closed.post(f"/infer/{MODEL}", files={"file": (filename, content)}),
        lambda: closed.post(f"/infer/{MODEL}", params={"image": STUDY}, files={"label": (filename, content)}),
        lambda: closed.put("/session/", files={"files": (filename, content)}),
    ):
        answer = request()
        assert answer.status_code == 422, answer.text
        assert "/tmp" not in answer.text


@pytest.fixture
def thief(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An NRRD file without voxels of its own: it names those of another patient on the server."""
    other = tmp_path_factory.mktemp("other") / "patient.raw"
    other.write_bytes(OTHER_PATIENT.tobytes())
    return nrrd_bytes(f"encoding: raw\ndata file: {other}", b"")


def test_header_leads_readers_to_another_file_and_ours_refuses_it(thief: bytes, tmp_path: Path):
    (tmp_path / "x.nrrd").write_bytes(thief)
    assert float(LoadImage()(str(tmp_path / "x.nrrd")).mean()) == 77
    with pytest.raises(InputError, match="another file"):
        read_volume(tmp_path / "x.nrrd")


def test_header_that_takes_voxels_from_another_file_is_refused(closed, untouched, thief: bytes):
    answer = closed.post(f"/infer/{MODEL}", files={"file": ("x.nrrd", thief)})
    assert answer.status_code == 422
    assert "another file" in answer.json()["detail"]


def test_scan_that_would_fill_the_memory_is_refused_unread(closed, untouched):
    header = nib.Nifti1Header()
    header.set_data_shape((20000, 20000, 20000))
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    answer = upload(closed, gzip.compress(header.binaryblock + bytes(1000)), "new.nii.gz")
    assert answer.status_code == 422


def test_bomb_is_refused_unread(closed, untouched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lib.security.uploads._MOST_VOXELS", 2**17)  # 1 MiB unpacked, so that the test is short
    pack = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(pack.compress(bytes(2**20)) for _ in range(64)) + pack.flush()
    answer = upload(closed, nrrd_bytes("encoding: gzip", bomb), "new.nrrd")
    assert answer.status_code == 422
    assert "unpacks to more" in answer.json()["detail"]


def test_request_above_the_limit_is_refused(closed, untouched):
    answer = upload(closed, bytes(UPLOAD_LIMIT_MB * 2**20 + 1))
    assert answer.status_code == 413
    assert f"{UPLOAD_LIMIT_MB} MB" in answer.json()["detail"]


def test_length_that_a_client_states_is_not_believed(closed, untouched):
    def blocks():
        for _ in range(UPLOAD_LIMIT_MB + 1):
            yield bytes(2**20)

    assert closed.put("/datastore/image", content=blocks(), headers={"content-length": "10"}).status_code == 413


def test_options_have_a_limit_of_their_own(closed):
    assert closed.post("/train/", content=b" " * (2**20 + 1)).status_code == 413


def test_upload_does_not_replace_a_study(closed, untouched, scan: bytes):
    answer = closed.put("/datastore/image", params={"image": STUDY}, files={"file": ("x.nii", scan)})
    assert answer.status_code == 409


def test_upload_does_not_follow_a_link_out_of_the_studies(closed, studies: Path, tmp_path: Path):
    label = label_bytes(1, 2)
    (tmp_path / "precious.nii").write_bytes(b"precious")
    (studies / "labels" / "final").mkdir(parents=True, exist_ok=True)
    (studies / "labels" / "final" / f"{STUDY}.nii").symlink_to(tmp_path / "precious.nii")
    (studies / "labels" / "other").symlink_to(tmp_path)
    for tag in ("final", "other"):
        answer = closed.put("/datastore/label", params={"image": STUDY, "tag": tag}, files={"label": ("x.nii", label)})
        assert answer.status_code == 422
    assert (tmp_path / "precious.nii").read_bytes() == b"precious"


def test_slices_of_a_series_are_taken_as_a_session(closed, tmp_path: Path):
    folder = write_series(tmp_path / "series")
    files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    answer = closed.put("/session/", files=files)
    assert answer.status_code == 200, answer.text
    session = answer.json()["session_id"]
    assert closed.get(f"/session/{session}").status_code == 200
    assert closed.post(f"/infer/{MODEL}", params={"session_id": session}).status_code == 200
    assert closed.delete(f"/session/{session}").status_code == 200


def test_slices_of_two_series_are_refused(closed, untouched):
    files = [("files", ("a.dcm", b"DICM")), ("files", ("b.dcm", b"DICM"))]
    answer = closed.put("/session/", files=files)
    assert answer.status_code == 422
    assert "/tmp" not in answer.text


def test_archives_are_not_unpacked(closed, untouched, scan: bytes):
    answer = closed.put("/session/", params={"uncompress": "true"}, files={"files": ("x.nii", scan)})
    assert answer.status_code == 422
