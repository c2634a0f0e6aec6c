"""Scans of a DICOM server on this machine: whole, or not at all."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests
from monailabel.config import settings
from monailabel.interfaces.exception import ImageNotFoundException

from battery.dicom_stub import DicomStub
from dicom_series import describe_patient_and_study, write_series
from dualtask.archive.dicomweb import give_up_in_time
from dualtask.errors import InputError
from lib.annotator import signed_in
from lib.archive import StudyArchive
from lib.dicom_server import DicomServerError
from lib.reviews import APPROVED, REVIEW, status_of


class DicomServer:
    """Stands for the client of a DICOM server; has the series of a folder, and may break off while it sends one."""

    base_url = "http://dicom"

    def __init__(self, folder: Path) -> None:
        self.instances = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        self.fetched = 0
        self.breaks_off = False

    @property
    def series(self) -> str:
        return str(self.instances[0].SeriesInstanceUID)

    def search_for_series(self, search_filters: dict) -> list[dict]:
        return [self.instances[0].to_json_dict()] if search_filters.get("Modality") != "SEG" else []

    def retrieve_series(self, study: str, series: str):
        self.fetched += 1
        yield from self.instances[:2]
        if self.breaks_off:
            raise requests.ConnectionError
        yield from self.instances[2:]


@pytest.fixture
def server(tmp_path: Path) -> DicomServer:
    return DicomServer(write_series(tmp_path / "series", change=describe_patient_and_study))


@pytest.fixture
def start(server, bundle, tmp_path: Path):
    """Returns an archive on the server, with the copies of the one before."""
    return lambda: StudyArchive(bundle, server, {"Modality": "CT"}, str(tmp_path / "copies"))


def test_scan_is_fetched_once_whatever_is_restarted(start, server):
    first = start().get_image_uri(server.series)
    assert start().get_image_uri(server.series) == first
    assert server.fetched == 1


def test_fetch_that_breaks_off_leaves_nothing_behind(start, server):
    archive, server.breaks_off = start(), True
    with pytest.raises(DicomServerError, match="broke off"):
        archive.get_image_uri(server.series)
    assert not archive.scan_at_hand(server.series)
    server.breaks_off = False
    assert Path(archive.get_image_uri(server.series)).is_file()


def test_copy_that_was_not_made_here_is_fetched_anew(start, server):
    archive = start()
    half = Path(archive._datastore.image_path()) / server.series
    half.mkdir(parents=True)
    server.instances[0].save_as(half / "first.dcm")
    archive.get_image_uri(server.series)
    assert len(list(half.iterdir())) == len(server.instances)


def test_series_that_lacks_a_slice_is_told_in_a_sentence_and_not_offered(start, server):
    archive = start()
    del server.instances[2]
    for _ in range(2):
        with pytest.raises(InputError, match=f"The series {server.series}"):
            archive.get_image_uri(server.series)
    assert server.fetched == 1
    assert archive.get_unlabeled_images() == []


def test_series_that_the_server_does_not_have_is_told_in_a_sentence(start):
    with pytest.raises(ImageNotFoundException, match=r"no study '1\.2\.3'"):
        start().get_image_uri("1.2.3")


def label_of_ones(archive: StudyArchive, series: str, folder: Path) -> str:
    scan = nib.load(archive.get_image_uri(series))
    nib.save(nib.Nifti1Image(np.ones(scan.shape, np.uint8), scan.affine), folder / "label.nii.gz")
    return str(folder / "label.nii.gz")


def test_label_that_the_server_lost_is_kept_on_this_machine(server, bundle, tmp_path: Path):
    stub = DicomStub(server.instances)
    archive = StudyArchive(bundle, give_up_in_time(stub.client()), {"Modality": "CT"}, str(tmp_path / "copies"))
    label = label_of_ones(archive, server.series, tmp_path)
    archive.save_label(server.series, label, "final", {})
    stub.instances.clear()  # a restart with an empty index
    archive._ask_anew()
    assert archive.datalist() == []
    (kept,) = (archive.state_dir / "withdrawn").iterdir()
    assert np.asarray(nib.load(kept).dataobj).all()
    stub.stop()


def test_label_of_another_workstation_is_its_readers_and_waits_for_its_own_review(
    server, bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stub = DicomStub(server.instances)
    here, elsewhere = (
        StudyArchive(bundle, give_up_in_time(stub.client()), {"Modality": "CT"}, str(tmp_path / copies))
        for copies in ("here", "elsewhere")
    )
    series, label = server.series, label_of_ones(here, server.series, tmp_path)
    here.save_label(series, label, "final", {"client_id": "reader 1"})
    here.update_label_info(series, "final", {REVIEW: {"status": APPROVED}})
    assert status_of(here.final_record(series)) == APPROVED
    elsewhere.save_label(series, label, "final", {"client_id": "reader 2"})
    here._ask_anew()
    assert here.final_record(series) is None
    monkeypatch.setattr(settings, "MONAI_LABEL_AUTH_ENABLE", True)
    token = signed_in.set("who merely asks")
    try:
        assert here.get_label_info(series, "final")["annotator"] == "reader 2"
    finally:
        signed_in.reset(token)
    assert status_of(here.final_record(series)) is None
    stub.stop()


def test_label_that_the_server_did_not_take_is_not_saved(server, bundle, tmp_path: Path):
    stub = DicomStub(server.instances)
    archive = StudyArchive(bundle, give_up_in_time(stub.client()), {"Modality": "CT"}, str(tmp_path / "copies"))
    label = label_of_ones(archive, server.series, tmp_path)
    stub.trouble["store"] = lambda answer: answer.send(b"{}")
    with pytest.raises(DicomServerError, match="cannot be used"):
        archive.save_label(server.series, label, "final", {})
    assert archive.label_at_hand(server.series, "final") is None
    stub.stop()


def test_server_that_hangs_is_not_waited_for_by_everybody_in_turn(server, bundle, tmp_path: Path):
    stub = DicomStub(server.instances)
    stub.trouble["search"] = lambda answer: stub.released.wait(10)
    client = give_up_in_time(stub.client(), (0.3, 0.3))
    archive = StudyArchive(bundle, client, {"Modality": "CT"}, str(tmp_path / "copies"))
    with pytest.raises(DicomServerError, match="silent"):
        archive.list_images()
    begin = time.monotonic()
    for _ in range(10):
        with pytest.raises(DicomServerError, match="silent"):
            archive.list_images()
    assert time.monotonic() - begin < 0.3
    stub.stop()
