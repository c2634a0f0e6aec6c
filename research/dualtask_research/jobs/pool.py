"""Where jobs run: processes on each GPU or on the cores of this machine, or the queue of SLURM."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, TypeVar

import torch
from submitit import Job, LocalExecutor, SlurmExecutor
from submitit.core.core import PicklingExecutor
from submitit.core.utils import UncompletedJobError

from dualtask.errors import InputError
from dualtask_research.jobs.commands import Commands, was_run

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_SECONDS_BETWEEN_LOOKS = 1.0

_ENDLESS_MINUTES = 60 * 24 * 365
"""Submitit ends a process of this machine, too, after its time."""

_DAY_MINUTES = 60 * 24

_MOST_TIMEOUTS = 20
"""How often a job of SLURM goes on after its time was over: enough for long trainings, not for what stands still."""


class JobPool:
    """Runs commands as jobs, from several threads.

    Args:
        processes: at a time on each GPU of this machine, or on the machine where it has none. Small networks leave a
            GPU idle while Python and the loader work.
        threads: of each process.
        slurm: parameters of SLURM's jobs in the words of ``submitit.SlurmExecutor``: ``partition``, ``gpus_per_node``,
            ``time`` in minutes (by default a day) ...; None: the jobs are processes of this machine.

    Raises:
        InputError: there is no SLURM here, or it has no such parameter.
    """

    def __init__(self, processes: int = 1, threads: int = 1, slurm: Mapping[str, Any] | None = None) -> None:
        self._threads = threads
        self._slurm = slurm
        self._devices = (_gpus() or [""]) * processes
        self._free: SimpleQueue[str] = SimpleQueue()
        for device in self._devices:
            self._free.put(device)
        self._of_folder: defaultdict[Path, Lock] = defaultdict(Lock)
        self._looking = Lock()
        self._stopped = Event()
        if slurm is not None:
            self._executor(Path(), "")

    def map(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """Results of a function that calls :meth:`run`, for several items at a time.

        Whatever stops it, such as Ctrl-C, ends the processes of this machine; jobs of SLURM go on, and whoever asks for
        the same commands again waits for them.
        """
        most = len(self._devices) if self._slurm is None else max(1, len(items))
        with ThreadPoolExecutor(most) as threads:
            try:
                return list(threads.map(function, items))
            except BaseException:
                self._stopped.set()
                threads.shutdown(cancel_futures=True)
                raise

    def run(self, folder: Path, commands: list[list[str]], name: str) -> None:
        """Wait until commands have finished in a folder; what has finished before is not run again.

        Args:
            folder: of their results, made if absent.
            commands: to run one after the other.
            name: of the job in the queue, where one job of a name runs at a time.

        Raises:
            InputError: the folder was made by other commands, one of these failed, or the job was ended.
        """
        with self._of_folder[folder]:
            if was_run(folder, commands):
                return
            with self._place() as environment:
                executor = self._executor(folder / "jobs" / time.strftime("%Y%m%d-%H%M%S"), name)
                try:
                    job = executor.submit(Commands(folder, commands, environment))
                except UncompletedJobError as error:
                    raise InputError(f"SLURM does not take {name}: {' '.join(str(error).split())}") from error
                failure = self._wait(job)
            if failure is None or not (failure or was_run(folder, commands)):
                failure = (
                    f"{name} was ended before it had finished (job {job.job_id}, {job.paths.stdout}): start the same "
                    "command again, which continues it."
                )
            if failure:
                raise InputError(failure)

    def _wait(self, job: Job[str]) -> str | None:
        """What a job says when it is over; None: it was ended and says nothing."""
        while True:
            # All jobs share what submitit knows of the queue.
            with self._looking:
                if job.done():
                    break
            if self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
                if self._slurm is None:
                    # Job.cancel leaves the job a second to end its command, which a busy machine may miss.
                    os.kill(int(job.job_id), signal.SIGTERM)
                    job.wait()
                return None
        try:
            return job.result()
        except UncompletedJobError:
            return None

    @contextmanager
    def _place(self) -> Iterator[dict[str, str]]:
        """Variables of a job, once there is a place for it."""
        environment = {"OMP_NUM_THREADS": str(self._threads)}
        if self._slurm is not None:
            yield environment
            return
        device = self._free.get()
        try:
            yield {**environment, "CUDA_VISIBLE_DEVICES": device}
        finally:
            self._free.put(device)

    def _executor(self, folder: Path, name: str) -> PicklingExecutor:
        if self._slurm is None:
            local = LocalExecutor(folder)
            local.update_parameters(timeout_min=_ENDLESS_MINUTES, stderr_to_stdout=True)
            return local
        try:
            slurm = SlurmExecutor(folder, max_num_timeout=_MOST_TIMEOUTS)
        except RuntimeError as error:
            raise InputError(
                "SLURM's srun and sbatch are not on the PATH: start on a machine of the cluster, or leave --slurm out."
            ) from error
        # A job that was asked for before, and that nobody waits for any more, goes first.
        parameters = {"time": _DAY_MINUTES, "job_name": name, "dependency": "singleton", **self._slurm}
        try:
            slurm.update_parameters(stderr_to_stdout=True, **parameters)
        except (ValueError, TypeError) as error:
            raise InputError(f"SLURM's jobs cannot have these parameters: {' '.join(str(error).split())}") from error
        if not isinstance(parameters["time"], int):
            raise InputError(f"The time of a job is {parameters['time']!r}: give a number of minutes.")
        return slurm


def slurm_parameters(of_study: Mapping[str, Any], words: Sequence[str] | None) -> dict[str, Any] | None:
    """Parameters of SLURM's jobs; None where none were asked for.

    Args:
        of_study: what the study says.
        words: ``name=value`` of the command line, which replace those; None without the option.

    Raises:
        InputError: a word is no ``name=value``.
    """
    if words is None:
        return None
    parameters = dict(of_study)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"--slurm {word} names no value: write it as in partition=gpu.")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def _gpus() -> list[str]:
    """Values of CUDA_VISIBLE_DEVICES that name one GPU each, among those that the user lets us see."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(index) for index in range(count)]
