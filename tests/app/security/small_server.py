"""MONAI Label's own server with a small app: one model, one strategy, no network to run. The scans are synthetic."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from fastapi import FastAPI
from monailabel.endpoints import datastore as datastore_endpoints
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from starlette.testclient import TestClient

STUDY = "case_1"
MODEL = "pancreas"
UPLOAD_LIMIT_MB = 2


def scan_bytes(side: int = 8) -> bytes:
    """A NIfTI file whose voxels are all different."""
    voxels = np.arange(side**3, dtype=np.int16).reshape(side, side, side) - 100
    return nib.Nifti1Image(voxels, np.eye(4)).to_bytes()


def label_bytes(*values: int) -> bytes:
    """A NIfTI file of a label map with these values, on the voxels of the scan."""
    voxels = np.zeros((8, 8, 8), np.uint8)
    voxels[0, 0, : len(values)] = values
    return nib.Nifti1Image(voxels, np.eye(4)).to_bytes()


class SizeOfTheScan(InferTask):
    """Answers with the path and the size of the file that it was made to read."""

    def __init__(self, weights: Path) -> None:
        super().__init__(InferType.SEGMENTATION, {"pancreas": 1}, 3, "Size of the scan")
        self.path = [str(weights)]
        self.network = torch.nn.Linear(2, 1)

    def is_valid(self) -> bool:
        return True

    def info(self) -> dict[str, Any]:
        return {**super().info(), "config": {"device": ["cpu"], "threshold": 0.5, "flips": [1, 8], "refine": True}}

    def __call__(self, request: dict[str, Any], callbacks: Any = None) -> tuple[None, dict[str, Any]]:
        return None, {"read": request["image"], "size": Path(request["image"]).stat().st_size}


class NoTraining(TrainTask):
    """Stands for a training."""

    def config(self) -> dict[str, Any]:
        return {"device": ["cpu"], "max_epochs": 50, "val_split": 0.2, "pretrained": True}

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        return {}


class SmallApp(MONAILabelApp):
    """MONAI Label's own app with one model."""

    def init_infers(self) -> dict[str, InferTask]:
        return {MODEL: SizeOfTheScan(Path(self.app_dir) / "model" / "model.pt")}

    def init_trainers(self) -> dict[str, TrainTask]:
        return {MODEL: NoTraining("No training")}

    def init_strategies(self) -> dict[str, Any]:
        return {"first": First()}


def new_server() -> FastAPI:
    """MONAI Label's own FastAPI app, loaded anew and under another name than the server process loads it."""
    path = Path(datastore_endpoints.__file__).parents[1] / "app.py"
    specification = importlib.util.spec_from_file_location("stock_monailabel_app", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.app


def client_of(app: FastAPI, address: str = "127.0.0.1") -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8000", client=(address, 50000), raise_server_exceptions=False)
