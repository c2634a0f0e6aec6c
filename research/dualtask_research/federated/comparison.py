"""A federation against what its sites could do alone, and with all their scans in one place."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask.evaluation import case_name
from dualtask.files import write_atomically, write_table
from dualtask.scans import decathlon_datalist
from dualtask.structures import STRUCTURES
from dualtask_research.federated.network import write_initial_weights
from dualtask_research.federated.plan import Federation
from dualtask_research.federated.settings import training_configs
from dualtask_research.jobs.commands import Commands, bundle_command

COLUMNS = ("variant", "seed", "test_site", "case", "structure", "dice")
"""Of ``cases.csv``; ``seed`` is the site of a network that was trained alone, 0 of others."""

ALONE, FEDERATED, POOLED = "alone", "federated", "pooled"

_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}

_RAW_SCORES = "val_mean_dice_raw.csv"
_TEST = "test"


def run_comparison(plan: Path, federation: Federation, data_dir: Path, output_dir: Path) -> Path:
    """Train what is not yet trained, each as a process of its own, and score the last weights of each.

    Args:
        plan: file of the federation.
        federation: what it states.
        data_dir: a Decathlon folder for each site, named as the site, and ``test`` with the cases to score.
        output_dir: folder of the results; the networks lie in folders of their own.

    Returns:
        ``cases.csv``, see :data:`COLUMNS`.

    Raises:
        InputError: a folder of scans is absent, a run failed, or was made with other settings.
    """
    sites = {case_name(case["image"]): str(case["site"]) for case in decathlon_datalist(data_dir / _TEST)}
    _pool(federation, data_dir)
    initial = output_dir / "initial.pt"
    if not initial.is_file():
        write_initial_weights(initial, federation.configs, federation.training, federation.seed)
    rows: list[tuple[str, ...]] = []
    for variant, seed, folder, training in tqdm(list(_trainings(plan, federation, data_dir, output_dir))):
        scoring = bundle_command(
            "scoring",
            training_configs([*federation.overlays, "federated/score.json"]),
            {
                "weights": folder / "model.pt",
                "dataset_dir": data_dir / _TEST,
                "output_dir": folder / _TEST,
                "train#dataloader#num_workers": 0,
                "tracking_uri": "",
            },
        )
        if failure := Commands(folder, [training, scoring], _ENVIRONMENT).run():
            raise InputError(failure)
        rows += _scores(folder / _TEST / _RAW_SCORES, variant, seed, sites)
    write_table(output_dir / "cases.csv", COLUMNS, rows)
    return output_dir / "cases.csv"


def _trainings(
    plan: Path, federation: Federation, data_dir: Path, output_dir: Path
) -> Iterator[tuple[str, str, Path, list[str]]]:
    """Variant, seed, folder and command of each network."""
    epochs = federation.rounds * federation.local_epochs
    configs = [federation.configs[0], Path(bundle_root()) / "configs" / "finetune.json", *federation.configs[1:]]

    def command(dataset_dir: Path, folder: Path, settings: dict[str, Any]) -> list[str]:
        own = {"weights": output_dir / "initial.pt", "dataset_dir": dataset_dir, "output_dir": folder}
        last = {"ckpt_dir": folder, "train#trainer#max_epochs": epochs, "val_interval": epochs, "tracking_uri": ""}
        return bundle_command("training", configs, {**settings, **own, **last})

    for site in federation.sites:
        folder = output_dir / f"{ALONE}_{site}"
        yield ALONE, site, folder, command(data_dir / site, folder, federation.settings_of(site))
    folder = output_dir / POOLED
    yield POOLED, "0", folder, command(data_dir / POOLED, folder, {**federation.training, "seed": federation.seed})
    folder = output_dir / FEDERATED
    federated = [sys.executable, "-m", "dualtask_research.federated", "train", str(plan)]
    weights = ["--weights", str(output_dir / "initial.pt")]
    yield FEDERATED, "0", folder, [*federated, "--data_dir", str(data_dir), "--output_dir", str(folder), *weights]


def _pool(federation: Federation, data_dir: Path) -> None:
    """A data set that lists the scans of all sites where they lie."""
    cases = [case for site in federation.sites for case in decathlon_datalist(data_dir / site)]
    content = {"name": "pooled", "description": "the scans of all sites", "training": cases}
    write_atomically(
        data_dir / POOLED / "dataset.json", lambda temporary: temporary.write_text(json.dumps(content, indent=1))
    )


def _scores(path: Path, variant: str, seed: str, sites: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Rows of a network from MONAI's table, which has a column for each structure; NaN where a case has none of it."""
    with path.open(newline="") as file:
        for filename, *scores in list(csv.reader(file))[1:]:
            name = case_name(filename)
            for structure, dice in zip(STRUCTURES, scores, strict=False):
                yield variant, seed, sites[name], name, structure, f"{float(dice):.4f}"
