"""Who sends a request: tokens of an OpenID provider (Keycloak or alike).

MONAI Label 0.8.5 takes any token of the realm, made for whatever application, and never looks for a new key.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jwt
import requests
from monailabel.config import settings as server
from monailabel.endpoints.user.auth import User
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser

from lib.security.routes import Role

COOKIE = "dualtask_token"
"""Carries the token of a browser: the viewer's panel in OHIF sends no Authorization header."""

_CLOCK_TOLERANCE = 10
"""Seconds by which the provider's clock may be off."""

LOCAL_USER = User(username="local", name="this machine", roles=[])
"""Whoever uses a server without authentication."""


def visitor() -> User:
    """Whoever asks for what is open to anyone; MONAI Label's own check wants a user for the pages of the viewer."""
    return User(username="visitor", roles=[server.MONAI_LABEL_AUTH_ROLE_USER])


class Provider:
    """An OpenID provider.

    Args:
        realm: URL under which ``.well-known/openid-configuration`` lies, and which the provider names as issuer.
        client_id: name of this application at the provider.
        timeout: seconds to wait for the provider.
    """

    def __init__(self, realm: str, client_id: str, timeout: float) -> None:
        self.realm = realm.rstrip("/")
        self.client_id = client_id
        self.timeout = timeout

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What the provider says about itself; asked again until it has answered once."""
        answer = requests.get(f"{self.realm}/.well-known/openid-configuration", timeout=self.timeout)
        answer.raise_for_status()
        stated = answer.json()
        if not isinstance(stated, dict) or not {"issuer", "jwks_uri", "token_endpoint"} <= stated.keys():
            raise requests.RequestException(f"{self.realm} is not an OpenID provider")
        return stated

    @cached_property
    def _keys(self) -> jwt.PyJWKClient:
        # Asks for the keys anew when a token names one that it does not know, at most every 30 s.
        return jwt.PyJWKClient(self.configuration["jwks_uri"], timeout=self.timeout)

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says, once it is clear that this provider made it, for this application, and lately.

        Raises:
            jwt.InvalidTokenError: it is forged, expired, or meant for others.
            jwt.PyJWKClientConnectionError, requests.RequestException: the provider does not answer.
        """
        claims = jwt.decode(
            token,
            self._keys.get_signing_key_from_jwt(token),
            algorithms=["RS256"],
            issuer=self.configuration["issuer"],
            leeway=_CLOCK_TOLERANCE,
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
        audience = claims.get("aud", [])
        audiences = audience if isinstance(audience, list) else [audience]
        # Keycloak names the application in azp, and in aud only where an audience mapper was set up.
        if self.client_id not in (*audiences, claims.get("azp")):
            raise jwt.InvalidAudienceError("The token was made for another application")
        return claims

    def password_token(self, username: str, password: str) -> dict[str, Any]:
        """Exchange a name and password for a token.

        Raises:
            requests.HTTPError: they are wrong, or the provider does not offer this.
        """
        form = {"client_id": self.client_id, "username": username, "password": password, "grant_type": "password"}
        answer = requests.post(self.configuration["token_endpoint"], data=form, timeout=self.timeout)
        answer.raise_for_status()
        return answer.json()


def authenticate(headers: Headers, provider: Provider) -> User:
    """The user who sends a request.

    Raises:
        HTTPException: 401 without a valid token, 503 when the provider cannot be asked.
    """
    token = _token(headers)
    if not token:
        raise _unauthorised("Sign in first: send a token of the OpenID provider.")
    try:
        claims = provider.claims(token)
    except (jwt.PyJWKClientConnectionError, requests.RequestException) as error:
        raise HTTPException(503, "The OpenID provider does not answer: try again, or ask the operator.") from error
    except (jwt.InvalidTokenError, jwt.PyJWKClientError, jwt.PyJWKSetError) as error:
        raise _unauthorised("The token is not valid here: sign in again.") from error
    username = claims.get(server.MONAI_LABEL_AUTH_TOKEN_USERNAME)
    if not isinstance(username, str) or not username:
        raise _unauthorised("The token names no user: ask the operator.")
    role = max((role for role, name in _role_names().items() if name in _roles(claims)), default=Role.ANYONE)
    # MONAI Label's own check asks for the very role of a route.
    return User(username=username, roles=[name for implied, name in _role_names().items() if implied <= role])


def role_of(user: User) -> Role:
    """The highest role of a user."""
    return max((role for role, name in _role_names().items() if name in user.roles), default=Role.ANYONE)


def _role_names() -> dict[Role, str]:
    return {
        Role.USER: server.MONAI_LABEL_AUTH_ROLE_USER,
        Role.ANNOTATOR: server.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
        Role.REVIEWER: server.MONAI_LABEL_AUTH_ROLE_REVIEWER,
        Role.ADMIN: server.MONAI_LABEL_AUTH_ROLE_ADMIN,
    }


def _token(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _roles(claims: dict[str, Any]) -> list[str]:
    """The names at the place in the token that MONAI Label's setting gives, such as ``realm_access#roles``."""
    found: Any = claims
    for part in server.MONAI_LABEL_AUTH_TOKEN_ROLES.split("#"):
        found = found.get(part) if isinstance(found, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _unauthorised(sentence: str) -> HTTPException:
    return HTTPException(401, sentence, headers={"WWW-Authenticate": "Bearer"})
