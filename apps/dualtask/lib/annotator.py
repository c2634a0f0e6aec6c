"""Who a request comes from."""

from __future__ import annotations

from contextvars import ContextVar

from monailabel.config import settings

signed_in: ContextVar[str | None] = ContextVar("signed_in", default=None)
"""Name of the user whose request is being answered; without authentication MONAI Label calls everyone admin."""

ANONYMOUS = "anonymous"


def annotator(client_id: object = None) -> str:
    """The signed-in user, or else what the viewer calls itself, or else ``ANONYMOUS``.

    Args:
        client_id: as 3D Slicer and MONAI Label's client send it with a request.
    """
    user = signed_in.get() if settings.MONAI_LABEL_AUTH_ENABLE else None
    return str(user or client_id or ANONYMOUS)
