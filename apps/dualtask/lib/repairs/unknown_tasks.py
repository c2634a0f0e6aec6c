"""Tasks of an unknown model or method are refused.

MONAI Label 0.8.5 answers 200 to them and starts a process, which dies with a traceback that only the log shows.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from monailabel.endpoints import batch_infer, scoring, train
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.utils.app import app_instance


def apply() -> None:
    """Check the name before each of the three endpoints starts its process."""
    _check_first(train, "run_model", "trainers")
    _check_first(batch_infer, "run", "models")
    _check_first(scoring, "run_method", "scoring")


def _check_first(room: ModuleType, function: str, tasks: str) -> None:
    start = getattr(room, function)
    if hasattr(start, "__wrapped__"):
        return

    @functools.wraps(start)
    def checked(name: str, *args: Any, **options: Any) -> Any:
        known = app_instance().info()[tasks]
        if name not in known:
            raise MONAILabelException(
                MONAILabelError.INVALID_INPUT, f"There is no {name!r} to run: use one of {', '.join(known)}."
            )
        return start(name, *args, **options)

    setattr(room, function, checked)
