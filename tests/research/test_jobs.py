"""Jobs: what is done once, what a scheduler stops and starts again, what is left of a job that is ended."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from submitit import Job

from dualtask.errors import InputError
from dualtask_research.jobs import pool as module
from dualtask_research.jobs.commands import read_record
from dualtask_research.jobs.pool import JobPool, slurm_parameters

pytestmark = pytest.mark.usefixtures("packages")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for results of jobs that were ended."""
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.1)
    monkeypatch.setattr(Job, "_results_timeout_s", 0)


def script(code: str) -> list[list[str]]:
    """Commands of one Python program; its parent is the job."""
    return [[sys.executable, "-c", f"import os, pathlib, signal, time\n{code}"]]


def wait_for(path: Path) -> str:
    while not path.is_file() or not path.read_text():
        time.sleep(0.05)
    return path.read_text()


def test_commands_of_a_folder_run_once_and_leave_a_record_and_what_they_print(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_gpus", lambda: [])
    commands = script("print(os.environ['OMP_NUM_THREADS'], repr(os.environ['CUDA_VISIBLE_DEVICES']))")
    for _ in range(2):
        JobPool(threads=3).run(tmp_path / "run", commands, "run")
    assert (tmp_path / "run" / "log.txt").read_text() == "3 ''\n"
    record = read_record(tmp_path / "run")
    assert record["commands"] == commands and record["hardware"].endswith("CPU cores, 3 threads")


def test_each_gpu_that_the_user_allows_gets_a_process(monkeypatch):
    monkeypatch.setattr(module.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert module._gpus() == ["2", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert module._gpus() == ["0", "1"]


def test_several_processes_may_share_a_gpu(monkeypatch):
    monkeypatch.setattr(module, "_gpus", lambda: ["0", "1"])
    pool, together, seen = JobPool(processes=2), threading.Barrier(4, timeout=10), []

    def take(_: int) -> None:
        with pool._place() as environment:
            seen.append(environment["CUDA_VISIBLE_DEVICES"])
            together.wait()

    pool.map(take, range(4))
    assert sorted(seen) == ["0", "0", "1", "1"]


def test_a_job_that_the_scheduler_takes_the_machine_from_goes_on_by_itself(tmp_path):
    code = f"""
seen = pathlib.Path({str(tmp_path)!r}, "seen")
if not seen.exists():
    seen.touch()
    os.kill(os.getppid(), signal.SIGUSR2)
    time.sleep(60)
print("went on")
"""
    JobPool().run(tmp_path / "run", script(code), "run")
    assert (tmp_path / "run" / "log.txt").read_text() == "went on\n"


def test_a_job_that_is_killed_is_one_sentence_and_the_next_waits_for_what_it_left(tmp_path):
    code = f"""
seen = pathlib.Path({str(tmp_path)!r}, "seen")
if seen.exists():
    print("second")
else:
    seen.touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1)
    print("first")
    raise SystemExit(1)
"""
    with pytest.raises(InputError, match=r"^study/run was ended before it had finished \(job \d+, .*start the same"):
        JobPool().run(tmp_path / "run", script(code), "study/run")
    JobPool().run(tmp_path / "run", script(code), "study/run")
    assert (tmp_path / "run" / "log.txt").read_text() == "first\nsecond\n"


@pytest.mark.parametrize("by", ["Ctrl-C", "SIGTERM"])
def test_a_command_does_not_outlive_a_process_that_is_told_to_end(by, tmp_path):
    code = f"pathlib.Path({str(tmp_path)!r}, 'pids').write_text(f'{{os.getppid()}} {{os.getpid()}}'); time.sleep(60)"

    def run(role: str) -> None:
        if role == "works":
            JobPool.run(pool, tmp_path / "run", script(code), "run")
        job, _ = wait_for(tmp_path / "pids").split()
        if by == "Ctrl-C":
            raise KeyboardInterrupt
        os.kill(int(job), signal.SIGTERM)

    pool = JobPool(processes=2)
    with pytest.raises(KeyboardInterrupt if by == "Ctrl-C" else InputError):
        pool.map(run, ["stops", "works"])
    command = int((tmp_path / "pids").read_text().split()[1])
    assert not psutil.pid_exists(command) or psutil.Process(command).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes ``sbatch`` and ``sacct`` that do as they are told, beside an ``srun`` that runs what it is given here."""

    def write(sbatch: str, sacct: str = "exit 1") -> None:
        # Behind --unbuffered --output <file>.
        for name, lines in {"sbatch": sbatch, "sacct": sacct, "srun": 'shift 3; exec "$@"'}.items():
            path = tmp_path / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/bash\n{lines}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return write


def test_slurm_is_asked_for_what_study_and_command_line_say(tmp_path, stand_in):
    stand_in(f'cp $1 {tmp_path}/submitted; SLURM_JOB_ID=7 bash $1 > {tmp_path}/out 2>&1 & echo "Submitted batch job 7"')
    parameters = slurm_parameters({"partition": "cpu", "account": "radiology"}, ["partition=gpu", "gpus_per_node=1"])
    JobPool(slurm=parameters).run(tmp_path / "run", script("print('ran')"), "study/run")
    asked = (tmp_path / "submitted").read_text()
    for flag in (
        "partition=gpu",
        "account=radiology",
        "gpus-per-node=1",
        "time=1440",
        "job-name=study/run",
        "dependency=singleton",
        "signal=USR2@90",
    ):
        assert f"#SBATCH --{flag}\n" in asked
    assert (tmp_path / "run" / "log.txt").read_text() == "ran\n"


def test_what_slurm_refuses_is_one_sentence(tmp_path, stand_in):
    stand_in('echo "sbatch: error: invalid partition specified: gold" >&2; exit 1')
    with pytest.raises(InputError, match=r"^SLURM does not take study/run: sbatch: error: invalid partition.*: gold$"):
        JobPool(slurm={"partition": "gold"}).run(tmp_path / "run", script(""), "study/run")


def test_a_job_that_somebody_cancels_is_one_sentence(tmp_path, stand_in):
    stand_in('echo "Submitted batch job 7"', sacct='echo "JobID|State"; echo "7|CANCELLED by 0"')
    with pytest.raises(InputError, match=r"^study/run was ended before it had finished \(job 7, .*start the same"):
        JobPool(slurm={}).run(tmp_path / "run", script(""), "study/run")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["partition"], "--slurm partition names no value"),
        (["queue=gpu"], r"cannot have these parameters: .*'queue'"),
        (["time=08:00:00"], "The time of a job is '08:00:00': give a number of minutes"),
    ],
)
def test_a_parameter_that_slurm_does_not_know_is_refused_before_anything_runs(words, sentence, stand_in):
    stand_in("exit 1")
    with pytest.raises(InputError, match=sentence):
        JobPool(slurm=slurm_parameters({}, words))


def test_a_machine_without_slurm_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="srun and sbatch are not on the PATH"):
        JobPool(slurm={})
    assert slurm_parameters({"partition": "gpu"}, None) is None


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SLURM of this machine alone, on ports of its own."""
    if not (shutil.which("slurmctld") and shutil.which("slurmd")) or os.geteuid():
        pytest.skip("SLURM is not installed (apt-get install slurm-wlm), or its daemon has no root: left out")
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    settings = {
        "ClusterName": "test",
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmctldPort": ports[0],
        "SlurmdPort": ports[1],
        "SlurmUser": "root",
        "AuthType": "auth/none",
        "CredType": "cred/none",
        "AuthInfo": "cred_expire=5",  # so long does a job wait that is put back
        "KillWait": 2,
        "StateSaveLocation": tmp_path,
        "SlurmdSpoolDir": tmp_path / "spool",
        "SlurmctldPidFile": tmp_path / "slurmctld.pid",
        "SlurmdPidFile": tmp_path / "slurmd.pid",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "MpiDefault": "none",
        "SchedulerParameters": "sched_interval=1,bf_interval=1",
        "NodeName": f"{socket.gethostname()} NodeAddr=127.0.0.1 CPUs=2",
        "PartitionName": "all Nodes=ALL Default=YES",
    }
    config = tmp_path / "slurm.conf"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    monkeypatch.setenv("SLURM_CONF", str(config))
    daemons = []
    try:
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", socket.gethostname()]):
            with (tmp_path / f"{command[0]}.log").open("w") as log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
        while "idle" not in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout:
            assert all(daemon.poll() is None for daemon in daemons)
            time.sleep(0.2)
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


def test_slurm_puts_jobs_back_that_it_takes_the_machine_from(slurm, tmp_path):
    ways = {"signalled": ["scancel", "--signal=USR2"], "killed": ["scontrol", "requeue"]}
    pool = JobPool(slurm={"time": 5})

    def run(job: tuple[str, str]) -> None:
        way, role = job
        seen = tmp_path / f"{way}_job"
        if role == "stops":
            subprocess.run([*ways[way], wait_for(seen)], check=True)
            return
        code = f"""
seen = pathlib.Path({str(seen)!r})
if not seen.exists():
    seen.write_text(os.environ["SLURM_JOB_ID"])
    time.sleep(60)
print("went on as", os.environ["SLURM_JOB_ID"])
"""
        pool.run(tmp_path / way, script(code), f"study/{way}")

    pool.map(run, list(itertools.product(ways, ["works", "stops"])))
    for way in ways:
        assert (tmp_path / way / "log.txt").read_text() == f"went on as {(tmp_path / f'{way}_job').read_text()}\n"
