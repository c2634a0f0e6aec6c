"""Errors as a user of the server meets them: one sentence, with a status code where a request is answered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException
from monailabel.interfaces.exception import MONAILabelException

from lib.bundle import BundleNotFoundError
from lib.manifest import BundleChangedError
from lib.server import is_server


@contextmanager
def errors_as_answers() -> Iterator[None]:
    """Answer 422 to a scan that cannot be used, 502 if the DICOM server fails and 404 to an unknown study or task.

    MONAI Label 0.8.5 has no exception handler: each of these would be a bare "500 Internal Server Error".

    Raises:
        HTTPException: its ``detail`` is the sentence.
    """
    try:
        yield
    except MONAILabelException as error:
        raise HTTPException(404, error.msg) from error
    except Exception as error:
        if (input_error := _input_error(error)) is None:
            raise
        raise HTTPException(_status(input_error), str(input_error)) from error


@contextmanager
def sentence_instead_of_traceback() -> Iterator[None]:
    """Let a server that dies at its start say no more than why.

    The server framework prints the traceback of whatever stops it, which buries the sentence of an error that the
    user can do something about. Every other error keeps its traceback.
    """
    try:
        yield
        return
    except (BundleNotFoundError, BundleChangedError) as error:
        problem: Exception = error
    except Exception as error:
        if (input_error := _input_error(error)) is None:
            raise
        problem = input_error
    if is_server():
        sys.tracebacklimit = 0
    raise problem from None


def _status(error: Exception) -> int:
    from lib.dicom_server import DicomServerError  # it needs the bundle's package, too

    return 502 if isinstance(error, DicomServerError) else 422


def _input_error(error: Exception) -> Exception | None:
    from dualtask.errors import find_input_error  # found once the app knows where the bundle is

    return find_input_error(error)
