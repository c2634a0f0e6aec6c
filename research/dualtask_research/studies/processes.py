"""Commands of a study, run as processes of their own, and the record of those that are finished."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask.files import write_atomically

RECORD = "done.json"
"""File of a folder whose commands have finished."""

_LOG_TAIL = 5


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
    if json.loads(record.read_text())["commands"] != commands:
        raise InputError(f"{folder} was made with other settings: remove it or name another output folder.")
    return True


def run_commands(folder: Path, commands: Sequence[Sequence[str]], device: str = "", threads: int = 1) -> dict[str, Any]:
    """Run commands one after the other; what they print goes to ``log.txt``.

    Args:
        folder: of their results, made if absent.
        commands: to run.
        device: value of CUDA_VISIBLE_DEVICES, empty for the CPU.
        threads: of each process.

    Returns:
        commands, seconds, commit, hardware and versions, for :func:`write_record`.

    Raises:
        InputError: a command failed; the sentence holds the end of what it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / "log.txt"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": device}
    started = time.monotonic()
    for command in commands:
        with log_file.open("a") as log:
            outcome = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
        if outcome.returncode:
            tail = " / ".join(log_file.read_text().strip().splitlines()[-_LOG_TAIL:])
            raise InputError(f"{folder} ended with exit code {outcome.returncode}, see its log.txt: {tail}")
    return {
        "commands": commands,
        "seconds": round(time.monotonic() - started),
        "commit": _commit(),
        "hardware": torch.cuda.get_device_name() if device else f"{os.cpu_count()} CPU cores, {threads} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Say that the commands of a folder have finished."""
    write_atomically(folder / RECORD, lambda temporary: temporary.write_text(json.dumps(record, indent=1)))


def _commit() -> str | None:
    if shutil.which("git") is None:
        return None
    outcome = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=bundle_root(), capture_output=True, text=True, check=False
    )
    return outcome.stdout.strip() or None
