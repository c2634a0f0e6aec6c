"""Pages of the server beside MONAI Label's own."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, select_autoescape
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.utils.app import app_instance

from lib.answers import errors_as_answers
from lib.table import COLUMNS

_REVIEWER = [Depends(RBAC([settings.MONAI_LABEL_AUTH_ROLE_REVIEWER, settings.MONAI_LABEL_AUTH_ROLE_ADMIN]))]

_templates = Environment(loader=PackageLoader("lib", "templates"), autoescape=select_autoescape(["html.jinja"]))

router = APIRouter(prefix="/proposals", tags=["Proposals"], dependencies=_REVIEWER)


@router.get(
    "/",
    response_class=HTMLResponse,
    summary="Proposals, reviews and second readers of the final labels",
)
def page() -> str:
    """The table as a page."""
    with errors_as_answers():
        return _templates.get_template("proposals.html.jinja").render(columns=COLUMNS, rows=app_instance().table.rows())


@router.get("/table.csv", response_class=PlainTextResponse, summary="The same as CSV")
def table() -> PlainTextResponse:
    """The table as a file."""
    with errors_as_answers():
        return PlainTextResponse(app_instance().table.csv(), media_type="text/csv")
