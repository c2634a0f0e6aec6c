"""What the commands of the studies are asked in the same words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtask_research.jobs.pool import JobPool, slurm_parameters


def run_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Arguments of a command that runs a study: ``study``, ``dataset_dir``, ``output_dir``, and :func:`job_pool`'s."""
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("study", type=Path)
    parser.add_argument("--dataset_dir", type=Path, required=True, help="Decathlon folder whose cases name their site")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time on each GPU, or without any")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument(
        "--slurm",
        nargs="*",
        metavar="NAME=VALUE",
        help="submit jobs to SLURM: partition=gpu gpus_per_node=1 time=480 (minutes); the study may name more",
    )
    return parser


def job_pool(arguments: argparse.Namespace, slurm: Mapping[str, Any]) -> JobPool:
    """Where a study runs.

    Args:
        arguments: of :func:`run_parser`.
        slurm: what the study says of SLURM's jobs.

    Raises:
        InputError: see :class:`JobPool` and :func:`slurm_parameters`.
    """
    return JobPool(arguments.jobs, arguments.threads, slurm_parameters(slurm, arguments.slurm))


def report_parser(prog: str, description: str | None, studies: str) -> argparse.ArgumentParser:
    """Arguments of a command that writes what came of a study: ``study``, ``cases``, ``output_dir``, ``synthetic``.

    Args:
        prog: module that is run.
        description: of the command.
        studies: folder of such studies.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("study", type=Path, help=f"the JSON file of {studies}")
    parser.add_argument("--cases", type=Path, required=True, help="cases.csv that the study wrote")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--synthetic", action="store_true", help="the scans are computed")
    return parser
