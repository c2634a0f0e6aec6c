"""Inference on all studies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask

logger = logging.getLogger(__name__)


class BatchInfer(BatchInferTask):
    """Runs on machines without a GPU too, and passes over a scan that cannot be used."""

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable) -> dict[str, Any]:
        def infer_or_report(request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
            try:
                return infer(request, datastore)
            except HTTPException as error:
                logger.error("%s: %s", request["image"], error.detail)
                return {"error": error.detail}

        # MONAI Label 0.8.5 deals the scans out to the GPUs by default and divides by their number.
        multi_gpu = request.get("multi_gpu", True) and torch.cuda.is_available()
        return super().__call__({**request, "multi_gpu": multi_gpu}, datastore, infer_or_report)
