"""What the commands of the studies are asked in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path


def run_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Arguments of a command that runs a study: ``study``, ``dataset_dir``, ``output_dir`` and ``threads``."""
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("study", type=Path)
    parser.add_argument("--dataset_dir", type=Path, required=True, help="Decathlon folder whose cases name their site")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    return parser


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
