"""The one error that a user is meant to read."""

from __future__ import annotations

import sys
from types import TracebackType


class InputError(ValueError):
    """What the user gave cannot be used. The message is one sentence: what is wrong with what, and what to do."""


class StorageError(InputError):
    """A file cannot be written: the disk is full or the folder not to be written to."""


def find_input_error(error: BaseException | None) -> InputError | None:
    """Return the ``InputError`` in the chain of causes of ``error``, or None.

    MONAI wraps whatever a transform or a config expression raises in a RuntimeError, so the sentence sits further
    down the chain.
    """
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def print_input_errors_as_one_sentence() -> None:
    """Let a process that dies of an ``InputError`` print its sentence instead of a traceback (exit code 1).

    Named first in the ``run`` lists of the configs. Every other exception keeps its traceback, because it is a
    defect of ours and not of the input.
    """

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if (input_error := find_input_error(error)) is None:
            sys.__excepthook__(kind, error, traceback)
        else:
            print(f"error: {input_error}", file=sys.stderr)

    sys.excepthook = hook
