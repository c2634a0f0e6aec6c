"""Tokens are accepted again.

MONAI Label 0.8.5 decodes a token without naming the algorithm of its signature, and PyJWT >= 2 refuses every token
then. Only RS256 is allowed: it is what Keycloak signs with, and an open list would let a token choose a weaker one.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import jwt
from monailabel.endpoints.user import auth


def apply() -> None:
    """Give the module of MONAI Label that checks tokens a ``decode`` that insists on RS256."""
    auth.jwt = SimpleNamespace(decode=partial(jwt.decode, algorithms=["RS256"]))
