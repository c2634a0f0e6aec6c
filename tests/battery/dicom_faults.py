"""What becomes of scans and labels when the DICOM server is gone, hangs, breaks off or answers nonsense.

The server is a stand-in of ours on loopback; it is asked over HTTP by the client and the archive of the app.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom

from battery.dicom_stub import MULTIPART, Answer, DicomStub, Trouble
from battery.server_faults import ServerFault
from dicom_series import describe_patient_and_study, write_series
from dualtask.archive.dicomweb import give_up_in_time
from lib import dicom_server
from lib.archive import StudyArchive
from lib.bundle import Bundle
from lib.dicom_server import DicomServerError

_TIMEOUT = (3, 3)
"""Seconds after which the archive gives up: a busy machine answers well within them."""
_IN_TIME = 10
"""Seconds within which the sentence must come."""

_FINAL = "final"


def dicom_faults(bundle: Bundle, folder: Path) -> Iterator[ServerFault]:
    """Inject every fault into every kind of request."""
    rest, dicom_server.REST_SECONDS = dicom_server.REST_SECONDS, 0.1
    try:
        for number, (name, trouble) in enumerate(TROUBLES.items()):
            site = _Site(bundle, folder / str(number))
            wrong = [f"{phase.name}: {sentence}" for phase in PHASES for sentence in _tried(site, phase, trouble)]
            site.stub.stop()
            yield ServerFault(f"DICOM server {name}", len(PHASES), len(PHASES), tuple(wrong))
    finally:
        dicom_server.REST_SECONDS = rest


class _Site:
    """A DICOM server with a series, the archive of it, and how many voxels were marked in the last confirmed label."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        slices = write_series(folder / "series", change=describe_patient_and_study)
        self.stub = DicomStub([pydicom.dcmread(path) for path in sorted(slices.iterdir())])
        self.series = str(self.stub.instances[0].SeriesInstanceUID)
        self._bundle, self._folder, self._starts = bundle, folder, 0
        self.marked = 0
        self.restart_app()
        self.save_label()

    def restart_app(self) -> None:
        """An archive that has fetched nothing yet."""
        self._starts += 1
        client = give_up_in_time(self.stub.client(), _TIMEOUT)
        self.archive = StudyArchive(self._bundle, client, {"Modality": "CT"}, str(self._folder / f"{self._starts}"))

    def list_all(self) -> None:
        self.archive._ask_anew()
        self.archive.list_images()
        self.archive.get_labeled_images()

    def fetch(self) -> None:
        self.archive.get_image_uri(self.series)

    def save_label(self) -> None:
        """Save a label with one more marked voxel than the last one."""
        scan = nib.load(self.archive.get_image_uri(self.series))
        label = np.zeros(scan.shape, np.uint8)
        label.flat[: self.marked + 1] = 1
        file = self._folder / "label.nii.gz"
        nib.save(nib.Nifti1Image(label, scan.affine), file)
        self.archive.save_label(self.series, str(file), _FINAL, {"client_id": "somebody"})
        self.marked += 1

    def label(self) -> int:
        """How many voxels are marked in the label as training reads it."""
        self.archive._ask_anew()
        self.archive._download_labeled_data()
        return np.count_nonzero(nib.load(self.archive.get_label_uri(self.series, _FINAL)).dataobj)


@dataclass(frozen=True)
class Phase:
    """What is asked of the server when it fails: the kinds of request, what stands before, and what asks."""

    name: str
    requests: tuple[str, ...]
    before: Callable[[_Site], None]
    do: Callable[[_Site], None]


PHASES = (
    Phase("listing", ("search",), lambda site: None, _Site.list_all),
    Phase("fetching a series", ("fetch",), _Site.restart_app, _Site.fetch),
    Phase("saving a final label", ("store",), _Site.fetch, _Site.save_label),
)


def _hang(answer: Answer) -> None:
    answer.server.stub.released.wait(20)


def _break_off(answer: Answer) -> None:
    answer.properly(part=0.6)


def _refuse(answer: Answer) -> None:
    answer.send(b"busy", "text/plain", 503)


def _page(answer: Answer) -> None:
    answer.send(b"<html>Welcome</html>", "text/html")


def _other_json(answer: Answer) -> None:
    answer.send(b'[{"0020000E": {"vr": "UI", "Value": ["../../escaped"]}, "7": 3}, null]')


def _other_parts(answer: Answer) -> None:
    answer.send(b"--part\r\nContent-Type: application/dicom\r\n\r\nnot DICOM\r\n--part--", MULTIPART)


TROUBLES: dict[str, Trouble | None] = {
    "gone, then restarted": None,
    "hangs": _hang,
    "breaks off in the middle of its answer": _break_off,
    "answers 503": _refuse,
    "answers a page": _page,
    "answers JSON of another kind, with paths for UIDs": _other_json,
    "answers parts that are no DICOM": _other_parts,
}


def _tried(site: _Site, phase: Phase, trouble: Trouble | None) -> Iterator[str]:
    """What went wrong while the server failed, and after it was back."""
    phase.before(site)
    confirmed = site.marked
    if trouble is None:
        site.stub.stop()
    else:
        site.stub.trouble = dict.fromkeys(phase.requests, trouble)
    begin = time.monotonic()
    try:
        phase.do(site)
        yield "was not noticed"
    except DicomServerError as error:
        if str(error).count(". ") or not str(error).endswith("."):
            yield f"is told in more than a sentence: {error}"
    except Exception as error:
        yield f"{type(error).__name__}: {error}"
    if (seconds := time.monotonic() - begin) > _IN_TIME:
        yield f"took {seconds:.0f} s"
    if trouble is None:
        site.stub.start()
    site.stub.trouble = {}
    time.sleep(0.2)
    # A label that was stored before the answer broke off counts as well.
    if (found := site.label()) not in (confirmed, confirmed + 1):
        yield f"the label has {found} voxels and not {confirmed}"
    site.marked = found
    phase.do(site)
    if (found := site.label()) != site.marked:
        yield f"afterwards the label has {found} voxels and not {site.marked}"
