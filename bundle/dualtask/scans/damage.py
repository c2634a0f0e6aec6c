"""What readers raise for files that are damaged, or were made to break them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dualtask.errors import InputError


@contextmanager
def refusing_damage(
    path: str | os.PathLike[str], problem: str, remedy: str = "copy or export it again"
) -> Iterator[None]:
    """Turn whatever a reader raises into a sentence; parsers of damaged bytes raise anything.

    Args:
        path: what is read.
        problem: how the sentence goes on after the path.
        remedy: how it ends.

    Raises:
        InputError: the path cannot be read, or has no room in memory.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path} has no room in memory: free memory, or give the part with the abdomen.") from error
    except Exception as error:
        raise InputError(f"{path} {problem}: {remedy}.") from error
