"""Series behind DICOMweb."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from monai.utils import optional_import
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter

from dualtask.errors import InputError

DICOMwebClient, _INSTALLED = optional_import("dicomweb_client", name="DICOMwebClient")

TIMEOUT = (5.0, 30.0)
"""Seconds for which the server may accept no connection, and may send nothing, before it is given up."""

_NAME = re.compile(r"[0-9]+(\.[0-9]+)*/[0-9]+(\.[0-9]+)*")


def give_up_in_time(client: Any, timeout: tuple[float, float] = TIMEOUT) -> Any:
    """Let a DICOMwebClient wait for its server no longer than ``timeout``; by itself it waits for ever.

    It tries nothing again either, which by itself takes it half a minute: whoever asks is told, and asks again.
    """
    client.set_http_retry_params(retry=False)
    for scheme in ("http://", "https://"):
        client._session.mount(scheme, _InTime(timeout))
    return client


class _InTime(HTTPAdapter):
    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._timeout = timeout

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        options["timeout"] = options.get("timeout") or self._timeout
        return super().send(*arguments, **options)


class DicomWebArchive:
    """The CT series of a server, each fetched for as long as it is segmented.

    Args:
        url: root of its DICOMweb services.
        output_dir: where results go; the series that is being segmented lies in its folder ``fetched``.

    Attributes:
        root: that folder.

    Raises:
        InputError: the package dicomweb-client is absent, or the address is none.
    """

    def __init__(self, url: str, output_dir: str | os.PathLike[str]) -> None:
        if not _INSTALLED:
            raise InputError("The package dicomweb-client is not installed: run pip install dicomweb-client.")
        self.url = url
        self.root = Path(os.path.abspath(output_dir)) / "fetched"
        try:
            self._client = give_up_in_time(DICOMwebClient(url))
        except ValueError as error:
            raise InputError(f"{url} is no address of a server: give one such as http://host/dicom-web.") from error

    def names(self) -> list[str]:
        """The CT series, sorted, each as the UIDs of study and series with a slash between.

        Raises:
            InputError: the server does not answer, has none, or names one by what is no UID.
        """
        try:
            listed = self._client.search_for_series(search_filters={"Modality": "CT"}, get_remaining=True)
        except OSError as error:  # what requests raises
            raise InputError(f"{self.url} does not list its series ({error}): start the server.") from error
        found = [Dataset.from_json(entry) for entry in listed]
        if not found:
            raise InputError(f"{self.url} has no CT series: give the address of a server with some.")
        names = sorted({f"{entry.StudyInstanceUID}/{entry.SeriesInstanceUID}" for entry in found})
        # They name files and folders here.
        if strange := [name for name in names if not _NAME.fullmatch(name)]:
            raise InputError(f"{self.url} lists {strange[0]!r}, no UIDs of study and series: mend it there.")
        return names

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """The folder of a series, which is gone afterwards.

        Raises:
            OSError: the server does not send it whole.
        """
        folder = self.root / name
        # A worker that was killed left a part.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            for number, instance in enumerate(self._client.iter_series(*name.split("/"))):
                instance.save_as(folder / f"{number:05d}.dcm", write_like_original=False)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
