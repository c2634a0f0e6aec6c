"""What a study consists of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtask.errors import InputError
from dualtask.structures import STRUCTURES

Settings = Mapping[str, Any]

LOCALISER = "localiser"
"""Name of the runs that train the localiser, one for each fold; all variants and seeds share it."""

_SITES_OF_A_FOLD = "+"


@dataclass(frozen=True)
class Variant:
    """One way to train: overlays on the bundle's training, the seeds it is repeated with, and its own settings.

    Attributes:
        overlays: configs on top of the study's own.
        seeds: of weights, split and augmentation.
        training, inference: settings that replace the study's, for example another backbone.
    """

    name: str
    overlays: tuple[Path, ...]
    seeds: tuple[int, ...]
    training: Settings
    inference: Settings


@dataclass(frozen=True)
class Study:
    """A comparison at sites that are left out of training (JSON files in ``configs/studies``).

    A cross-validation is one, too: there the folds of the patients are the sites, see
    :func:`dualtask_research.sites.folds.deal_folds`.

    Attributes:
        name: of the file.
        description: what is compared, and at what scale.
        folds: sites that are left out together, in turn, by the name of the fold: theirs, joined by "+".
        overlays: configs on top of the bundle's for training and inference alike.
        training_overlays: further ones of the trainings alone, the localiser's, too; variants' own come behind them.
        training, localiser_training, inference: settings (``id`` -> value) of these workflows.
        variants: what is compared.
        evaluations: further evaluations of the same weights by other ways of inference: name -> overlays on it.
        endpoints: structure -> sites whose cases answer the question; all, where it names none.
        slurm: parameters of SLURM's jobs, for those who ask for such (:class:`dualtask_research.jobs.pool.JobPool`).
    """

    name: str
    description: str
    folds: Mapping[str, tuple[str, ...]]
    overlays: tuple[Path, ...]
    training_overlays: tuple[Path, ...]
    training: Settings
    localiser_training: Settings
    inference: Settings
    variants: tuple[Variant, ...]
    evaluations: Mapping[str, tuple[Path, ...]]
    endpoints: Mapping[str, Sequence[str]]
    slurm: Settings


@dataclass(frozen=True)
class Run:
    """One training with what follows it: a variant, the fold whose sites it does not see, and a seed."""

    variant: Variant | None
    test_site: str
    seed: int

    @property
    def name(self) -> str:
        """Folder of the run below the study's."""
        return f"{self.variant.name if self.variant else LOCALISER}/{self.test_site}/seed{self.seed}"


def read_study(path: str | os.PathLike[str]) -> Study:
    """Read a study; paths of overlays in it are relative to its file.

    Raises:
        InputError: the file is absent or is no study, or an overlay that it names does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no study {path}: name one of configs/studies.")

    try:
        content = json.loads(path.read_text())
        default_seeds = content["seeds"]
        folds = _folds(content["test_sites"])
        variants = tuple(
            Variant(
                name=name,
                overlays=find_overlays(path, variant.get("overlays", [])),
                seeds=tuple(variant.get("seeds", default_seeds)),
                training=variant.get("training", {}),
                inference=variant.get("inference", {}),
            )
            for name, variant in content["variants"].items()
        )
        return Study(
            name=path.stem,
            description=content["description"],
            folds=folds,
            overlays=find_overlays(path, content.get("overlays", [])),
            training_overlays=find_overlays(path, content.get("training_overlays", [])),
            training=content.get("training", {}),
            localiser_training=content.get("localiser_training", {}),
            inference=content.get("inference", {}),
            variants=variants,
            evaluations={
                name: find_overlays(path, overlays) for name, overlays in content.get("evaluations", {}).items()
            },
            endpoints=_endpoints(path, content.get("endpoints", {}), folds),
            slurm=dict(content.get("slurm", {})),
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The study {path} cannot be read ({error!r}): compare it with configs/studies.") from error


def _folds(test_sites: Sequence[str | Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Sites of each fold by its name; an entry is one site or several that are left out together."""
    folds = [(entry,) if isinstance(entry, str) else tuple(entry) for entry in test_sites]
    return {_SITES_OF_A_FOLD.join(sites): sites for sites in folds}


def _endpoints(
    study: Path, endpoints: Mapping[str, Sequence[str]], folds: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    tested = {site for sites in folds.values() for site in sites}
    if strange := sorted(endpoints.keys() - set(STRUCTURES)):
        raise InputError(f"The study {study} has an endpoint of {strange[0]}: name {' or '.join(STRUCTURES)}.")
    if strange := sorted({site for sites in endpoints.values() for site in sites} - tested):
        raise InputError(f"The study {study} has an endpoint at {strange[0]}, which no fold leaves out: correct it.")
    return {structure: tuple(sites) for structure, sites in endpoints.items()}


def find_overlays(study: Path, listed: Sequence[str]) -> tuple[Path, ...]:
    """The overlays that a study lists; their paths are relative to its file.

    Raises:
        InputError: one of them does not exist.
    """
    found = tuple((study.parent / overlay).resolve() for overlay in listed)
    for overlay in found:
        if not overlay.is_file():
            raise InputError(f"The study {study} names the overlay {overlay.name}, which does not exist: correct it.")
    return found


def plan_runs(study: Study) -> list[Run]:
    """All runs: the localisers, then seed by seed so that an interrupted study has compared what it could."""
    runs = [localiser_of(study, site) for site in study.folds]
    for seed in sorted({seed for variant in study.variants for seed in variant.seeds}):
        for site in study.folds:
            runs += [Run(variant, site, seed) for variant in study.variants if seed in variant.seeds]
    return runs


def localiser_of(study: Study, test_site: str) -> Run:
    """The run that trains the localiser of a fold, with the first seed of the study."""
    return Run(None, test_site, min(seed for variant in study.variants for seed in variant.seeds))
