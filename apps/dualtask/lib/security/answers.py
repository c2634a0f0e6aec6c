"""Answers to requests that failed: one sentence, and nothing about the server's folders."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from monailabel.config import settings as server
from monailabel.interfaces.exception import MONAILabelException
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dualtask.errors import StorageError
from dualtask.files import NO_ROOM


def add_error_answers(app: FastAPI) -> None:
    """Let a server answer what MONAI Label 0.8.5 leaves to "500 Internal Server Error", and answer no path."""

    def failed(request: Request, error: HTTPException) -> Response:
        return answer(error)

    def unknown(request: Request, error: MONAILabelException) -> Response:
        return answer(HTTPException(404, error.msg))

    def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return answer(HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}."))

    def no_answer(request: Request, error: requests.RequestException) -> Response:
        return answer(unreachable())

    def not_stored(request: Request, error: OSError | StorageError) -> Response:
        if (refusal := refused_by_disk(error)) is None:
            raise error
        return answer(refusal)

    handlers: dict[type[Exception], Callable[[Request, Any], Response]] = {
        StorageError: not_stored,
        OSError: not_stored,
        HTTPException: failed,
        MONAILabelException: unknown,
        RequestValidationError: invalid,
        requests.RequestException: no_answer,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def answer(error: HTTPException) -> JSONResponse:
    """The answer to a request that failed."""
    return JSONResponse({"detail": without_paths(str(error.detail))}, error.status_code, error.headers)


def refused_by_disk(error: OSError | StorageError) -> HTTPException | None:
    """What is answered when a file cannot be written, None for an error of another kind."""
    if isinstance(error, StorageError):
        return HTTPException(507, str(error))
    if error.errno in NO_ROOM:
        return HTTPException(507, "The server's disk is full: free space on it.")
    return None


def unreachable() -> HTTPException:
    """What is answered when the DICOM server or the OpenID provider fails."""
    return HTTPException(502, "The server behind this one does not answer as it should: try again.")


def without_paths(text: str) -> str:
    """Replace every path below a folder that the server uses by what comes after the folder."""
    for folder in sorted({*_folders()}, key=len, reverse=True):
        text = text.replace(folder + os.sep, "").replace(folder, "a folder of the server")
    return text


def _folders() -> Iterator[str]:
    """Folders of the server, as they are written and with their links followed."""
    stated = [
        server.MONAI_LABEL_APP_DIR,
        server.MONAI_LABEL_STUDIES,
        server.MONAI_LABEL_SESSION_PATH,
        server.MONAI_LABEL_DICOMWEB_CACHE_PATH,
        *(str(parent) for parent in Path(server.MONAI_LABEL_APP_DIR).parents[:2] if server.MONAI_LABEL_APP_DIR),
        str(Path.home()),
        os.getcwd(),
        tempfile.gettempdir(),
        sys.prefix,
    ]
    for folder in stated:
        if folder and folder != os.sep and "://" not in folder:
            yield folder.rstrip(os.sep)
            yield os.path.realpath(folder)
