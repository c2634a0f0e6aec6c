"""Checkpoints that a killed process cannot damage."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from dualtask.files import write_atomically


class BestCheckpoint:
    """Saves objects whenever the key metric of an evaluator reaches a new best.

    MONAI's CheckpointSaver overwrites in place; here the file is replaced atomically, and what stood there before the
    first save of this run is kept beside it as ``<name>_previous``.

    Args:
        path: the checkpoint, ``{name: state_dict}``.
        save_dict: name -> object with ``state_dict()``.
    """

    def __init__(self, path: str, save_dict: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.save_dict = save_dict
        self.best: float | None = None
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, evaluator: Engine) -> None:
        score = float(evaluator.state.metrics[evaluator.state.key_metric_name])
        if self.best is not None and not score > self.best:
            return
        if self.best is None and self.path.exists():
            previous = self.path.with_stem(f"{self.path.stem}_previous")
            write_atomically(previous, lambda temporary: shutil.copyfile(self.path, temporary))
        state = {name: item.state_dict() for name, item in self.save_dict.items()}
        write_atomically(self.path, lambda temporary: torch.save(state, temporary))
        self.best = score
        self.logger.info("%s = %.4f is the best so far: saved %s", evaluator.state.key_metric_name, score, self.path)
