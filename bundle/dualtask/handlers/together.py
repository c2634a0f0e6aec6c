"""Handlers that a config names, in the list where MONAI looks for definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine


class Together:
    """Several handlers as one, without those that are disabled.

    MONAI 1.6.1 looks for the ValidationHandler in a training's list of handlers and takes each entry for a definition,
    which a reference by name is not; and a reference to a disabled component stays in the list as None.

    Args:
        handlers: are attached in this order; None is passed over.
    """

    def __init__(self, handlers: Sequence[Any]) -> None:
        self.handlers = [handler for handler in handlers if handler is not None]

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)
