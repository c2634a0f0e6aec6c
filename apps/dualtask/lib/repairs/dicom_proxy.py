"""The viewer's requests to the DICOM server arrive whole, wait for nobody, and a label stored by them is a label.

MONAI Label 0.8.5 forwards them without what follows the question mark: a search for one patient finds all, so that OHIF
lists the studies of other patients as earlier ones of this patient. It forwards them in the event loop, where nobody
else gets an answer meanwhile, and for ever if the DICOM server hangs. And it does not look at what is stored: a
corrected segmentation becomes a label hours later.
"""

from __future__ import annotations

import asyncio
import functools
import io
import logging
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pydicom
import requests
import urllib3
from monailabel.endpoints import proxy
from monailabel.interfaces.utils.app import app_instance
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from requests_toolbelt.multipart.decoder import (
    ImproperBodyPartContentException,
    MultipartDecoder,
    NonMultipartContentTypeException,
)
from starlette.requests import Request
from starlette.responses import Response

from lib.annotator import signed_in

logger = logging.getLogger(__name__)

Forward = Callable[[Request, str, str], Coroutine[Any, Any, Response]]


def apply() -> None:
    """Exchange the function behind all routes of the proxy, which from now on gives up in time."""
    from dualtask.archive.dicomweb import TIMEOUT  # it needs the bundle's package, which is found by now

    if not hasattr(proxy.proxy_dicom, "__wrapped__"):
        proxy.requests = SimpleNamespace(
            get=functools.partial(requests.get, timeout=TIMEOUT), post=functools.partial(requests.post, timeout=TIMEOUT)
        )
        proxy.proxy_dicom = _in_thread(proxy.proxy_dicom)


def _in_thread(forward: Forward) -> Forward:
    @functools.wraps(forward)
    async def answer(request: Request, op: str, path: str) -> Response:
        body = await request.body()  # the thread finds it read
        whole = f"{path}?{request.url.query}" if request.url.query else path
        try:
            response = await anyio.to_thread.run_sync(lambda: asyncio.run(forward(request, op, whole)))
        except urllib3.exceptions.HTTPError as error:  # of reading the body, below what requests translates
            raise requests.ConnectionError("The DICOM server broke off.") from error
        if request.method == "POST" and response.status_code == 200:
            await anyio.to_thread.run_sync(_take_labels, request, body)
        return response

    return answer


def _take_labels(request: Request, body: bytes) -> None:
    from lib.archive import StudyArchive  # it needs the bundle's package, which is found by now

    archive = app_instance().datastore()
    if not isinstance(archive, StudyArchive):
        return
    if (user := getattr(request.state, "user", None)) is not None:
        signed_in.set(user.username)
    instances = list(_instances(body, request.headers.get("content-type", "")))
    for scan in archive.instances_stored(instances):
        app_instance().on_save_label(scan, scan)


def _instances(body: bytes, content_type: str) -> Iterator[Dataset]:
    """The DICOM objects of a STOW request; what is none was the DICOM server's to judge."""
    try:
        parts = MultipartDecoder(body, content_type).parts
    except (ImproperBodyPartContentException, NonMultipartContentTypeException):
        return
    for part in parts:
        try:
            yield pydicom.dcmread(io.BytesIO(part.content))
        except InvalidDicomError:
            logger.warning("A part of what was stored is no DICOM object.")
