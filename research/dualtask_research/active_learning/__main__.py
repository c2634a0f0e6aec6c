"""``python -m dualtask_research.active_learning <study>.json --dataset_dir <data> --output_dir <results>``."""

from __future__ import annotations

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask_research.active_learning.study import read_learning_study, run_learning_study
from dualtask_research.command_lines import job_pool, run_parser


def main() -> None:
    """Run a simulated annotation."""
    parser = run_parser("dualtask_research.active_learning", "Simulate annotation with several strategies.")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    study = read_learning_study(arguments.study)
    folders = arguments.dataset_dir.resolve(), arguments.output_dir.resolve()
    print("All results:", run_learning_study(study, *folders, job_pool(arguments, study.slurm)))


if __name__ == "__main__":
    main()
