"""Research stands on the bundle, so its tests run the same small workflows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from submitit import LocalExecutor

from dualtask_research.jobs import commands
from small_workflows import small_dataset, workflow

__all__ = ["small_dataset", "workflow"]

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., object]], None]:
    """Jobs are done in this process, and their commands by the function that this is given."""

    def stand_in(run: Callable[..., object]) -> None:
        monkeypatch.setattr(LocalExecutor, "submit", lambda self, job: _Done(job.run()))
        monkeypatch.setattr(commands, "subprocess", SimpleNamespace(run=run, STDOUT=None))
        monkeypatch.setattr(commands, "_commit", lambda: "abc")

    return stand_in


class _Done(SimpleNamespace):
    def __init__(self, outcome: str) -> None:
        super().__init__(done=lambda: True, result=lambda: outcome)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test starts find the packages that it finds itself."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(REPOSITORY / room) for room in ("bundle", "research")))
