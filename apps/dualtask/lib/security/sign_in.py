"""Signing in from a browser: a form, and a cookie that carries the provider's token.

The panel in OHIF sends no Authorization header, so that its requests would all be refused.
"""

from __future__ import annotations

from typing import Any

import requests
from fastapi import APIRouter, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lib.security.identity import COOKIE, Provider

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sign in</title>
<body style="font-family: sans-serif; max-width: 20em; margin: 4em auto">
<h1>Sign in</h1>
<form method="post">
<p><label>Name<br><input name="username" autocomplete="username" required autofocus></label></p>
<p><label>Password<br><input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button>Sign in</button></p>
</form>
"""

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}


def sign_in_routes(provider: Provider) -> APIRouter:
    """Routes of the form, and of the token that other clients fetch; both ask the provider.

    MONAI Label 0.8.5's own route for tokens answers 500 to a wrong password.
    """
    router = APIRouter(prefix="/auth", tags=["Auth"])

    @router.get("/sign-in", include_in_schema=False)
    def page() -> Response:
        return HTMLResponse(_PAGE, headers=_HEADERS)

    @router.post("/sign-in", include_in_schema=False)
    def sign_in(request: Request, username: str = Form(), password: str = Form()) -> Response:
        token = _token(provider, username, password)
        answer = RedirectResponse("/ohif/", status_code=303)
        answer.set_cookie(
            COOKIE,
            token["access_token"],
            max_age=token.get("expires_in"),
            httponly=True,
            secure=request.url.scheme == "https",
            samesite="strict",
        )
        return answer

    @router.post("/token", summary="Fetch new access token")
    def token(username: str = Form(), password: str = Form()) -> dict[str, str]:
        fetched = _token(provider, username, password)
        return {"access_token": fetched["access_token"], "token_type": fetched.get("token_type", "Bearer")}

    return router


def _token(provider: Provider, username: str, password: str) -> dict[str, Any]:
    try:
        return provider.password_token(username, password)
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code < 500:
            raise HTTPException(401, "The name or the password is wrong.") from error
        raise
