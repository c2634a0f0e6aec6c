"""Every route that is open, and who may use it; MONAI Label's other routes do not exist here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, IntEnum

from starlette.routing import compile_path


class Role(IntEnum):
    """Each role may do what the ones before may."""

    ANYONE = 0
    USER = 1
    ANNOTATOR = 2
    REVIEWER = 3
    ADMIN = 4


class Body(Enum):
    """What a request's body holds."""

    NONE = "none"
    JSON = "json"
    FORM = "form"
    SCANS = "form with scans"
    WEIGHTS = "form with weights"
    DICOM = "DICOM instances, for the DICOM server to judge"

    @property
    def uploads(self) -> bool:
        return self in (Body.SCANS, Body.WEIGHTS, Body.DICOM)


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Attributes:
        method, path: as MONAI Label declares them.
        role: the least role that may use it.
        body: what its body holds.
        signed_in_only: closed while authentication is off, when anyone on this machine would be an administrator.
    """

    method: str
    path: str
    role: Role
    body: Body = Body.NONE
    signed_in_only: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


ROUTES = (
    Route("GET", "/favicon.ico", Role.ANYONE),
    Route("GET", "/static/{path:path}", Role.ANYONE),
    # The viewer's pages hold no patient; what they ask for does, and needs a token.
    Route("GET", "/ohif/{path:path}", Role.ANYONE),
    Route("GET", "/auth/", Role.ANYONE),
    Route("GET", "/auth/sign-in", Role.ANYONE),
    Route("POST", "/auth/sign-in", Role.ANYONE, Body.FORM),
    Route("POST", "/auth/token", Role.ANYONE, Body.FORM),
    Route("GET", "/auth/token/valid", Role.USER),
    Route("GET", "/", Role.USER),
    Route("GET", "/docs", Role.USER),
    Route("GET", "/openapi.json", Role.USER),
    Route("GET", "/info/", Role.USER),
    Route("GET", "/datastore/", Role.USER),
    Route("HEAD", "/datastore/image", Role.USER),
    Route("GET", "/datastore/image", Role.USER),
    Route("GET", "/datastore/image/info", Role.USER),
    Route("HEAD", "/datastore/label", Role.USER),
    Route("GET", "/datastore/label", Role.USER),
    Route("GET", "/datastore/label/info", Role.USER),
    Route("POST", "/infer/{model}", Role.USER, Body.SCANS),
    Route("POST", "/activelearning/{strategy}", Role.USER, Body.JSON),
    Route("GET", "/train/", Role.USER),
    Route("GET", "/scoring/", Role.USER),
    Route("GET", "/batch/infer", Role.USER),
    Route("PUT", "/session/", Role.USER, Body.SCANS),
    Route("GET", "/session/{session_id}", Role.USER),
    Route("DELETE", "/session/{session_id}", Role.USER),
    Route("GET", "/proxy/dicom/wado/{path:path}", Role.USER),
    Route("GET", "/proxy/dicom/qido/{path:path}", Role.USER),
    Route("GET", "/proxy/dicom/stow/{path:path}", Role.USER),
    Route("GET", "/proxy/dicom/{path:path}", Role.USER),
    Route("POST", "/proxy/dicom/wado/{path:path}", Role.ANNOTATOR, Body.DICOM),
    Route("POST", "/proxy/dicom/stow/{path:path}", Role.ANNOTATOR, Body.DICOM),
    Route("POST", "/proxy/dicom/{path:path}", Role.ANNOTATOR, Body.DICOM),
    Route("PUT", "/datastore/", Role.ANNOTATOR, Body.SCANS),
    Route("PUT", "/datastore/image", Role.ANNOTATOR, Body.SCANS),
    Route("PUT", "/datastore/image/info", Role.ANNOTATOR, Body.FORM),
    Route("PUT", "/datastore/label", Role.ANNOTATOR, Body.SCANS),
    Route("POST", "/scoring/", Role.ANNOTATOR, Body.JSON),
    Route("POST", "/scoring/{method}", Role.ANNOTATOR, Body.JSON),
    Route("DELETE", "/scoring/", Role.ANNOTATOR),
    Route("PUT", "/datastore/label/info", Role.REVIEWER, Body.FORM),
    Route("PUT", "/datastore/updatelabelinfo", Role.REVIEWER, Body.FORM),
    Route("GET", "/datastore/dataset", Role.REVIEWER),
    Route("GET", "/proposals/", Role.REVIEWER),
    Route("GET", "/proposals/table.csv", Role.REVIEWER),
    Route("DELETE", "/datastore/label", Role.ADMIN),
    Route("DELETE", "/datastore/", Role.ADMIN),
    Route("DELETE", "/datastore/image", Role.ADMIN),
    Route("POST", "/train/", Role.ADMIN, Body.JSON),
    Route("POST", "/train/{model}", Role.ADMIN, Body.JSON),
    Route("DELETE", "/train/", Role.ADMIN),
    Route("POST", "/batch/infer/{model}", Role.ADMIN, Body.JSON),
    Route("DELETE", "/batch/infer", Role.ADMIN),
    Route("GET", "/logs/", Role.ADMIN),
    Route("GET", "/logs/gpu", Role.ADMIN),
    Route("GET", "/model/{model}", Role.ADMIN),
    Route("GET", "/model/info/{model}", Role.ADMIN),
    Route("PUT", "/model/{model}", Role.ADMIN, Body.WEIGHTS, signed_in_only=True),
    Route("DELETE", "/model/{model}", Role.ADMIN, signed_in_only=True),
    Route("POST", "/reload", Role.ADMIN, signed_in_only=True),
)

_PATTERNS: tuple[tuple[Route, re.Pattern[str]], ...] = tuple((route, compile_path(route.path)[0]) for route in ROUTES)


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the parameters in its path, or None: there is no such route.

    A path that lacks its final slash, or has one too many, counts as the one that it is redirected to.
    """
    for candidate in (path, path + "/", path.rstrip("/")):
        for route, pattern in _PATTERNS:
            if route.method == method and (match := pattern.match(candidate)):
                return route, match.groupdict()
    return None
