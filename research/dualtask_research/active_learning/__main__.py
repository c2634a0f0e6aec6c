"""``python -m dualtask_research.active_learning <study>.json --dataset_dir <data> --output_dir <results>``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask_research.active_learning.study import read_learning_study, run_learning_study


def main() -> None:
    """Run a simulated annotation."""
    parser = argparse.ArgumentParser(
        prog="python -m dualtask_research.active_learning", description="Simulate annotation with several strategies."
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--dataset_dir", type=Path, required=True, help="Decathlon folder whose cases name their site")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    study = read_learning_study(arguments.study)
    folders = arguments.dataset_dir.resolve(), arguments.output_dir.resolve()
    print("All results:", run_learning_study(study, *folders, arguments.threads))


if __name__ == "__main__":
    main()
