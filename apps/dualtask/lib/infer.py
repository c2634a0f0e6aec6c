"""Inference task: the bundle's inference config behind MONAI Label's interface."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import SaveImaged, SqueezeDimd
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.utils.others.generic import device_list, name_to_device

from dualtask.active_learning import bottleneck_embeddings
from dualtask.errors import InputError, find_input_error
from dualtask.networks import DualTaskNet, load_weights
from dualtask.nifti import save_nifti
from dualtask.refinement import ScanMaps, keeping_maps
from dualtask.scans.reading import read_volume
from lib.bundle import Bundle
from lib.options import PANEL, SegmentationOptions
from lib.results import Result, ResultStore
from lib.versions import WeightVersions

STUDY = "study"
"""Entry of a request that names the study whose scan is segmented; an uploaded scan has none."""

_FACTS = ("doubt", "indicators", "scan_uncertainty", "embedding")
"""What of a result a viewer is told beside the mask; ``doubt`` is its score and, where it is high, the sentence."""


class DualTaskInfer(BundleInferTask):
    """Segments a scan with the current weights.

    The mask comes back in the scan's geometry, because the bundle's postprocessing inverts its preprocessing; the
    ``Restored`` that MONAI Label appends does not undo the orientation and stays out.

    One scan is segmented at a time, since two at once would each take twice as long; a stored result need not wait.

    Args:
        bundle: its ``configs/inference.json`` is run.
        versions: of the weights.
        results: where the results of studies are kept.
        conf: what the server was started with.

    Raises:
        InputError: the bundle's weights or its model of doubt are absent or unusable.
    """

    def __init__(self, bundle: Bundle, versions: WeightVersions, results: ResultStore, conf: dict[str, str]) -> None:
        super().__init__(
            str(bundle.root), conf, post_filter=[SaveImaged], extend_load_image=False, add_post_restore=False
        )
        # MONAI Label 0.8.5 leaves a bundle without weights half-built and serves whatever network it finds, trained
        # or not: here nothing starts unless all weights load.
        if not self.is_valid():
            raise InputError(f"No weights at {bundle.root / 'models' / 'model.pt'}: train them or copy them there.")
        self.versions = versions
        self.results = results
        # The panel's list of files in the bundle would win over the newest weights, and takes any path.
        self._config.pop("model_filename")
        self._config.update(PANEL)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="inference")
        device = name_to_device(device_list())
        self._get_network(device, None)
        super().inferer({"device": device})
        super().post_transforms({"device": device})

    def info(self) -> dict[str, Any]:
        return {**super().info(), "version": self.versions.name}

    def get_path(self, validate: bool = True) -> str:
        return str(self.versions.path)

    def __call__(self, request: dict[str, Any], callbacks: dict | None = None) -> tuple[str, dict[str, Any]]:
        """Segment a scan, or take the stored result of a study.

        Raises:
            InputError: the scan or an option cannot be used.
        """
        options = SegmentationOptions.of(request)
        if STUDY not in request:
            result = self._worker.submit(self._segment, request).result()
            try:
                return self._answer(result, request)
            finally:
                result.discard()
        result = self.stored(request["image"], options) or self._worker.submit(self._segment_once, request).result()
        return self._answer(result, request)

    def stored(self, scan: str, options: SegmentationOptions | None = None) -> Result | None:
        """The stored result of a scan with the current weights, by default with the panel's default options."""
        return self.results.find(scan, self.versions.digest, options or SegmentationOptions())

    def scan_maps(self, scan: str) -> ScanMaps:
        """The network's maps of a scan with the panel's default options, for corrections.

        Raises:
            InputError: the scan cannot be used.
        """
        return self._worker.submit(self._scan_maps, scan).result()

    def _scan_maps(self, scan: str) -> ScanMaps:
        device = name_to_device(device_list())
        data = {"image": scan, "device": device}
        data = self.run_pre_transforms(data, self.pre_transforms(data))
        data = self.run_inferer(data, device=device)
        data = self.run_post_transforms(data, keeping_maps(super().post_transforms(data)))
        return ScanMaps.of(read_volume(scan), data)

    def _segment_once(self, request: dict[str, Any]) -> Result:
        """Segment a study unless that was done while this request waited for its turn."""
        scan, options = request["image"], SegmentationOptions.of(request)
        if (stored := self.stored(scan, options)) is not None:
            return stored
        weights = self.versions.digest
        try:
            result = self._segment(request)
        except Exception as error:
            if (input_error := find_input_error(error)) is not None:
                self.results.save(scan, weights, options, Result(None, {"error": str(input_error)}, ()))
            raise
        try:
            return self.results.save(scan, weights, options, result)
        finally:
            result.discard()

    def _segment(self, request: dict[str, Any]) -> Result:
        version = self.versions.name
        plain = {"result_extension": ".nii.gz", "result_dtype": None, "result_write_to_file": True}
        path, params = super().__call__({**request, **plain})
        embedding = tuple(params.pop("embedding"))
        return Result(Path(path), {**params, "version": version}, embedding)

    def _answer(self, result: Result, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if result.mask is None:
            raise InputError(result.params["error"])
        return self.written(result.mask, request), result.params

    def written(self, stored: Path, request: dict[str, Any]) -> str:
        """A mask as a file in the format that a request asks for, to be removed by whoever answers it."""
        extension = request.get("result_extension") or ".nii.gz"
        if extension == ".nii.gz" and not request.get("result_dtype"):
            descriptor, path = tempfile.mkstemp(suffix=extension)
            os.close(descriptor)
            shutil.copyfile(stored, path)
            return path
        return self.written_mask(read_volume(stored)[0].to(torch.uint8), request)

    def written_mask(self, mask: MetaTensor, request: Mapping[str, Any]) -> str:
        """A mask [X, Y, Z] as a file in the format that a request asks for, to be removed by whoever answers it."""
        return self.writer({**request, self.key_pred: mask}, request.get("result_extension") or ".nii.gz")[0]

    def run_pre_transforms(self, data: dict[str, Any], transforms: Sequence[Callable]) -> dict[str, Any]:
        # MONAI >= 1.6 updates the meta data under every key that starts with "image_", and MONAI Label 0.8.5 puts the
        # string image_path there, which Spacingd then dies of. The writer needs it for the file type only.
        data = {key: value for key, value in data.items() if key != "image_path"}
        return super().run_pre_transforms(data, transforms)

    def inferer(self, data: dict[str, Any] | None = None) -> Inferer:
        return SegmentationOptions.of(data or {}).of_inferer(super().inferer(data))

    def run_inferer(self, data: dict[str, Any], convert_to_batch: bool = True, device: str = "cuda") -> dict[str, Any]:
        with bottleneck_embeddings(self._get_network(device, data)) as embeddings:
            data = super().run_inferer(data, convert_to_batch, device)
        data["embedding"] = torch.stack(embeddings).mean(0).tolist() if embeddings else []
        return data

    def post_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Callable]:
        transforms = SegmentationOptions.of(data or {}).of_transforms(super().post_transforms(data))
        return [*transforms, SqueezeDimd(keys=self.key_pred)]

    def writer(
        self, data: dict[str, Any], extension: str | None = None, dtype: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        extension = extension or data.get("result_extension") or ".nii.gz"
        facts: dict[str, Any] = {name: data[name] for name in _FACTS if name in data}
        if "measurements" in data:  # not where a stored mask is written in another format
            facts["measurements"] = data["measurements"].as_dict()
        if extension not in (".nii", ".nii.gz"):
            path, params = super().writer(data, extension, dtype)
            return path, {**params, **facts}
        # MONAI Label 0.8.5 writes NIfTI by ITK, which drops the shear of a tilted gantry, and MONAI 1.6.1 cannot write
        # a scan whose axes are permuted.
        mask, affine = data[self.key_pred].array, data[self.key_pred].affine.cpu().numpy()
        descriptor, path = tempfile.mkstemp(suffix=extension)
        os.close(descriptor)
        save_nifti(path, mask.astype(dtype or data.get("result_dtype") or mask.dtype), affine)
        return path, facts

    def _get_network(self, device: str, data: Mapping[str, Any] | None) -> DualTaskNet:
        path, digest = self.get_path(), self.versions.digest
        cached = self._networks.get(device)
        if cached is None or cached[1] != digest:
            network = load_weights(copy.deepcopy(self.network), path).to(device)
            self._networks[device] = cached = (network, digest)
        return cached[0]

    def _update_device(self, data: Mapping[str, Any] | None) -> None:
        # MONAI Label 0.8.5 exchanges the device but keeps what was built for the one before, here the localiser.
        device = (data or {}).get(self.const.key_device())
        if device and device != self.bundle_config.config[self.const.key_device()]:
            self.bundle_config[self.const.key_device()] = device
            self.bundle_config.parse(reset=True)
