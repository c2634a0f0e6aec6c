"""What is left of labels, weights and scores when real servers are killed, starved of disk or set on one folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import requests

from battery.servers import Server, started, wait_until

_DISK_SIZES = (0, 100, 1500)
"""Bytes that no file may exceed; the list of studies, and but for the last the labels, have more."""

_SAVES_BEFORE_KILL = 20

_EPOCHS_BEFORE_KILL = 2

_MANY = 1000
"""Epochs of a training that does not end by itself."""


@dataclass(frozen=True)
class ServerFault:
    """A kind of fault.

    Attributes:
        name: for readers.
        injected: how often.
        labels: saved labels that were looked for afterwards.
        wrong: what was found lost, half-written or answered wrongly.
    """

    name: str
    injected: int
    labels: int
    wrong: tuple[str, ...]


def server_faults(repository: Path, dataset: Path, folder: Path) -> Iterator[ServerFault]:
    """Inject all faults one after the other.

    Args:
        repository: a copy of the app and the bundle side by side, where weights may be written.
        dataset: synthetic scans and labels in the layout of the Decathlon.
        folder: empty, for studies and logs.
    """
    labels = _Labels(dataset, folder)
    with started(repository, labels.studies, [folder / "first", folder / "second"]) as (first, second):
        yield labels.fault("two servers on one folder", 1, _saved_by_turns(first, second, labels))
        second.kill()
        yield labels.fault("disk full while a label is saved", len(_DISK_SIZES), _full_disk(first, labels))
        first.train(epochs=_MANY)
        first.score()
        wait_until(lambda: first.training().get("epoch", 0) >= 1, seconds=120)
        _kill_while_saving(first, labels)
    with started(repository, labels.studies, [folder / "third"]) as (server,):
        wrong = [*labels.lost(server), *_finish_training_and_scoring(server, labels.studies)]
        yield labels.fault("kill -9 of the server and its tasks while it saves labels, trains and scores", 1, wrong)
        yield labels.fault("kill -9 of a training", 1, [*_training_goes_on(server), *labels.lost(server)])


class _Labels:
    """Labels of all studies; the n-th one of a study has n marked voxels more than the reference.

    Attributes:
        studies: folder of the scans.
        saved: study -> n of the last label whose saving was confirmed.
    """

    def __init__(self, dataset: Path, folder: Path) -> None:
        self.studies, self._outbox = folder / "studies", folder / "outbox"
        self.studies.mkdir(parents=True)
        self._outbox.mkdir()
        self.references: dict[str, nib.Nifti1Image] = {}
        for scan in sorted((dataset / "imagesTr").iterdir()):
            shutil.copy(scan, self.studies)
            self.references[scan.name.removesuffix(".nii.gz")] = nib.load(dataset / "labelsTr" / scan.name)
        self.saved = dict.fromkeys(self.references, 0)

    def save(self, server: Server, study: str) -> requests.Response:
        """Save the next label of a study."""
        number, reference = self.saved[study] + 1, self.references[study]
        voxels = np.asarray(reference.dataobj).astype(np.uint8)
        voxels.flat[:number] = 1
        path = self._outbox / f"{study}.nii.gz"
        nib.save(nib.Nifti1Image(voxels, reference.affine), path)
        answer = server.save_label(study, path)
        if answer.ok:
            self.saved[study] = number
        return answer

    def lost(self, server: Server) -> Iterator[str]:
        """What is wrong with the labels that a server has: each is the last that was confirmed, or the one after it."""
        if missing := self.saved.keys() - server.labelled():
            yield f"no label is listed for {', '.join(sorted(missing))}"
        for study, number in self.saved.items():
            marked = np.count_nonzero(server.label(study)) - np.count_nonzero(self.references[study].dataobj)
            if marked not in (number, number + 1):
                yield f"{study} has the label {marked} and not {number}"
            self.saved[study] = marked

    def fault(self, name: str, injected: int, wrong: Sequence[str] | Iterator[str]) -> ServerFault:
        """The record of a fault after which all labels were looked for."""
        return ServerFault(name, injected, len(self.saved), tuple(wrong))


def _saved_by_turns(first: Server, second: Server, labels: _Labels) -> Iterator[str]:
    """Both servers save at the same time; afterwards each has all labels."""
    halves = list(labels.saved)[::2], list(labels.saved)[1::2]
    with ThreadPoolExecutor(2) as pool:
        for study, answer in zip(
            [*halves[0], *halves[1]],
            pool.map(labels.save, [first] * len(halves[0]) + [second] * len(halves[1]), [*halves[0], *halves[1]]),
            strict=True,
        ):
            if not answer.ok:
                yield f"{study} could not be saved: {answer.text}"
    yield from labels.lost(first)
    yield from labels.lost(second)


def _full_disk(server: Server, labels: _Labels) -> Iterator[str]:
    """A label that finds no room is refused in a sentence, the one before stays, and it is saved once there is room."""
    study = next(iter(labels.saved))
    for size in _DISK_SIZES:
        with server.files_of_at_most(size):
            answer = labels.save(server, study)
        if answer.status_code != 507 or "disk is full" not in answer.json()["detail"]:
            yield f"with files of at most {size} bytes the answer was {answer.status_code}: {answer.text}"
        yield from labels.lost(server)
    if not labels.save(server, study).ok:
        yield "no label could be saved once there was room"


def _kill_while_saving(server: Server, labels: _Labels) -> None:
    def save_until_killed(study: str) -> None:
        with contextlib.suppress(requests.RequestException):
            while True:
                labels.save(server, study)

    with ThreadPoolExecutor(len(labels.saved)) as pool:
        end = sum(labels.saved.values()) + _SAVES_BEFORE_KILL
        for study in labels.saved:
            pool.submit(save_until_killed, study)
        wait_until(lambda: sum(labels.saved.values()) >= end, seconds=60)
        server.kill()


def _finish_training_and_scoring(server: Server, studies: Path) -> Iterator[str]:
    """The server has the shipped weights, knows of the interruption and can do both again."""
    if server.training()["state"] != "interrupted":
        yield f"the training is said to be {server.training()['state']}"
    yield from _broken_results(studies)
    server.train(epochs=1)
    server.score()
    for task in ("train", "scoring"):
        if (status := server.ended(task)) != "DONE":
            yield f"{task} ended {status}"
    if server.training()["state"] not in ("published", "rejected"):
        yield f"the training is {server.training()['state']}"
    yield from _broken_results(studies)


def _training_goes_on(server: Server) -> Iterator[str]:
    """A killed training is said to be interrupted, and goes on after its last epoch when it is asked for again."""
    server.train(epochs=_MANY)
    wait_until(lambda: server.training().get("epoch", 0) >= _EPOCHS_BEFORE_KILL, seconds=120)
    server.kill_training()
    killed = server.training()
    if killed["state"] != "interrupted":
        yield f"the killed training is said to be {killed['state']}"
    server.train(epochs=_MANY)
    wait_until(lambda: server.training().get("epoch", 0) not in (0, killed["epoch"]), seconds=120)
    if (epoch := server.training().get("epoch", 0)) <= killed["epoch"]:
        yield f"the training began anew: epoch {epoch} after {killed['epoch']}"
    server.stop_training()


def _broken_results(studies: Path) -> Iterator[str]:
    """Stored scores that cannot be read or lack their mask."""
    for record in (studies / "dualtask" / "results").rglob("[!.]*.json"):
        try:
            json.loads(record.read_text())
            np.asarray(nib.load(record.with_suffix(".nii.gz")).dataobj)
        except Exception as error:
            yield f"{record.name} is broken: {error}"
