"""The layer between the network and MONAI Label 0.8.5, which by itself checks nothing that a client sends.

:class:`~lib.security.gate.Gate` is the one place that requests pass; the other modules hold what it asks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fastapi import FastAPI
from monailabel.config import settings as server
from monailabel.endpoints.user.auth import User, get_current_user
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from lib.security.answers import add_error_answers
from lib.security.audit import open_audit_trail
from lib.security.gate import Gate
from lib.security.identity import Provider
from lib.security.network import check_bind_host
from lib.security.settings import SecuritySettings, read_settings
from lib.security.sign_in import sign_in_routes


def apply_security(app_dir: str) -> None:
    """Close the server that this process runs; nothing in other processes, and nothing more after POST /reload.

    Must be called while the server starts, before it answers.

    Args:
        app_dir: folder of the app; the audit trail goes to its ``logs`` folder.

    Raises:
        dualtask.errors.InputError: the server would be open to other machines without authentication, or a setting
            cannot be used.
    """
    # MONAI Label imports this module in the process that answers requests alone.
    if (app := getattr(sys.modules.get("monailabel.app"), "app", None)) is not None:
        close(app, app_dir, read_settings())


def _user(request: Request) -> User:
    """The user whom the gate admitted, for MONAI Label's own checks of roles."""
    return request.state.user


def close(app: FastAPI, app_dir: str, settings: SecuritySettings) -> None:
    """Put the gate in front of an app that has not answered yet.

    Raises:
        dualtask.errors.InputError: see :func:`apply_security`.
    """
    if any(middleware.cls is Gate for middleware in app.user_middleware):  # type: ignore[comparison-overlap]
        return
    authenticated = server.MONAI_LABEL_AUTH_ENABLE
    check_bind_host(sys.argv[1:], authenticated, settings)
    audit = open_audit_trail(Path(app_dir) / "logs", settings)
    provider = None
    if authenticated:
        provider = Provider(
            server.MONAI_LABEL_AUTH_REALM_URI, server.MONAI_LABEL_AUTH_CLIENT_ID, server.MONAI_LABEL_AUTH_TIMEOUT
        )
        # MONAI Label's own route for tokens stands before.
        app.router.routes[:0] = sign_in_routes(provider).routes
    # pydantic ends the URL of an origin with a slash, which no browser sends.
    origins = [str(origin).rstrip("/") for origin in server.MONAI_LABEL_CORS_ORIGINS]
    add_error_answers(app)
    app.dependency_overrides[get_current_user] = _user
    app.user_middleware[:] = [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        ),
        Middleware(Gate, settings=settings, origins=origins, audit=audit, provider=provider),
    ]
    # The app runs already when MONAI Label loads what is served: what was built for its start gives way.
    app.middleware_stack = app.build_middleware_stack()
