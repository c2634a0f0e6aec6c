"""``python -m dualtask_research.studies configs/studies/<study>.json --dataset_dir <data> --output_dir <results>``."""

from __future__ import annotations

import shlex

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask_research.command_lines import job_pool, run_parser
from dualtask_research.studies import plan_runs, read_study, run_study
from dualtask_research.studies.runner import commands, further_commands


def main() -> None:
    """Run a study, or print its commands."""
    parser = run_parser("dualtask_research.studies", "Run a study of variants at sites that are left out of training.")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none")
    parser.add_argument("--no-tracking", action="store_true", help="no record in MLflow, which then need not be there")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    study = read_study(arguments.study)
    dataset_dir, output_dir = arguments.dataset_dir.resolve(), arguments.output_dir.resolve()
    if arguments.dry_run:
        folder, runs = output_dir / study.name, plan_runs(study)
        for run in runs:
            for command in commands(study, run, dataset_dir, folder):
                print(shlex.join(command))
        for name in study.evaluations:
            for run in runs:
                if run.variant:
                    print(*map(shlex.join, further_commands(study, run, name, dataset_dir, folder)))
        return
    pool = job_pool(arguments, study.slurm)
    print("All results:", run_study(study, dataset_dir, output_dir, pool, tracking=not arguments.no_tracking))


if __name__ == "__main__":
    main()
