"""Inference task: the bundle's inference config behind MONAI Label's interface."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms import SaveImaged, SqueezeDimd
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.utils.others.generic import device_list, name_to_device
from torch import nn

from dualtask.errors import InputError
from dualtask.networks import load_weights
from dualtask.nifti import save_nifti
from lib.bundle import Bundle


class DualTaskInfer(BundleInferTask):
    """Segments a scan with the newest weights: those of the last training here, or else the shipped ones.

    The mask comes back in the scan's geometry, because the bundle's postprocessing inverts its preprocessing; the
    ``Restored`` that MONAI Label appends does not undo the orientation and stays out.

    Args:
        bundle: its ``configs/inference.json`` is run.
        training_dir: folder where training writes ``model.pt``.
        conf: what the server was started with.

    Raises:
        InputError: the bundle's weights are absent or unusable.
    """

    def __init__(self, bundle: Bundle, training_dir: Path, conf: dict[str, str]) -> None:
        super().__init__(
            str(bundle.root), conf, post_filter=[SaveImaged], extend_load_image=False, add_post_restore=False
        )
        # MONAI Label 0.8.5 leaves a bundle without weights half-built and serves whatever network it finds, trained
        # or not: here nothing starts unless all weights load.
        if not self.is_valid():
            raise InputError(f"No weights at {bundle.root / 'models' / 'model.pt'}: train them or copy them there.")
        self.path = [*self.path, str(training_dir / "model.pt")]
        # The panel's list of files in the bundle would win over the newest weights, and takes any path.
        self._config.pop("model_filename")
        device = name_to_device(device_list())
        self._get_network(device, None)
        self.inferer({"device": device})

    def run_pre_transforms(self, data: dict[str, Any], transforms: Sequence[Callable]) -> dict[str, Any]:
        # MONAI >= 1.6 updates the meta data under every key that starts with "image_", and MONAI Label 0.8.5 puts the
        # string image_path there, which Spacingd then dies of. The writer needs it for the file type only.
        data = {key: value for key, value in data.items() if key != "image_path"}
        return super().run_pre_transforms(data, transforms)

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        return [*super().post_transforms(data), SqueezeDimd(keys=self.key_pred)]

    def writer(
        self, data: dict[str, Any], extension: str | None = None, dtype: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        extension = extension or data.get("result_extension") or ".nii.gz"
        if extension not in (".nii", ".nii.gz"):
            return super().writer(data, extension, dtype)
        # MONAI Label 0.8.5 writes NIfTI by ITK, which drops the shear of a tilted gantry, and MONAI 1.6.1 cannot write
        # a scan whose axes are permuted.
        mask, affine = data[self.key_pred].array, data[self.key_pred].affine.cpu().numpy()
        descriptor, path = tempfile.mkstemp(suffix=extension)
        os.close(descriptor)
        save_nifti(path, mask.astype(dtype or data.get("result_dtype") or mask.dtype), affine)
        return path, {}

    def _get_network(self, device: str, data: Mapping[str, Any] | None) -> nn.Module:
        path = self.get_path()
        changed = os.stat(path).st_mtime_ns
        cached = self._networks.get(device)
        if cached is None or cached[1] != (path, changed):
            network = load_weights(copy.deepcopy(self.network), path).to(device)
            self._networks[device] = cached = (network, (path, changed))
        return cached[0]

    def _update_device(self, data: Mapping[str, Any] | None) -> None:
        # MONAI Label 0.8.5 exchanges the device but keeps what was built for the one before, here the localiser.
        device = (data or {}).get(self.const.key_device())
        if device and device != self.bundle_config.config[self.const.key_device()]:
            self.bundle_config[self.const.key_device()] = device
            self.bundle_config.parse(reset=True)
