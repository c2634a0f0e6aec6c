"""What faulty sites do to a federation: NVFlare's simulator, three rounds, four synthetic sites of which three fail.

``PYTHONPATH=bundle:research:benchmarks python benchmarks/federated_faults.py --data <folder> --output <file>``, where
the folder holds one of scans for the site ``alpine``. The sites train by MONAI's MonaiAlgo, two steps a round.
Afterwards the last round's mean is computed anew from what the sites sent, and the run ends in an error where the
server's differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nvflare.apis.fl_context import FLContext

from dualtask.errors import print_input_errors_as_one_sentence
from dualtask.files import write_atomically
from dualtask_research.federated.executor import SiteExecutor
from dualtask_research.federated.network import write_initial_weights
from dualtask_research.federated.plan import SITE_OVERLAY
from dualtask_research.federated.settings import training_configs
from dualtask_research.federated.simulation import simulate
from dualtask_research.federated.site import SiteTraining
from dualtask_research.federated.updates import Weights, mean_weights

OVERLAYS = ["studies/coarse_grid.json"]
SETTINGS = {"scans_per_epoch": 4, "train#dataloader#num_workers": 0}
ROUNDS = 3
FAULTY_ROUND = 2

DEEDS = {
    "steady": "answers in every round",
    "broken": "sends NaN in round 2",
    "stranger": "sends weights of another network in round 2",
    "leaver": "its process ends in round 2",
}
"""Site -> what it does."""


class FaultyTraining:
    """A site's training that fails in one round, and keeps what it sends for the check."""

    def __init__(self, training: SiteTraining, kept: Path) -> None:
        self.training = training
        self.kept = kept
        self.round = 0

    def train(self, received: Weights) -> tuple[dict[str, np.ndarray], int]:
        self.round += 1
        weights, steps = self.training.train(received)
        if self.round == FAULTY_ROUND:
            if self.training.name == "leaver":
                os._exit(1)
            if self.training.name == "broken":
                weights = {name: values * np.nan for name, values in weights.items()}
            if self.training.name == "stranger":
                weights = {f"other.{name}": values for name, values in weights.items()}
        np.savez(self.kept / f"{self.training.name}_{self.round}.npz", **weights)
        return weights, steps

    def abort(self) -> None:
        self.training.abort()


class FaultySite(SiteExecutor):
    """A site that keeps what it sends in ``kept``, and fails as :data:`DEEDS` says of its name."""

    def __init__(self, overlays: list[str], settings: dict[str, Any], local_epochs: int, kept: str) -> None:
        super().__init__(overlays, settings, local_epochs)
        self.kept = kept

    def build(self, fl_ctx: FLContext) -> Any:
        return FaultyTraining(super().build(fl_ctx), Path(self.kept))


def run(data: Path, output: Path, scratch: Path) -> None:
    """Simulate, compare, and write who was in the mean of each round and what the server's log says."""
    shutil.rmtree(scratch, ignore_errors=True)
    kept = scratch / "sent"
    kept.mkdir(parents=True)
    initial, result = scratch / "initial.pt", scratch / "model.pt"
    write_initial_weights(initial, training_configs(OVERLAYS), SETTINGS, seed=0)
    settings = {**SETTINGS, "rounds": ROUNDS, "dataset_dir": str(data / "alpine")}
    sites = {
        name: FaultySite([*OVERLAYS, SITE_OVERLAY], {**settings, "seed": seed}, 1, str(kept))
        for seed, name in enumerate(DEEDS)
    }
    simulate(sites, initial, result, scratch / "nvflare", ROUNDS, round_seconds=300)
    log = (scratch / "nvflare" / "server" / "log.txt").read_text()
    means = [found.split(", ") for found in re.findall(r"The mean of \d of \d sites: ([\w, ]+)\.", log)]
    sentences = re.findall(rf"\b((?:{'|'.join(DEEDS)}) (?:sent|gave) [^\n]*the round goes on\.)", log)
    last = mean_weights([dict(np.load(kept / f"{name}_{ROUNDS}.npz")) for name in means[-1]])
    written = torch.load(result, weights_only=True)
    if len(means) != ROUNDS or any(not np.array_equal(written[name], values) for name, values in last.items()):
        raise SystemExit("error: the result is not the mean of the usable updates.")
    if means[FAULTY_ROUND - 1] != ["steady"]:
        raise SystemExit(f"error: in round {FAULTY_ROUND} the mean had {means[FAULTY_ROUND - 1]}.")
    rounds = {name: [number for number, names in enumerate(means, 1) if name in names] for name in DEEDS}
    content = {
        "rounds": ROUNDS,
        "sites": [(name, deed, rounds[name]) for name, deed in DEEDS.items()],
        "sentences": list(dict.fromkeys(sentences)),
    }
    write_atomically(output, lambda temporary: temporary.write_text(json.dumps(content, indent=1) + "\n"))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sites' folders of scans")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    data = arguments.data.resolve()
    run(data, arguments.output, data.parent / "faults")


if __name__ == "__main__":
    # NVFlare's processes build the sites by the name of their module.
    import federated_faults

    federated_faults.main()
