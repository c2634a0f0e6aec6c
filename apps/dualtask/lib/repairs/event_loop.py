"""Requests do not wait for each other, and every error is a sentence.

MONAI Label 0.8.5 answers in the event loop: while it segments one scan or saves one label, nobody else gets an answer.
Its errors have no handler, so that an unknown study is a bare "500 Internal Server Error". And it checks who the user
is but does not tell the app.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
from fastapi.routing import APIRoute
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    infer,
    info,
    login,
    logs,
    model,
    scoring,
    session,
    train,
    wsi_infer,
)

from lib.annotator import signed_in
from lib.answers import errors_as_answers

_ROOMS = (activelearning, batch_infer, datastore, infer, info, login, logs, model, scoring, session, train, wsi_infer)
"""All whose functions never await; those of ``proxy`` do, and stay in the event loop."""

_INFERENCES_WAITING = 64
"""Threads for requests that wait for an inference, apart from those that answer all others."""


def apply() -> None:
    """Let the endpoints run in threads. Must happen before the first request."""
    for room in _ROOMS:
        for route in room.router.routes:
            if isinstance(route, APIRoute) and not hasattr(route.endpoint, "__wrapped__"):
                route.endpoint = _in_thread(route.endpoint, room)


def _in_thread(endpoint: Callable[..., Any], room: ModuleType) -> Callable[..., Any]:
    limiters: list[anyio.CapacityLimiter] = []

    @functools.wraps(endpoint)
    async def answer(**values: Any) -> Any:
        if room is infer and not limiters:  # made where a loop runs
            limiters.append(anyio.CapacityLimiter(_INFERENCES_WAITING))
        limiter = limiters[0] if limiters else None
        return await anyio.to_thread.run_sync(_answer, endpoint, values, limiter=limiter)

    return answer


def _answer(endpoint: Callable[..., Any], values: dict[str, Any]) -> Any:
    if "user" in values:
        signed_in.set(values["user"].username)
    with errors_as_answers():
        return asyncio.run(endpoint(**values))
