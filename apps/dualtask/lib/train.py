"""Training task: the bundle's fine-tuning behind MONAI Label's interface."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import monai.bundle
from filelock import FileLock, Timeout
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import device_list, name_to_device

from dualtask.errors import InputError, find_input_error, print_input_errors_as_one_sentence
from dualtask.evaluation import read_scores
from dualtask.files import write_atomically
from dualtask.scans import LoadScand
from dualtask.structures import STRUCTURES
from lib.bundle import Bundle
from lib.cases import Case, divide, replayed, stamp, unlabelled
from lib.datastore import StudyFolder
from lib.options import GO_BACK, TRAINING_PANEL, TrainingOptions
from lib.progress import TrainingProgress
from lib.server import is_server
from lib.versions import WeightVersions

logger = logging.getLogger(__name__)

_LOW_PRIORITY = 10
"""Niceness of the process, so that the server on the same machine answers first."""


class DualTaskTrain(BundleTrainTask):
    """Trains on the studies with a final label, and publishes the weights if they are not worse than the current ones.

    Other studies take part without a label. The bundle's weights are never written to. A training that was killed is
    continued from its last whole epoch by the next one, if this is asked the same of the same studies and labels.

    Args:
        bundle: its ``configs/train.json`` is run, with ``configs/finetune.json`` on top to start from weights.
        versions: of the weights; training starts from the current one.
        conf: what the server was started with.
    """

    def __init__(self, bundle: Bundle, versions: WeightVersions, conf: dict[str, str]) -> None:
        super().__init__(str(bundle.root), conf)
        self.versions = versions
        self.folder = versions.folder / "training"
        self.progress = TrainingProgress(self.folder)

    def config(self) -> dict[str, Any]:
        return {"device": device_list(), **TRAINING_PANEL}

    def info(self) -> dict[str, Any]:
        return {**super().info(), "version": self.versions.name}

    def stats(self) -> dict[str, Any]:
        published = [
            {name: version[name] for name in ("number", "parent", "time", "dice", "dice_before")}
            for version in self.versions.records
        ]
        return {"version": self.versions.name, "training": self.progress.read(), "published": published}

    def __call__(self, request: dict[str, Any], datastore: StudyFolder) -> dict[str, Any]:
        """Train, or go back to the version before, as ``action`` says.

        Returns:
            ``version`` that is served now.

        Raises:
            InputError: an option or a label cannot be used, no study has a final label, a training is running, or
                there is no version to go back to.
        """
        print_input_errors_as_one_sentence()
        # MONAI Label 0.8.5 shows config() in the viewers but does not apply it to a request that says less.
        options = TrainingOptions.of({**self.config(), **request})
        request = {**request, **asdict(options), "device": name_to_device(request.get("device"))}
        with self._alone():
            if options.action == GO_BACK:
                self.versions.go_back()
            else:
                self._train_and_judge(request, datastore)
        return {"version": self.versions.name}

    def _alone(self) -> AbstractContextManager:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(self.folder / ".lock").acquire(timeout=0)
        except Timeout as error:
            raise InputError("A training is running already: wait for its end, or stop it.") from error

    def _train_and_judge(self, request: dict[str, Any], datastore: StudyFolder) -> None:
        if not is_server():
            os.nice(_LOW_PRIORITY)
        labelled = [{key: case[key] for key in ("image", "label")} for case in datastore.datalist()]
        if not labelled:
            raise InputError("No study has a final label: save at least one before training.")
        taught = self.versions.taught
        teachers, judges = divide(labelled, taught)
        if judges == teachers:
            logger.warning("The only labelled study teaches and judges: the Dice will be too good.")
        teachers = replayed(teachers, taught)
        at_hand = filter(None, map(datastore.scan_at_hand, datastore.get_unlabeled_images()))
        others = _usable(unlabelled(at_hand, len(teachers)))
        facts = {
            "max_epochs": request["max_epochs"],
            "teaching": len(teachers),
            "without_label": len(others),
            "judging": len(judges),
        }
        try:
            self.progress.write("training", **facts)
            # Tracking is off: MLflow refuses the folders that tracking URIs used to name, and MONAI's handler for it
            # dies of the bundle's loss. TensorBoard events and history.json are written instead.
            # Several GPUs would need a multi-GPU config in the bundle; without one MONAI Label returns untrained.
            plain = {"tracking": "", "multi_gpu": False, "gpus": "all"}
            super().__call__({**request, **plain, "teaching": [*teachers, *others], "judging": judges}, datastore)
            self.progress.write("judging", **facts)
            before = self._dice(self.versions.path, judges, request["device"])
            after = self._dice(self._candidate, judges, request["device"])
            if fmean(after.values()) >= fmean(before.values()):
                stamps = [stamp(case) for case in teachers]
                self.versions.publish(self._candidate, {"dice": after, "dice_before": before, "taught": stamps})
                self.progress.write("published", **facts, dice=after, dice_before=before)
            else:
                logger.warning("The new weights are worse on the held-out studies: the current ones stay.")
                self.progress.write("rejected", **facts, dice=after, dice_before=before)
            self._plan.unlink()
        except Exception as error:
            self._plan.unlink(missing_ok=True)
            sentence = find_input_error(error) or f"{type(error).__name__}: see the server's log."
            self.progress.write("failed", **facts, error=str(sentence))
            raise

    @property
    def _candidate(self) -> Path:
        return self.folder / "candidate" / "model.pt"

    @property
    def _plan(self) -> Path:
        """What the training of the candidate was asked; there until it ends, so that only a killed one leaves it."""
        return self._candidate.with_name("plan.json")

    def _dice(self, weights: Path, judges: list[Case], device: str) -> dict[str, float]:
        """Mean Dice of each structure through the whole chain from scan to mask.

        A structure that is rightly not found counts 1; left out, it would make a false alarm as good as none.
        """
        output = self.folder / "judging"
        shutil.rmtree(output, ignore_errors=True)
        configs = Path(self.bundle_path) / "configs"
        monai.bundle.run(
            "evaluating",
            config_file=[str(configs / "inference.json"), str(configs / "evaluate.json")],
            meta_file=self.bundle_metadata_path,
            cases=judges,
            synthetic=False,  # by itself it asks the data set, which would be made first
            weights=str(weights),
            output_dir=str(output),
            device=device,
        )
        rows = read_scores(output / "metrics.csv")
        return {
            structure: fmean(
                1.0 if math.isnan(row["dice"]) else row["dice"] for row in rows if row["structure"] == structure
            )
            for structure in STRUCTURES
        }

    def _fetch_datalist(self, request: dict[str, Any], datastore: StudyFolder) -> list[Case]:
        return request["teaching"]

    def _partition_datalist(
        self, datalist: list[Case], request: dict[str, Any], shuffle: bool = False
    ) -> tuple[list[Case], list[Case]]:
        return request["teaching"], request["judging"]

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[dict[str, Any]]) -> None:
        """Nothing: run_single_gpu starts from weights by the bundle's own overlay.

        MONAI Label 0.8.5 crashes here on ``pretrained: false``, and would load the shipped weights for ever.
        """

    def run_single_gpu(self, request: dict[str, Any], overrides: dict[str, Any]) -> None:
        configs = [self.bundle_config_path]
        if request["pretrained"]:
            configs.append(str(Path(self.bundle_path) / "configs" / "finetune.json"))
            overrides["weights"] = str(self.versions.path)
        # As read from train.json alone they would undo the overlay's.
        del overrides[self.const.key_train_handlers()]
        overrides["resume"] = self._continues(request)
        overrides["ckpt_dir"] = str(self._candidate.parent)
        overrides["ckpt_name"] = self._candidate.name
        overrides["output_dir"] = str(self.folder)
        monai.bundle.run(config_file=configs, meta_file=self.bundle_metadata_path, **overrides)

    def _continues(self, request: dict[str, Any]) -> bool:
        """Whether a killed training was asked the same; if not, what it left is removed."""
        plan = json.dumps(
            {
                "weights": self.versions.digest if request["pretrained"] else None,
                "max_epochs": request["max_epochs"],
                "cases": [
                    [case["image"], stamp(case) if "label" in case else None]
                    for case in [*request["teaching"], *request["judging"]]
                ],
            }
        )
        if self._plan.is_file() and self._plan.read_text() == plan:
            return True
        shutil.rmtree(self._candidate.parent, ignore_errors=True)
        (self.folder / "history.json").unlink(missing_ok=True)
        write_atomically(self._plan, lambda temporary: temporary.write_text(plan))
        return False


def _usable(cases: list[Case]) -> list[Case]:
    """The cases whose scan can be read: one that cannot is no reason to end a training that does not need it."""
    load = LoadScand("image")
    usable = []
    for case in cases:
        try:
            load({"image": case["image"]})
            usable.append(case)
        except InputError as error:
            logger.warning("Left out: %s", error)
    return usable
