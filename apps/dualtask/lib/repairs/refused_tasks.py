"""Tasks of an unknown model or method, and tasks with options that cannot be used, are refused.

MONAI Label 0.8.5 answers 200 to them and starts a process, which dies with a traceback that only the log shows, or
trains for -1 epochs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from monailabel.endpoints import batch_infer, scoring, train
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.utils.app import app_instance

Options = Mapping[str, Any] | None


def apply() -> None:
    """Check what is asked before each of the endpoints starts its process."""
    _check_first(train, "run", _check_trainings)
    _check_first(train, "run_model", _check_training)
    _check_first(batch_infer, "run", _check_batch)
    _check_first(scoring, "run_method", _check_scoring)


def _check_first(room: ModuleType, function: str, check: Callable[..., None]) -> None:
    start = getattr(room, function)
    if hasattr(start, "__wrapped__"):
        return

    @functools.wraps(start)
    def checked(*args: Any) -> Any:
        check(*args)
        return start(*args)

    setattr(room, function, checked)


def _check_trainings(params: Mapping[str, Options] | None = None, *_: Any) -> None:
    for model, options in (params or {}).items():
        _check_training(model, options)


def _check_training(model: str, params: Options = None, *_: Any) -> None:
    from lib.options import TrainingOptions  # it needs the bundle's package, which is found by now

    _check_known(model, "trainers")
    TrainingOptions.of(params or {})


def _check_batch(model: str, images: Any = None, params: Options = None, *_: Any) -> None:
    from lib.options import SegmentationOptions

    _check_known(model, "models")
    SegmentationOptions.of(params or {})


def _check_scoring(method: str, *_: Any) -> None:
    _check_known(method, "scoring")


def _check_known(name: str, tasks: str) -> None:
    known = app_instance().info()[tasks]
    if name not in known:
        raise MONAILabelException(
            MONAILabelError.INVALID_INPUT, f"There is no {name!r} to run: use one of {', '.join(known)}."
        )
