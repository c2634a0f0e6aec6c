"""Training task: the bundle's fine-tuning behind MONAI Label's interface."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monai.bundle
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import device_list

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.scans import split
from lib.bundle import Bundle

logger = logging.getLogger(__name__)


class DualTaskTrain(BundleTrainTask):
    """Trains on the studies with a final label and writes the best weights to a folder of the app's own.

    The bundle's weights are never written to.

    Args:
        bundle: its ``configs/train.json`` is run, with ``configs/finetune.json`` on top to start from weights.
        training_dir: where weights (``model.pt``) and records (``training/``) go.
        current_weights: returns the file that training starts from.
        conf: what the server was started with.
    """

    def __init__(
        self, bundle: Bundle, training_dir: Path, current_weights: Callable[[], str], conf: dict[str, str]
    ) -> None:
        super().__init__(str(bundle.root), conf)
        self.training_dir = training_dir
        self.current_weights = current_weights

    def config(self) -> dict[str, Any]:
        return {"device": device_list(), "pretrained": True, "max_epochs": 50, "val_split": 0.2}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        print_input_errors_as_one_sentence()
        # MONAI Label 0.8.5 shows config() in the viewers but does not apply it to a request that says less.
        # Tracking is off: MLflow refuses the folders that tracking URIs used to name, and MONAI's handler for it dies
        # of the bundle's loss. TensorBoard events and history.json are written instead.
        # Several GPUs would need a multi-GPU config in the bundle; without one MONAI Label returns untrained.
        return super().__call__({**self.config(), **request, "tracking": "", "multi_gpu": False}, datastore)

    def _partition_datalist(
        self, datalist: list[dict[str, str]], request: dict[str, Any], shuffle: bool = False
    ) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        # MONAI Label 0.8.5 leaves training or validation empty where studies are few or val_split is 0, and without
        # validation no weights are ever saved.
        if not datalist:
            raise InputError("No study has a final label: save at least one before training.")
        if request["val_split"] > 0 and len(datalist) > 1:
            return split(datalist, validation_fraction=request["val_split"], seed=0)
        logger.warning("Validating on the training studies (%d): the Dice will be too good.", len(datalist))
        return datalist, datalist

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[dict[str, Any]]) -> None:
        """Nothing: run_single_gpu starts from weights by the bundle's own overlay.

        MONAI Label 0.8.5 crashes here on ``pretrained: false``, and would load the shipped weights for ever.
        """

    def run_single_gpu(self, request: dict[str, Any], overrides: dict[str, Any]) -> None:
        configs = [self.bundle_config_path]
        if request["pretrained"]:
            configs.append(str(Path(self.bundle_path) / "configs" / "finetune.json"))
            overrides["weights"] = self.current_weights()
        # As read from train.json alone they would undo the overlay's.
        del overrides[self.const.key_train_handlers()]
        overrides["ckpt_dir"] = str(self.training_dir)
        overrides["output_dir"] = str(self.training_dir / "training")
        # Weights are saved at a validation: a short training must reach one.
        overrides["val_interval"] = min(self.bundle_config.get("val_interval"), request["max_epochs"])
        monai.bundle.run(config_file=configs, meta_file=self.bundle_metadata_path, **overrides)
