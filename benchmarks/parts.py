"""The parts of the bundle's workflows that benchmarks time, as the configs declare them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from dualtask import bundle_root

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def inference_parts(**overrides: Any) -> Callable[[str], Any]:
    """Gives the parts of ``inference.json`` by their ids."""
    return _parts("inference.json", "infer", overrides)


def training_parts(folder: str, **overrides: Any) -> Callable[[str], Any]:
    """Gives the parts of ``train.json`` by their ids, for a dataset that also takes the outputs."""
    return _parts("train.json", "train", {"dataset_dir": folder, "output_dir": folder, "tracking_uri": "", **overrides})


def _parts(config: str, kind: str, overrides: dict[str, Any]) -> Callable[[str], Any]:
    configs = Path(bundle_root()) / "configs"
    workflow = ConfigWorkflow(
        str(configs / config),
        meta_file=str(configs / "metadata.json"),
        workflow_type=kind,
        logging_file=False,
        **overrides,
    )
    workflow.initialize()
    return workflow.parser.get_parsed_content


def timed(step: Callable[..., Any], *values: Any) -> tuple[Any, float]:
    """What a step returns, and its seconds; work that it leaves to a GPU is waited for."""
    started = time.perf_counter()
    result = step(*values)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - started
