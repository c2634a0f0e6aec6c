"""What a federation consists of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtask.errors import InputError
from dualtask_research.federated.settings import plain_settings, training_configs

SITE_OVERLAY = "federated/site.json"
"""What distinguishes a site's training from one on its own, relative to ``configs``."""


@dataclass(frozen=True)
class Federation:
    """Sites that train together (JSON files in ``configs/federated``).

    Attributes:
        name: of the file.
        description: what it is to show, and at what scale.
        sites: names, each that of a folder of scans.
        unseen_site: of the cases that the result is tested with; none of the sites.
        seed: of the first weights; the sites' own follow it.
        rounds: how often weights are exchanged.
        local_epochs: of each site in a round.
        round_seconds: after which a round goes on without the sites that have not answered.
        overlays: on the bundle's ``train.json``, relative to ``configs``.
        training: settings of the training, id -> number or word.
    """

    name: str
    description: str
    sites: tuple[str, ...]
    unseen_site: str
    seed: int
    rounds: int
    local_epochs: int
    round_seconds: int
    overlays: tuple[str, ...]
    training: Mapping[str, Any]

    @property
    def configs(self) -> list[Path]:
        """Configs of a training outside the federation."""
        return training_configs(self.overlays)

    def settings_of(self, site: str) -> dict[str, Any]:
        """Settings of a site's training, alone or in the federation: the same scans are split off, and drawn."""
        return {**self.training, "seed": self.seed + self.sites.index(site)}


def read_federation(path: str | os.PathLike[str]) -> Federation:
    """Read a federation.

    Raises:
        InputError: the file is absent or states no federation, or an overlay that it names does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no federation {path}: name a file of configs/federated.")
    try:
        content = json.loads(path.read_text())
        federation = Federation(
            name=path.stem,
            description=content["description"],
            sites=tuple(content["sites"]),
            unseen_site=content["unseen_site"],
            seed=int(content["seed"]),
            rounds=int(content["rounds"]),
            local_epochs=int(content["local_epochs"]),
            round_seconds=int(content["round_seconds"]),
            overlays=tuple(content["overlays"]),
            training=dict(content["training"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} states no federation ({error!r}): compare it with configs/federated.") from error
    numbers = federation.rounds, federation.local_epochs, federation.round_seconds
    if min(numbers) < 1 or len(set(federation.sites)) < max(2, len(federation.sites)):
        raise InputError(f"{path} needs two sites or more, each once, and rounds, epochs, seconds of at least 1.")
    training_configs(federation.overlays)
    plain_settings(federation.training)
    return federation
