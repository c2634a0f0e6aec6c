"""Kills a process before every step that it takes on the disk, or lets the disk fill up at every size of file."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from battery.beside import full_disk
from battery.interrupted import Work
from dualtask.errors import find_input_error

_DONE, _REFUSED, _DIED = 0, 3, 4

_STEPS = ("open", "os.", "shutil.", "tempfile.")
"""Audit events of CPython that stand for a step on the disk begin so."""

_READ_ONLY = ("os.listdir", "os.scandir", "os.walk")


@dataclass(frozen=True)
class Tally:
    """Faults that were injected into one kind of work, and what was found damaged after them."""

    injected: int
    damaged: tuple[str, ...]


def kill_at_every_step(work: Work, folder: Path) -> Tally:
    """Kill -9 before the first step on the disk, before the second, and so on until the work gets done."""
    return _inject(work, folder, (_killed_at(step) for step in itertools.count(1)), died=-signal.SIGKILL)


def fill_the_disk(work: Work, folder: Path) -> Tally:
    """Let no file grow beyond 0 bytes, 1, 2, 4, and so on until the work gets done; it is told in a sentence."""
    limits = itertools.chain([0], (2**power for power in itertools.count()))
    return _inject(work, folder, (full_disk(left) for left in limits), died=_REFUSED)


Trouble = contextlib.AbstractContextManager[None]


def _inject(work: Work, folder: Path, troubles: Iterator[Trouble], died: int) -> Tally:
    """Do the work in a process with one trouble after the other, each from the same state before."""
    prepared, place = folder / "prepared", folder / "now"
    place.mkdir(parents=True)
    work.prepare(place)
    place.rename(prepared)
    damaged: list[str] = []
    for number, trouble in enumerate(troubles):
        shutil.copytree(prepared, place)
        code = _in_a_process(lambda: work.do(place), trouble)
        try:
            if damage := work.damage(place):
                damaged.append(f"{number}: {damage}")
        except Exception as error:
            damaged.append(f"{number}: {type(error).__name__}: {error}")
        shutil.rmtree(place)
        if code == _DONE:
            return Tally(number, tuple(damaged))
        if code != died:
            damaged.append(f"{number}: ended with {code} and not {died}")
    raise AssertionError("there is always a trouble")


def _in_a_process(do: Callable[[], object], trouble: Trouble) -> int:
    """Exit code of a forked process, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = _DIED
        try:
            with trouble:
                do()
            code = _DONE
        except BaseException as error:
            code = _REFUSED if find_input_error(error) else _DIED
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextlib.contextmanager
def _killed_at(step: int) -> Iterator[None]:
    """Count the steps that this process takes on the disk, and kill it before one of them."""
    steps = itertools.count(1)

    def count(event: str, arguments: tuple) -> None:
        if event.startswith(_STEPS) and event not in _READ_ONLY and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    yield
