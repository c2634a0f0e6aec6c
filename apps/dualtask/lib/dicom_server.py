"""The DICOM server as the app asks it: for so long and no longer, and its answers are checked before they are used."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset

from dualtask.errors import InputError

logger = logging.getLogger(__name__)

REST_SECONDS = 5
"""After it was given up it is not asked for so long: else all who wait for one another wait for each other's limit."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class DicomServerError(InputError):
    """The DICOM server does not answer, or not as the standard says (PS3.18)."""


class DicomServer:
    """What the app asks of a DICOM server, in the words of its client.

    The UIDs in what comes back name files and folders here, so that none is taken that is no UID.

    Args:
        client: of the server.

    Raises:
        DicomServerError: by all methods, if the server does not answer, or nonsense.
    """

    def __init__(self, client: DICOMwebClient) -> None:
        self._client = client
        self._rests_until = 0.0

    @property
    def base_url(self) -> str:
        return self._client.base_url

    def search_for_series(self, search_filters: dict[str, Any]) -> list[dict[str, Any]]:
        with self._asked():
            found = self._client.search_for_series(search_filters=search_filters)
            for series in found:
                header = Dataset.from_json(series)
                _check_uids(header.SeriesInstanceUID, header.StudyInstanceUID)
            return found

    def retrieve_series(self, study: str, series: str) -> Iterator[Dataset]:
        with self._asked():
            for instance in self._client.retrieve_series(study, series):
                yield _checked(instance, series)

    def retrieve_series_metadata(self, study: str, series: str) -> list[dict[str, Any]]:
        with self._asked():
            instances = self._client.retrieve_series_metadata(study, series)
            if not instances:
                raise ValueError(f"series {series} without instances")
            for instance in instances:
                _checked(Dataset.from_json(instance, lambda uri: None), series)
            return instances

    def retrieve_instance(self, study: str, series: str, instance: str) -> Dataset:
        with self._asked():
            return _checked(self._client.retrieve_instance(study, series, instance), series)

    def retrieve_instance_frames(self, **names: Any) -> list[bytes]:
        with self._asked():
            return self._client.retrieve_instance_frames(**names)

    def store_instances(self, instances: Sequence[Dataset]) -> Dataset:
        """Store instances; the server must name each among those that it took."""
        with self._asked():
            answer = self._client.store_instances(instances)
            stored = {item.ReferencedSOPInstanceUID for item in answer.get("ReferencedSOPSequence") or []}
            if missing := {instance.SOPInstanceUID for instance in instances} - stored:
                raise ValueError(f"not stored: {', '.join(sorted(missing))}")
            return answer

    @contextmanager
    def _asked(self) -> Iterator[None]:
        if time.monotonic() < self._rests_until:
            raise DicomServerError(_SILENT)
        try:
            yield
        except requests.Timeout as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            raise DicomServerError(_SILENT) from error
        except requests.ConnectionError as error:
            raise DicomServerError(
                "The DICOM server is not there, or broke off: nothing was changed here, try again when it is back."
            ) from error
        except requests.HTTPError as error:
            status = "with an error" if error.response is None else error.response.status_code
            raise DicomServerError(
                f"The DICOM server answered {status}: nothing was changed here, try again, and if "
                "it stays so tell whoever runs that server."
            ) from error
        except Exception as error:  # parsers of nonsense raise anything
            logger.warning("Answer of the DICOM server: %s: %s", type(error).__name__, error)
            raise DicomServerError(
                "The DICOM server's answer cannot be used: nothing was changed here, try again, and if it stays so "
                "tell whoever runs that server."
            ) from error


_SILENT = "The DICOM server was silent for too long: nothing was changed here, try again when it is back."


def _checked(instance: Dataset, series: str) -> Dataset:
    _check_uids(instance.SOPInstanceUID, instance.StudyInstanceUID)
    if instance.SeriesInstanceUID != series:
        raise ValueError(f"an instance of series {instance.SeriesInstanceUID} for series {series}")
    return instance


def _check_uids(*uids: Any) -> None:
    for uid in uids:
        if len(str(uid)) > 64 or not _UID.fullmatch(str(uid)):
            raise ValueError(f"{uid!r} for a UID")
