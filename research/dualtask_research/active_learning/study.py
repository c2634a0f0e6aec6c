"""What the strategies are worth on scans whose labels are known: annotation simulated with trainings of the bundle."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tqdm import tqdm

from dualtask import bundle_root
from dualtask.errors import InputError
from dualtask.evaluation.tables import read_scores, write_scores
from dualtask.files import write_atomically
from dualtask.scans import decathlon_datalist, split
from dualtask.scans.datalists import Case
from dualtask_research.active_learning.looks import read_looks
from dualtask_research.active_learning.selection import SELECTIONS, Looks
from dualtask_research.active_learning.simulation import Learner, Round, simulate
from dualtask_research.jobs.commands import bundle_command
from dualtask_research.jobs.pool import JobPool
from dualtask_research.studies.plan import find_overlays

_WEIGHTS = "model.pt"


@dataclass(frozen=True)
class LearningStudy:
    """A simulated annotation (JSON files in ``configs/active_learning``).

    Attributes:
        name: of the file.
        description: what is simulated, and at what scale.
        pool: number of scans of each site that may be labelled.
        strategies: names in ``SELECTIONS``.
        seeds: of the scans that are labelled at the start, of chance and of the trainings.
        initial, batch, rounds: scans labelled at the start and in each further round, and number of trainings.
        steps: of each training, whatever the number of its scans.
        overlays: configs on top of the bundle's for training and inference alike.
        training, localiser_training, inference: settings (``id`` -> value) of these workflows.
        slurm: parameters of SLURM's jobs, for those who ask for such (:class:`dualtask_research.jobs.pool.JobPool`).
    """

    name: str
    description: str
    pool: Mapping[str, int]
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    initial: int
    batch: int
    rounds: int
    steps: int
    overlays: tuple[Path, ...]
    training: Mapping[str, Any]
    localiser_training: Mapping[str, Any]
    inference: Mapping[str, Any]
    slurm: Mapping[str, Any]


def read_learning_study(path: Path) -> LearningStudy:
    """Read a study; paths of overlays in it are relative to its file.

    Raises:
        InputError: the file is absent or is no study, or names a strategy or an overlay that does not exist.
    """
    if not path.is_file():
        raise InputError(f"There is no study {path}: name one of configs/active_learning.")
    try:
        content = json.loads(path.read_text())
        overlays = find_overlays(path, content.pop("overlays"))
        strategies, seeds = tuple(content.pop("strategies")), tuple(content.pop("seeds"))
        slurm = dict(content.pop("slurm", {}))
        study = LearningStudy(path.stem, overlays=overlays, strategies=strategies, seeds=seeds, slurm=slurm, **content)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"The study {path} cannot be read ({error!r}): compare it with configs/active_learning."
        ) from error
    if unknown := set(study.strategies) - set(SELECTIONS):
        raise InputError(f"The study {path} names the strategy {min(unknown)}: choose among {', '.join(SELECTIONS)}.")
    return study


def run_learning_study(study: LearningStudy, dataset_dir: Path, output_dir: Path, pool: JobPool) -> Path:
    """Run what is not yet done of a study.

    A fifth of the cases of each site is kept for scoring; the pool is taken from the others. A localiser is trained for
    each seed on the scans that are labelled at the start. Strategies that label the same scans share the training.

    Args:
        study: what to run.
        dataset_dir: Decathlon folder whose cases name their ``site``.
        output_dir: folder of all studies; a training lies in ``<output_dir>/<study>/seed<k>/<scans>``.
        pool: runs it; each strategy and seed is a sequence of trainings, and they go on side by side.

    Returns:
        ``cases.csv``: the rows of ``metrics.csv`` of each strategy and seed with ``labelled``, the number of scans.

    Raises:
        InputError: a site has fewer scans than its pool, a training was made with other settings, or one failed.
    """
    candidates, held_out = split(decathlon_datalist(dataset_dir), validation_fraction=0.2, seed=0)
    scans = _pool(study, candidates)
    folder = output_dir / study.name
    annotations = {
        seed: Annotation(study, dataset_dir, scans, held_out, folder / f"seed{seed}", seed, pool)
        for seed in study.seeds
    }
    sequences = list(itertools.product(study.seeds, study.strategies))
    with tqdm(total=len(sequences) * study.rounds, desc=study.name, unit="training") as progress:

        def annotate(sequence: tuple[int, str]) -> list[Round]:
            seed, strategy = sequence

            def train(labelled: list[int]) -> Learner:
                learner = annotations[seed].train(labelled)
                progress.update()
                return learner

            return simulate(SELECTIONS[strategy], train, len(scans), study.initial, study.batch, study.rounds, seed)

        results = pool.map(annotate, sequences)
    rows: list[dict[str, Any]] = []
    for (seed, strategy), rounds in zip(sequences, results, strict=True):
        for one in rounds:
            names = {"variant": strategy, "seed": seed, "labelled": len(one.labelled)}
            rows += [{**names, "test_site": row["site"], **row} for row in annotations[seed].scores(one.labelled)]
    write_scores(folder / "cases.csv", rows)
    return folder / "cases.csv"


class Annotation:
    """Trainings of one seed on labelled scans of the pool, each done once and kept on disk.

    Args:
        study: its settings.
        dataset_dir: folder that the cases are of.
        scans: cases that may be labelled.
        held_out: cases that score the networks.
        folder: of the trainings.
        seed: of the trainings.
        pool: runs them.
    """

    def __init__(
        self,
        study: LearningStudy,
        dataset_dir: Path,
        scans: Sequence[Case],
        held_out: Sequence[Case],
        folder: Path,
        seed: int,
        pool: JobPool,
    ) -> None:
        self.study = study
        self.dataset_dir = dataset_dir
        self.scans = scans
        self.held_out = held_out
        self.folder = folder
        self.seed = seed
        self.pool = pool
        self.start: Sequence[int] = ()

    def train(self, labelled: Sequence[int]) -> Learner:
        """Train on some scans of the pool, score the network, and look at the whole pool with it.

        The first call trains the localiser too, on the same scans; all strategies start with those.
        """
        self.start = self.start or tuple(labelled)
        self._run(self._localiser, [self._training(self._localiser, self.start, localise=True)])
        folder = self._folder(labelled)
        self._run(folder, [self._training(folder, labelled), self._evaluation(folder), self._look(folder)])
        # A structure that neither reference nor prediction shows has no Dice.
        dice = [row["dice"] for row in self.scores(labelled) if not math.isnan(row["dice"])]
        looks = read_looks(folder)
        lesion = looks.pop("lesion").tolist()
        groups = [(case["site"], found) for case, found in zip(self.scans, lesion, strict=True)]
        return Learner(fmean(dice), Looks(**looks, groups=groups))

    def scores(self, labelled: Sequence[int]) -> list[dict[str, Any]]:
        """Scores of the held-out cases by the network that was trained on some scans of the pool."""
        return read_scores(self._folder(labelled) / "metrics.csv")

    @property
    def _localiser(self) -> Path:
        return self.folder / "localiser"

    def _folder(self, labelled: Sequence[int]) -> Path:
        scans = hashlib.sha256(json.dumps(sorted(labelled)).encode()).hexdigest()[:12]
        return self.folder / f"{len(labelled):03d}_{scans}"

    def _run(self, folder: Path, commands: list[list[str]]) -> None:
        self.pool.run(folder, commands, f"{self.study.name}/{self.folder.name}/{folder.name}")

    def _training(self, folder: Path, labelled: Sequence[int], localise: bool = False) -> list[str]:
        configs = Path(bundle_root()) / "configs"
        cases = [self.scans[index] for index in sorted(labelled)]
        epochs = self.study.steps // len(cases)
        settings = {
            **(self.study.localiser_training if localise else self.study.training),
            "train#trainer#max_epochs": epochs,
            # As many steps in an epoch as there are scans, whatever goes into a step.
            "scans_per_epoch": "$@train#dataloader#batch_size * len(@train#dataset#data)",
            # The one validation, on a labelled scan, saves the last weights: nothing is chosen by it.
            "val_interval": epochs,
            "seed": self.seed,
            "output_dir": folder,
            "ckpt_dir": folder,
            "ckpt_name": _WEIGHTS,
            "tracking_uri": "",
            "resume": True,
        }
        stage = [configs / "localiser.json"] if localise else []
        overlays = [*stage, *self.study.overlays, _overlay(folder / "cases.json", [cases, cases[:1]])]
        return bundle_command("training", [configs / "train.json", *overlays], settings)

    def _evaluation(self, folder: Path) -> list[str]:
        scored = _overlay(self.folder / "cases.json", self.held_out)
        return self._inference("evaluating", Path(bundle_root()) / "configs" / "evaluate.json", scored, folder)

    def _look(self, folder: Path) -> list[str]:
        # Without labels: nothing may know them before the scans are chosen.
        scans = _overlay(self.folder / "pool.json", [{"image": case["image"]} for case in self.scans])
        return self._inference("looking", Path(__file__).with_name("looking.json"), scans, folder)

    def _inference(self, workflow: str, config: Path, cases: Path, folder: Path) -> list[str]:
        configs = [Path(bundle_root()) / "configs" / "inference.json", config, *self.study.overlays, cases]
        weights = {"weights": folder / _WEIGHTS, "localiser_weights": self._localiser / _WEIGHTS}
        folders = {"dataset_dir": self.dataset_dir, "output_dir": folder}
        return bundle_command(workflow, configs, {**self.study.inference, **weights, **folders})


def _pool(study: LearningStudy, candidates: Sequence[Case]) -> list[Case]:
    pool: list[Case] = []
    for site, count in study.pool.items():
        of_site = [case for case in candidates if case.get("site") == site]
        if len(of_site) < count:
            raise InputError(f"The pool of the study wants {count} scans of the site {site}: there are {len(of_site)}.")
        pool += of_site[:count]
    return pool


def _overlay(path: Path, cases: Sequence[Any]) -> Path:
    """A config that names the cases of a workflow."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps({"cases": cases}, indent=1)))
    return path
