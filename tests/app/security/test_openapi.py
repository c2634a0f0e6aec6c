"""Requests made up from the server's own description, by schemathesis: none is answered 500."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings

FEW = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def url(closed_server: FastAPI) -> Iterator[str]:
    """Where the server behind the gate listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        running = uvicorn.Server(uvicorn.Config(closed_server, lifespan="off", log_level="error"))
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join(10)


def test_no_request_of_the_described_kinds_is_answered_500(url: str):
    statuses: list[int] = []

    def ask(case) -> None:
        answer = case.call()
        statuses.append(answer.status_code)
        assert answer.status_code < 500, (case.method, case.path, answer.text)

    for operation in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        FEW(given(case=operation.ok().as_strategy())(ask))()
    assert len(statuses) > 100
    assert {200, 404, 422} <= set(statuses)
