"""nnU-Net v2's own predictor on a scan: its default plan for scans like this one, random weights, mirroring.

Run by ``inference.py`` with the Python of an environment that has ``nnunetv2``. One tile is timed, all mirror images of
it, which takes minutes on a CPU, and multiplied by the tiles of the scan; reading, resampling and writing are not
counted.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from memory import peak_gib


def plan(scan: Path, work: Path) -> tuple[dict, dict]:
    """Plans and dataset description that nnU-Net makes for a dataset of this scan."""
    for part in ("raw", "preprocessed", "results"):
        (work / part).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{part}"] = str(work / part)
    # nnU-Net reads these variables when it is imported.
    import nibabel as nib
    import numpy as np
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments

    dataset = work / "raw" / "Dataset001_scan"
    for folder in ("imagesTr", "labelsTr"):
        (dataset / folder).mkdir(parents=True, exist_ok=True)
    image = nib.load(scan)
    label = np.zeros(image.shape, np.uint8)
    label[tuple(slice(side // 3, side // 2) for side in image.shape)] = 1
    (dataset / "imagesTr" / "scan_0000.nii.gz").unlink(missing_ok=True)
    (dataset / "imagesTr" / "scan_0000.nii.gz").symlink_to(scan.resolve())
    nib.save(nib.Nifti1Image(label, image.affine), dataset / "labelsTr" / "scan.nii.gz")
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "pancreas": 1, "lesion": 2},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    (dataset / "dataset.json").write_text(json.dumps(description))
    extract_fingerprints([1], num_processes=1)
    plan_experiments([1])
    return json.loads((work / "preprocessed" / "Dataset001_scan" / "nnUNetPlans.json").read_text()), description


def main() -> None:
    """Plan, time a tile, print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    plans, description = plan(arguments.scan, arguments.work)

    import nibabel as nib
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    manager = PlansManager(plans)
    configuration = manager.get_configuration("3d_fullres")
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        len(description["labels"]),
        deep_supervision=False,
    ).to(device)
    predictor = nnUNetPredictor(device=device, perform_everything_on_device=device.type == "cuda")
    predictor.manual_initialization(
        network, manager, configuration, [network.state_dict()], description, "nnUNetTrainer", (0, 1, 2)
    )
    header = nib.load(arguments.scan).header
    shape = [
        round(side * have / want)
        for side, have, want in zip(
            reversed(header.get_data_shape()), reversed(header.get_zooms()), configuration.spacing, strict=True
        )
    ]
    tiles = len(predictor._internal_get_sliding_window_slicers(shape))
    tile = torch.rand(1, 1, *configuration.patch_size, device=device)
    with torch.no_grad():
        started = time.perf_counter(), time.process_time()
        predictor._internal_maybe_mirror_and_predict(tile)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    print(json.dumps({"stages": {"tiles": tiles * seconds}, "cpu": tiles * cpu, "peak": peak_gib()}))


if __name__ == "__main__":
    main()
