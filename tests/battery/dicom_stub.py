"""A small DICOMweb server in this process, which can be stopped, started again and made to misbehave."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pydicom
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

Trouble = Callable[["Answer"], None]
"""Answers a request otherwise than it should be."""

MULTIPART = 'multipart/related; type="application/dicom"; boundary=part'
_JSON = "application/dicom+json"
_PART = b"--part\r\nContent-Type: application/dicom\r\n\r\n"


class DicomStub:
    """Keeps its instances and its address while it is stopped.

    Attributes:
        instances: what it has.
        trouble: kind of request ("search", "fetch" or "store") -> what happens instead of its answer.
    """

    def __init__(self, instances: Sequence[Dataset]) -> None:
        self.instances = list(instances)
        self.trouble: dict[str, Trouble] = {}
        self.released = threading.Event()
        self._address = ("127.0.0.1", 0)
        self.start()

    @property
    def url(self) -> str:
        """Root of its DICOMweb services."""
        return f"http://127.0.0.1:{self._address[1]}/dicom-web"

    def client(self) -> DICOMwebClient:
        """A client of the kind that MONAI Label makes."""
        from monailabel.datastore.dicom import DICOMwebClientX

        return DICOMwebClientX(url=self.url)

    def start(self) -> None:
        self.released.clear()
        self._server = _Server(self._address, Answer)
        self._server.stub, self._address = self, self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: DicomStub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are what is tried here."""


class Answer(BaseHTTPRequestHandler):
    """The answer to one request."""

    server: _Server

    def do_GET(self) -> None:
        self._answer("search" if urlsplit(self.path).path.endswith("/series") else "fetch")

    def do_POST(self) -> None:
        self._answer("store")

    def send(self, body: bytes, kind: str = _JSON, status: int = 200, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def properly(self, part: float = 1) -> None:
        """Answer as one should, or the first part of it."""
        body, kind = self._proper_answer()
        self.send(body[: int(len(body) * part)], kind, length=len(body))

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, kind: str) -> None:
        self.body = self.read_body()
        self.server.stub.trouble.get(kind, Answer.properly)(self)

    def _proper_answer(self) -> tuple[bytes, str]:
        if self.command == "POST":
            return json.dumps(self._stored().to_json_dict()).encode(), _JSON
        address = urlsplit(self.path)
        if address.path.endswith("/series"):
            return _in_json(self._found(dict(parse_qsl(address.query)))), _JSON
        wanted = re.findall(r"[0-9][0-9.]+", address.path)
        keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        matching = [
            instance
            for instance in self.server.stub.instances
            if all(instance[key].value == uid for key, uid in zip(keys, wanted, strict=False))
        ]
        if address.path.endswith("/metadata"):
            return _in_json(map(_without_pixels, matching)), _JSON
        parts = [_PART + _in_bytes(instance) + b"\r\n" for instance in matching]
        return b"".join([*parts, b"--part--"]), MULTIPART

    def _found(self, query: dict[str, str]) -> Iterator[Dataset]:
        series = {entry.SeriesInstanceUID: entry for entry in self.server.stub.instances}
        for entry in list(series.values())[int(query.get("offset", 0)) :]:
            if all(entry.get(key) == value for key, value in query.items() if key in ("Modality", "SeriesInstanceUID")):
                found = Dataset()
                for key in ("Modality", "StudyInstanceUID", "SeriesInstanceUID"):
                    setattr(found, key, entry[key].value)
                yield found

    def _stored(self) -> Dataset:
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
        answer = Dataset()
        answer.ReferencedSOPSequence = []
        for part in self.body.split(b"--" + boundary)[1:-1]:
            instance = pydicom.dcmread(io.BytesIO(part.split(b"\r\n\r\n", 1)[1]))
            self.server.stub.instances.append(instance)
            item = Dataset()
            item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
            item.RetrieveURL = f"http://stub/series/{instance.SeriesInstanceUID}/instances/{instance.SOPInstanceUID}"
            answer.ReferencedSOPSequence.append(item)
        return answer


def _in_json(datasets: Any) -> bytes:
    return json.dumps([dataset.to_json_dict() for dataset in datasets]).encode()


def _in_bytes(instance: Dataset) -> bytes:
    with io.BytesIO() as buffer:
        pydicom.dcmwrite(buffer, instance, write_like_original=False)
        return buffer.getvalue()


def _without_pixels(instance: Dataset) -> Dataset:
    return Dataset({tag: instance[tag] for tag in instance.keys() if tag != pydicom.tag.Tag("PixelData")})  # noqa: SIM118
