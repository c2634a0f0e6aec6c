"""What is written while a process may die or the disk fill up: a label, a training, weights, scores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine

from battery.given import nifti
from battery.labels import LABEL
from dualtask.handlers import LastCheckpoint
from dualtask.networks import load_weights
from lib.datastore import StudyFolder
from lib.options import SegmentationOptions
from lib.results import Result, ResultStore
from lib.versions import WeightVersions


@dataclass(frozen=True)
class Work:
    """Something that writes files.

    Attributes:
        name: for readers.
        prepare: makes the state before in an empty folder.
        do: writes; its process may be killed anywhere.
        damage: what a process that starts afterwards finds wrong, "" if nothing is.
    """

    name: str
    prepare: Callable[[Path], object]
    do: Callable[[Path], object]
    damage: Callable[[Path], str]


_OLD, _NEW = LABEL.voxels, np.roll(LABEL.voxels, 1)


def _open(folder: Path) -> StudyFolder:
    return StudyFolder(str(folder / "studies"), extensions=["*.nii.gz"])


def _prepare_labels(folder: Path) -> None:
    (folder / "studies").mkdir()
    for name in ("corrected", "other"):
        nifti(folder / "studies" / f"{name}.nii.gz")
    nifti(folder / "old.nii.gz", _OLD)
    nifti(folder / "new.nii.gz", _NEW)
    for name in ("corrected", "other"):
        _open(folder).save_label(name, str(folder / "old.nii.gz"), "final", {"client_id": "reader"})


def _save_label(folder: Path) -> None:
    _open(folder).save_label("corrected", str(folder / "new.nii.gz"), "final", {"client_id": "reader"})


def _damage_of_labels(folder: Path) -> str:
    store = _open(folder)
    if sorted(store.get_labeled_images()) != ["corrected", "other"] or len(store.list_images()) != 2:
        return f"labelled are {store.get_labeled_images()} of {store.list_images()}"
    for study, allowed in {"corrected": (_OLD, _NEW), "other": (_OLD,)}.items():
        label = np.asarray(nib.load(store.get_label_uri(study, "final")).dataobj)
        if not any(np.array_equal(label, voxels) for voxels in allowed):
            return f"the label of {study} is neither the old nor the new one"
        if store.get_label_info(study, "final").get("annotator") != "reader":
            return f"who labelled {study} is forgotten"
    return ""


_EPOCHS = 3


def _train(folder: Path, ends_in: int = _EPOCHS) -> torch.nn.Module:
    """A training whose every epoch adds one to its weights, continued from where it was, and broken off in an epoch."""
    network = torch.nn.Linear(40, 40)
    torch.nn.init.zeros_(network.weight)

    def step(engine: Engine, batch: object) -> None:
        if engine.state.epoch > ends_in:
            raise KeyboardInterrupt
        with torch.no_grad():
            network.weight += 1

    trainer = Engine(step)
    trainer.scaler = None
    LastCheckpoint(str(folder / "last.pt"), {"network": network}, {}, resume=True).attach(trainer)
    with contextlib.suppress(KeyboardInterrupt):
        trainer.run([None], max_epochs=_EPOCHS)
    return network


def _damage_of_training(folder: Path) -> str:
    weights = torch.load(folder / "last.pt", weights_only=True)["network"]["weight"].unique().tolist()
    ends_with = _train(folder).weight.unique().tolist()
    if weights[0] < 1 or ends_with != [_EPOCHS]:
        return f"resumed from {weights} the training ends with {ends_with}"
    return ""


def _network(value: int) -> torch.nn.Module:
    network = torch.nn.Linear(40, 40)
    torch.nn.init.constant_(network.weight, value)
    return network


def _versions(folder: Path) -> WeightVersions:
    return WeightVersions(folder / "model", folder / "shipped.pt", "1.0")


def _prepare_weights(folder: Path) -> None:
    for number, name in enumerate(("shipped", "first", "second")):
        torch.save(_network(number).state_dict(), folder / f"{name}.pt")
    _versions(folder).publish(folder / "first.pt", {"taught": ["a"]})


def _publish(folder: Path) -> None:
    _versions(folder).publish(folder / "second.pt", {"taught": ["b"]})


def _damage_of_weights(folder: Path) -> str:
    versions = _versions(folder)
    number = versions.current
    value = load_weights(_network(-1), str(versions.path)).weight.unique().tolist()
    if number not in (1, 2) or value != [number] or len(versions.records) != number:
        return f"version {number} has the weights {value}"
    return ""


def _prepare_scores(folder: Path) -> None:
    nifti(folder / "scan.nii.gz")
    for name, voxels in (("old", _OLD), ("new", _NEW)):
        nifti(folder / f"{name}.nii.gz", voxels)
    _score(folder, "old")


def _score(folder: Path, mask: str = "new") -> None:
    result = Result(folder / f"{mask}.nii.gz", {"version": mask}, (1.0,))
    ResultStore(folder / "results").save(str(folder / "scan.nii.gz"), mask, SegmentationOptions(), result)


def _damage_of_scores(folder: Path) -> str:
    results, masks = ResultStore(folder / "results"), {"old": _OLD, "new": _NEW}
    found = {name: results.find(str(folder / "scan.nii.gz"), name, SegmentationOptions()) for name in masks}
    if not any(found.values()):
        return "no score is left"
    for name, result in found.items():
        if result is not None and not np.array_equal(np.asarray(nib.load(result.mask).dataobj), masks[name]):
            return f"the {name} mask is not whole"
    return ""


WORK = [
    Work("saving a label", _prepare_labels, _save_label, _damage_of_labels),
    Work("training", lambda folder: _train(folder, ends_in=1), _train, _damage_of_training),
    Work("publishing weights", _prepare_weights, _publish, _damage_of_weights),
    Work("scoring", _prepare_scores, _score, _damage_of_scores),
]
