"""``python -m dualtask_research.federated train | compare | report configs/federated/<file>.json ...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask_research.federated.comparison import run_comparison
from dualtask_research.federated.network import write_initial_weights
from dualtask_research.federated.page import write_page
from dualtask_research.federated.plan import SITE_OVERLAY, Federation, read_federation


def main() -> None:
    """Train sites together by NVFlare's simulator, compare that with training alone and pooled, write the page."""
    parser = argparse.ArgumentParser(prog="python -m dualtask_research.federated", description=main.__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    train = tasks.add_parser("train", help="the federation alone; its weights are <output_dir>/model.pt")
    train.add_argument("--weights", type=Path, help="weights to begin with; without them random ones")
    compare = tasks.add_parser("compare", help="the federation, each site alone, all scans in one place: cases.csv")
    report = tasks.add_parser("report", help="tables of a comparison as a page")
    for task in (train, compare, report):
        task.add_argument("plan", type=Path, help="a file of configs/federated")
    for task in (train, compare):
        task.add_argument("--data_dir", type=Path, required=True, help="a Decathlon folder for each site, of its name")
        task.add_argument("--output_dir", type=Path, required=True)
    report.add_argument("--results", type=Path, required=True, help="output_dir of the comparison")
    report.add_argument("--faults", type=Path, required=True, help="JSON file of benchmarks/federated_faults.py")
    report.add_argument("--table", type=Path, required=True, help="CSV file to write: the scores of each case")
    report.add_argument("--page", type=Path, required=True, help="Markdown file to write")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    federation = read_federation(arguments.plan)
    if arguments.task == "report":
        write_page(federation, arguments.results, arguments.faults, arguments.table, arguments.page)
        return
    data_dir, output_dir = arguments.data_dir.resolve(), arguments.output_dir.resolve()
    if arguments.task == "train":
        _train(federation, data_dir, output_dir, arguments.weights)
        print("The weights are at", output_dir / "model.pt")
    else:
        print("All scores:", run_comparison(arguments.plan.resolve(), federation, data_dir, output_dir))


def _train(federation: Federation, data_dir: Path, output_dir: Path, weights: Path | None) -> None:
    try:
        from dualtask_research.federated.executor import SiteExecutor
        from dualtask_research.federated.simulation import simulate
    except ImportError as error:
        raise InputError(f"NVFlare cannot be imported ({error}): install requirements-dev.txt.") from error
    initial = output_dir / "initial.pt"
    write_initial_weights(initial, federation.configs, federation.training, federation.seed, weights)
    sites = {
        site: SiteExecutor(
            overlays=[*federation.overlays, SITE_OVERLAY],
            settings={
                **federation.settings_of(site),
                "rounds": federation.rounds,
                "dataset_dir": str(data_dir / site),
            },
            local_epochs=federation.local_epochs,
        )
        for site in federation.sites
    }
    simulate(
        sites, initial, output_dir / "model.pt", output_dir / "nvflare", federation.rounds, federation.round_seconds
    )


if __name__ == "__main__":
    main()
