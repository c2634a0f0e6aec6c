"""Checkpoints that a killed process cannot damage; of several processes of a training the first writes them."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from torch import nn

from dualtask.errors import InputError
from dualtask.files import write_atomically


class BestCheckpoint:
    """Saves a network whenever the key metric of an evaluator reaches a new best.

    MONAI's CheckpointSaver overwrites in place; here the file is replaced atomically, and what stood there before the
    first save of this training is kept beside it as ``<name>_previous``.

    Args:
        path: the weights, the plain state dict that MONAI's bundle tools expect.
        save_dict: the network under any name, as MONAI's CheckpointSaver takes it.
    """

    def __init__(self, path: str, save_dict: Mapping[str, nn.Module]) -> None:
        self.path = Path(path)
        (self.network,) = save_dict.values()
        self.saved = False
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        self.evaluator = engine
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, evaluator: Engine) -> None:
        if evaluator.state.best_metric_epoch != evaluator.state.epoch:
            return
        if not self.saved and self.path.exists():
            _keep_previous(self.path)
        _save(self.network.state_dict(), self.path)
        self.saved = True
        score = evaluator.state.best_metric
        self.logger.info("%s = %.4f is the best so far: saved %s", evaluator.state.key_metric_name, score, self.path)

    def state_dict(self) -> dict[str, Any]:
        state = self.evaluator.state
        return {"saved": self.saved, "metric": float(state.best_metric), "epoch": state.best_metric_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.saved = state["saved"]
        self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch = state["metric"], state["epoch"]


class LastCheckpoint:
    """Saves a training after each epoch, when all other handlers have run, and continues it from there.

    Restoring precedes what handlers behind this one do at the start, so list it first. The trainer's own state and its
    gradient scaler are saved with the objects. Random states are not: see :class:`~dualtask.handlers.EpochSeed`.

    Args:
        path: the checkpoint, ``{name: state_dict, "trainer": ..., "parameters": ...}``, replaced atomically.
        save_dict: name -> object with ``state_dict()`` and ``load_state_dict()``.
        parameters: numbers and strings that decide what the training does; a resumed one must have the same.
        resume: whether to continue from the file; without a file the training starts from scratch.

    Raises:
        InputError: the file is damaged, or is the state of another training.
    """

    def __init__(self, path: str, save_dict: Mapping[str, Any], parameters: Mapping[str, Any], resume: bool) -> None:
        self.path = Path(path)
        self.save_dict = save_dict
        self.parameters = dict(parameters)
        self.logger = logging.getLogger(__name__)
        # Read before the trainer starts: its handlers would print a traceback around the sentence.
        self._checkpoint = self._read() if resume else None

    def _read(self) -> dict[str, Any] | None:
        if not self.path.is_file():
            self.logger.info("There is no %s to resume from: training starts from scratch.", self.path)
            return None
        try:
            checkpoint = torch.load(self.path, map_location="cpu", weights_only=True)
            saved = checkpoint["parameters"]
        except Exception as error:  # a few damaged bytes can make the unpickler raise anything
            raise InputError(
                f"The checkpoint {self.path} is damaged: remove it to train from scratch, or start from the best "
                "weights with finetune.json."
            ) from error
        if changed := {name for name in saved.keys() | self.parameters if saved.get(name) != self.parameters.get(name)}:
            differences = ", ".join(
                f"{name} was {saved.get(name)} and is {self.parameters.get(name)}" for name in sorted(changed)
            )
            raise InputError(
                f"The checkpoint {self.path} is of a training with other settings ({differences}): resume with the "
                "same ones, or train without resume."
            )
        return checkpoint

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._started)

    def _started(self, engine: Engine) -> None:
        if self._checkpoint is not None:
            self._restore(engine, self._checkpoint)
            self._checkpoint = None
        # Only now, to be the last of all handlers, also of those that an overlay appends.
        if not engine.has_event_handler(self._epoch_completed, Events.EPOCH_COMPLETED):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _restore(self, engine: Engine, checkpoint: Mapping[str, Any]) -> None:
        try:
            Checkpoint.load_objects(self._objects(engine), checkpoint)
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(
                f"The checkpoint {self.path} is of another network or recipe: resume with the same configs, or train "
                "without resume."
            ) from error
        self.logger.info(
            "Resumed from %s: %d of %d epochs are done.", self.path, engine.state.epoch, engine.state.max_epochs
        )

    def _epoch_completed(self, engine: Engine) -> None:
        states = {name: item.state_dict() for name, item in self._objects(engine).items()}
        _save({**states, "parameters": self.parameters}, self.path)

    def _objects(self, engine: Engine) -> dict[str, Any]:
        scaler = {} if engine.scaler is None else {"scaler": engine.scaler}
        return {**self.save_dict, "trainer": engine, **scaler}


@idist.one_rank_only()
def _keep_previous(path: Path) -> None:
    write_atomically(path.with_stem(f"{path.stem}_previous"), lambda temporary: shutil.copyfile(path, temporary))


@idist.one_rank_only()
def _save(state: Mapping[str, Any], path: Path) -> None:
    # PyTorch's writer hides a full disk behind errors of its own.
    content = io.BytesIO()
    torch.save(state, content)
    write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))
