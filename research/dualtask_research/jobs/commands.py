"""Commands of a folder, run one after the other by a job, and the record of those that have finished."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from submitit import JobEnvironment
from submitit.helpers import Checkpointable

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask.files import write_atomically

RECORD = "done.json"
"""File of a folder whose commands have finished."""

_LOG_TAIL = 5

_SIGNALS_ARRIVE_WITHIN = 1.0
"""Seconds between the first and the last process of a job that a scheduler stops."""


def bundle_command(workflow: str, configs: Sequence[Path], settings: Mapping[str, Any]) -> list[str]:
    """The command of a workflow of the bundle.

    Args:
        workflow: id in the configs.
        configs: files, overlays behind the config that they change.
        settings: further values, id -> value.
    """
    root = Path(bundle_root()) / "configs"
    command = [sys.executable, "-m", "monai.bundle", "run", workflow]
    command += ["--config_file", repr([str(config) for config in configs])]
    command += ["--meta_file", str(root / "metadata.json"), "--logging_file", str(root / "logging.conf")]
    for key, value in settings.items():
        command += [f"--{key}", str(value)]
    return command


def was_run(folder: Path, commands: Sequence[Sequence[str]]) -> bool:
    """Whether these commands have finished in a folder before.

    Raises:
        InputError: other commands have.
    """
    record = folder / RECORD
    if not record.is_file():
        return False
    if read_record(folder)["commands"] != commands:
        raise InputError(f"{folder} was made with other settings: remove it or name another output folder.")
    return True


def read_record(folder: Path) -> dict[str, Any]:
    """Commands, seconds of the last attempt, commit, hardware and versions of what has finished in a folder."""
    return json.loads((folder / RECORD).read_text())


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Say that the commands of a folder have finished."""
    write_atomically(folder / RECORD, lambda temporary: temporary.write_text(json.dumps(record, indent=1)))


@dataclass(frozen=True)
class Commands(Checkpointable):
    """What a job does: commands one after the other, then their record; what they print goes to ``log.txt``.

    A scheduler that takes the machine away (SIGUSR2) gets the same job back for its queue; it finds the commands where
    they were, a training at its last finished epoch.

    Attributes:
        folder: of the results, made if absent.
        commands: to run.
        environment: variables that replace those of the job.
    """

    folder: Path
    commands: list[list[str]]
    environment: Mapping[str, str]

    def __call__(self) -> str:
        """Run what has not finished; returns what went wrong in one sentence, or nothing."""
        stopped: list[int] = []

        def stop(number: int, frame: FrameType | None) -> None:
            stopped.append(number)
            if JobEnvironment().cluster == "local":
                sys.exit(1)  # nobody else ends this job, and the command must not outlive it

        signal.signal(signal.SIGTERM, stop)
        if failure := self.run():
            # SLURM signals a command as it does this process. A result would end a job that it puts back into its
            # queue, so wait for what it decides.
            time.sleep(_SIGNALS_ARRIVE_WITHIN)
            while stopped:
                signal.pause()
        return failure

    def run(self) -> str:
        """What the job does, without an eye on signals."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # A job may outlive the study that started it. The commands hold the lock, too, and may outlive the job.
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not was_run(self.folder, self.commands):
                    write_record(self.folder, self._run(lock.fileno()))
        except InputError as error:
            return str(error)
        return ""

    def _run(self, lock: int) -> dict[str, Any]:
        log_file = self.folder / "log.txt"
        environment = {**os.environ, **self.environment}
        started = time.monotonic()
        for command in self.commands:
            with log_file.open("a") as log:
                outcome = subprocess.run(
                    command, env=environment, stdout=log, stderr=subprocess.STDOUT, pass_fds=[lock], check=False
                )
            if outcome.returncode:
                tail = " / ".join(log_file.read_text().strip().splitlines()[-_LOG_TAIL:])
                raise InputError(f"{self.folder} ended with exit code {outcome.returncode}, see its log.txt: {tail}")
        return {
            "commands": self.commands,
            "seconds": round(time.monotonic() - started),
            "commit": _commit(),
            "hardware": _hardware(environment),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
        }


def _hardware(environment: Mapping[str, str]) -> str:
    if environment.get("CUDA_VISIBLE_DEVICES"):
        os.environ["CUDA_VISIBLE_DEVICES"] = environment["CUDA_VISIBLE_DEVICES"]
        import torch  # takes seconds, and only a GPU needs it

        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores, {environment['OMP_NUM_THREADS']} threads"


def _commit() -> str | None:
    if shutil.which("git") is None:
        return None
    outcome = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=bundle_root(), capture_output=True, text=True, check=False
    )
    return outcome.stdout.strip() or None
