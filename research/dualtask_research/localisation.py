"""``python -m dualtask_research.localisation <Decathlon folder>``: how often the localiser's box holds the pancreas."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import dualtask
from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.evaluation import case_name
from dualtask.files import write_table
from dualtask.inferers.evidence import overlap
from dualtask.scans import decathlon_datalist
from dualtask.scans.datalists import Case
from dualtask_research.chain import Chain, preprocessed, read_chain

HELD = 0.95
"""Share of the reference's pancreas that a box must hold to count as right."""


class Located(NamedTuple):
    """A case of which the localiser was asked.

    Attributes:
        share: of the voxels of the reference's pancreas, lesions with it, in the region that the fine stage sees first;
            0 where the localiser finds nothing, although the chain then slides over the whole scan.
        dice: of the localiser's organ with the reference's.
    """

    case: str
    site: str
    share: float
    dice: float


def locate(cases: Sequence[Case], chain: Chain, cache_dir: str | os.PathLike[str]) -> Iterator[Located]:
    """Ask the localiser of each case; those whose reference holds no pancreas are passed over.

    Args:
        cases: with ``label``.
        chain: whose inferer has the localiser.
        cache_dir: for the preprocessed scans.
    """
    for case, scan in preprocessed(cases, chain, cache_dir):
        reference = scan["label"][0].numpy() > 0
        if not reference.any():
            continue
        organ = chain.inferer.localise(scan["image"][None]).organ
        held = reference[chain.inferer.region_around(organ)].sum() if organ.any() else 0
        share = held / reference.sum()
        yield Located(case_name(case["image"]), str(case.get("site", "")), float(share), overlap(organ, reference))


def main() -> None:
    """Say of each labelled scan how much of its pancreas lies in the region that the localiser points to."""
    models = Path(dualtask.bundle_root()) / "models"
    parser = argparse.ArgumentParser(prog="python -m dualtask_research.localisation", description=main.__doc__)
    parser.add_argument("dataset_dir", type=Path, help="Decathlon folder")
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="for localisation.csv and the preprocessed scans"
    )
    parser.add_argument("--localiser_weights", type=Path, default=models / "localiser.pt")
    parser.add_argument("--sites", nargs="*", help="those whose scans are asked of; all by default")
    parser.add_argument("--held_out", type=Path, help="config whose `case_names` alone are asked of")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()

    cases = [case for case in decathlon_datalist(arguments.dataset_dir, sites=arguments.sites) if "label" in case]
    if arguments.held_out:
        names = json.loads(arguments.held_out.read_text())["case_names"]
        cases = [case for case in cases if case_name(case["image"]) in names]
    if not cases:
        raise InputError(f"{arguments.dataset_dir} has no such labelled scan: name other sites or cases.")
    chain = read_chain(str(models / "model.pt"), str(arguments.localiser_weights))
    located = []
    for each in locate(cases, chain, arguments.output_dir / "cache"):
        print(
            f"{each.case} ({each.site}): {each.share:.1%} of the pancreas in the box, Dice {each.dice:.2f}", flush=True
        )
        located.append(each)
    write_table(arguments.output_dir / "localisation.csv", Located._fields, located)
    right = sum(each.share >= HELD for each in located)
    print(f"The localiser's box holds {HELD:.0%} of the pancreas in {right} of {len(located)} scans.")


if __name__ == "__main__":
    main()
