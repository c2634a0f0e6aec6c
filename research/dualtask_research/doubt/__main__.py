"""``python -m dualtask_research.doubt <Decathlon folder> --output_dir <results>``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import dualtask
from dualtask.errors import print_input_errors_as_one_sentence
from dualtask.scans import decathlon_datalist, hold_out, split
from dualtask_research.chain import read_chain
from dualtask_research.doubt.collect import results_of_versions, training_embeddings
from dualtask_research.doubt.fit import Row, familiar_embeddings, fit, table, write_model
from dualtask_research.doubt.results import read_evaluated, write_results

_VALIDATION_FRACTION = 0.2
"""As ``configs/train.json`` of the bundle has it."""


def main() -> None:
    """Fit the model of doubt on the validation cases of a training and on spoilt versions of them."""
    models = Path(dualtask.bundle_root()) / "models"
    parser = argparse.ArgumentParser(prog="python -m dualtask_research.doubt", description=main.__doc__)
    parser.add_argument("dataset_dir", type=Path, help="Decathlon folder that the weights were trained on")
    parser.add_argument("--output_dir", type=Path, required=True, help="for results.csv and the preprocessed scans")
    parser.add_argument("--weights", type=Path, default=models / "model.pt")
    parser.add_argument("--localiser_weights", type=Path, default=models / "localiser.pt")
    parser.add_argument("--model", type=Path, default=models / "doubt.json", help="the file to write")
    parser.add_argument("--cache_dir", type=Path, help="of the training, which spares reading the scans again")
    parser.add_argument("--without_sites", nargs="*", default=[], help="sites that the training left out")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--held_out", type=Path, help="config whose `case_names` the training held out by name")
    parser.add_argument("--per_site", type=int, default=8, help="training scans of each site that are looked at")
    parser.add_argument("--evaluated", type=Path, nargs="*", default=[], help="output folders of further evaluations")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    torch.set_num_threads(1)

    start = time.monotonic()
    cache_dir = arguments.cache_dir or arguments.output_dir / "cache"
    cases = decathlon_datalist(arguments.dataset_dir, without_sites=arguments.without_sites)
    if arguments.held_out:
        training, validation = hold_out(cases, json.loads(arguments.held_out.read_text())["case_names"])
    else:
        training, validation = split(cases, _VALIDATION_FRACTION, arguments.seed)
    chain = read_chain(str(arguments.weights), str(arguments.localiser_weights))
    familiar = familiar_embeddings(training_embeddings(training, chain, cache_dir, arguments.per_site))
    results = [result for folder in arguments.evaluated for result in read_evaluated(folder)]
    for result in results_of_versions(validation, chain, cache_dir, familiar):
        print(f"{time.monotonic() - start:4.0f} s  {result.case}, {result.version}: Dice {result.dice:.2f}", flush=True)
        results.append(result)
    write_results(arguments.output_dir / "results.csv", results)
    model, scored = fit(results, familiar)
    write_model(arguments.model, model, scored)
    print(f"\nEach patient judged by a model fitted without it, flagged from {model.threshold:.2f}")
    _print(table(scored, model.threshold))
    print(
        "\nWeights:",
        ", ".join(f"{name} {term.weight:.2f}" for name, term in model.terms.items() if term.weight > 0.005),
    )


def _print(rows: Sequence[Row]) -> None:
    print(f"{'':20}{'failed':>8}{'flagged':>9}{'good':>8}{'flagged in vain':>17}")
    for row in rows:
        print(f"{row.name:20}{row.failed:8}{row.failed_flagged:9}{row.good:8}{row.good_flagged:17}")


if __name__ == "__main__":
    main()
