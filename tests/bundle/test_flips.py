"""Averaging over mirror images, with the shipped weights on a scan: it must not cost accuracy."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
import torch
from monai.transforms import Compose, CropForegroundd

from dualtask.inferers.heads import head_outputs
from dualtask.phantom.decathlon import write_decathlon
from dualtask.phantom.sites import SITES
from dualtask.scans import decathlon_datalist


@pytest.fixture
def region(workflow, tmp_path: Path) -> tuple[torch.Tensor, torch.Tensor, torch.nn.Module]:
    """Image [1, 1, X, Y, Z] and mask [X, Y, Z] around the pancreas of a synthetic scan, and the shipped network."""
    write_decathlon(tmp_path, [SITES["coastal"]], 2, seed=5000)
    case = decathlon_datalist(tmp_path)[0]
    training = workflow("train.json", dataset_dir=str(tmp_path)).parser
    around = CropForegroundd(["image", "label"], source_key="label", margin=8)
    scan = Compose([training.get_parsed_content("preprocessing"), around])(case)
    network = workflow("inference.json", workflow_type="infer", datalist=[]).parser.get_parsed_content("network")
    return scan["image"][None].as_tensor(), scan["label"][0].as_tensor() > 0, network.eval()


def test_the_mirror_images_of_the_contract_cost_no_accuracy_and_others_do(region, bundle_root):
    image, truth, network = region

    def dice(flips: list[list[int]]) -> float:
        found = head_outputs(image, network, flips)[0, 0].cpu() > 0
        return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))

    contract = json.loads((bundle_root / "configs" / "metadata.json").read_text())["network_data_format"]
    trained = [[axis] for axis in contract["inputs"]["image"]["mirrored_axes"]]
    with torch.no_grad():
        alone, averaged = dice([]), dice(trained)
        on_all_axes = dice([list(axes) for count in (1, 2, 3) for axes in combinations(range(3), count)])
    assert alone > 0.8
    assert averaged > alone - 0.01
    assert on_all_axes < averaged - 0.05
