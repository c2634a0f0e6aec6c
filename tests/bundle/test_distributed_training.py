"""A training in several processes is the training of one process that sees the same scans."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from small_workflows import SMALL_GRID

KEYS = ["image", "label", "known"]
WITHOUT_CHANCE = {
    # The paper's backbone has a dropout.
    "network_def#backbone": {"_target_": "dualtask.networks.SegResNetBackbone", "width": 8},
    # Its steps are counted in batches, of which one process needs more.
    "train#lr_scheduler": {
        "_target_": "torch.optim.lr_scheduler.ConstantLR",
        "optimizer": "@optimizer",
        "factor": 1.0,
    },
    "image_format": SMALL_GRID,
    "validate#crop#margin": [0, 0, 0],
    "val_interval": 1,
    "tracking_uri": "",
    "views": ["$torch.nn.Identity()"],
    # The head of this term then has no gradient.
    "loss#weights#feature_contrast": 0.0,
    "train#dataset#data": "$@cases[0][:2]",
    "train#dataloader#num_workers": 0,
    "train#dataloader#batch_size": 1,
    "train#hiding#prob": 0.0,
    "train#trainer#max_epochs": 3,
    "train#crop#transforms": [
        {"_target_": "SpatialPadd", "keys": KEYS, "spatial_size": "$@image_format['spatial_shape']"},
        {"_target_": "CenterSpatialCropd", "keys": KEYS, "roi_size": "$@image_format['spatial_shape']"},
        {"_target_": "SelectItemsd", "keys": [*KEYS, "annotated"]},
    ],
    "train#augmentation#transforms": [
        {"_target_": "dualtask.transforms.StructureMasksd", "keys": "label"},
        {
            "_target_": "dualtask.transforms.SignedDistanced",
            "keys": "label",
            "spacing": "@grid_spacing",
            "truncation": "@truncation",
        },
        {"_target_": "dualtask.transforms.ContrastSitesd", "keys": "label", "spacing": "@grid_spacing"},
    ],
}


def train(bundle_root: Path, dataset: Path, folder: Path, launcher: list[str], overlays: list[dict | Path]) -> list:
    """Train by the command; returns the history."""
    configs = [bundle_root / "configs" / "train.json"]
    for number, overlay in enumerate(overlays):
        if isinstance(overlay, dict):
            path = folder.with_name(f"{folder.name}_{number}.json")
            path.write_text(json.dumps(overlay))
            overlay = path
        configs.append(overlay)
    command = [*launcher, "-m", "monai.bundle", "run", "training", "--config_file", repr([*map(str, configs)])]
    command += ["--meta_file", str(bundle_root / "configs" / "metadata.json")]
    command += ["--logging_file", str(bundle_root / "configs" / "logging.conf")]
    for name, value in {"dataset_dir": dataset, "output_dir": folder, "ckpt_dir": folder}.items():
        command += [f"--{name}", str(value)]
    outcome = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False, env=os.environ)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    return json.loads((folder / "history.json").read_text())


@pytest.fixture
def partly_known(small_dataset: Path, tmp_path: Path) -> Path:
    """The small dataset, of whose scans ever more slices are not known."""
    folder = shutil.copytree(small_dataset, tmp_path / "partly_known")
    content = json.loads((folder / "dataset.json").read_text())
    for number, case in enumerate(content["training"]):
        scan = nib.load(folder / case["image"])
        voxels = np.array(scan.dataobj)
        voxels[..., : voxels.shape[2] * (number + 1) // 10] = case["unknown"] = -2000
        nib.save(nib.Nifti1Image(voxels, scan.affine), folder / case["image"])
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_two_processes_give_the_loss_curve_and_the_weights_of_one_with_the_same_batch(
    bundle_root, partly_known, tmp_path
):
    # One process takes both scans one after the other, and steps when it has seen both; two see one each.
    in_order = {"_target_": "torch.utils.data.SequentialSampler", "data_source": "@train#dataset"}
    divided = {"_target_": "monai.data.DistributedSampler", "dataset": "@train#dataset", "shuffle": False}
    alone = {**WITHOUT_CHANCE, "accumulation_steps": 2, "train#sampler": in_order}
    one = train(bundle_root, partly_known, tmp_path / "one", [sys.executable], [alone])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    multi_gpu = bundle_root / "configs" / "multi_gpu_train.json"
    two = train(
        bundle_root, partly_known, tmp_path / "two", torchrun, [WITHOUT_CHANCE, multi_gpu, {"train#sampler": divided}]
    )
    assert [epoch["loss"] for epoch in two] == pytest.approx([epoch["loss"] for epoch in one], rel=1e-5)
    assert one[-1]["loss"] < one[0]["loss"]
    assert two[-1]["validation"] == pytest.approx(one[-1]["validation"], abs=1e-4)
    for ours, theirs in zip(one, two, strict=True):
        assert theirs["diagnostics"] == pytest.approx(ours["diagnostics"], rel=1e-2, abs=1e-2)
    expected, states = (torch.load(tmp_path / name / "model_last.pt", weights_only=True) for name in ("one", "two"))
    for network in ("model", "averaged"):
        for name, values in expected[network].items():
            torch.testing.assert_close(states[network][name], values, atol=1e-4, rtol=1e-4, msg=name)
