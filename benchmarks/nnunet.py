"""nnU-Net v2 on a fold of a study, by its own commands: its data, what to type, and the scores of what it predicts.

``export`` links the scans of all sites but one for its training and those of that site for its prediction, and prints
the commands (pip install nnunetv2, in an environment of its own). ``score`` scores its predictions as any other masks.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from dualtask.errors import InputError, print_input_errors_as_one_sentence
from dualtask.evaluation import case_name, score_cases
from dualtask.scans import decathlon_datalist
from dualtask.structures import STRUCTURES

_NUMBER = 1
_PLANS = "coarse"


def export(dataset_dir: Path, test_site: str, output_dir: Path, spacing: list[float]) -> list[str]:
    """Write ``nnUNet_raw`` and return the commands.

    Args:
        dataset_dir: Decathlon folder of NIfTI scans whose cases name their ``site``.
        test_site: left out of the training.
        output_dir: folder of nnU-Net.
        spacing: x, y, z in mm at which nnU-Net shall work, the grid of the study.

    Raises:
        InputError: a scan is no compressed NIfTI file.
    """
    raw = output_dir / "nnUNet_raw" / f"Dataset{_NUMBER:03d}_without_{test_site}"
    train = decathlon_datalist(dataset_dir, without_sites=[test_site])
    test = decathlon_datalist(dataset_dir, sites=[test_site])
    for case, images in [(case, "imagesTr") for case in train] + [(case, "imagesTs") for case in test]:
        if not case["image"].endswith(".nii.gz"):
            raise InputError(f"{case['image']} is not a .nii.gz file, which this export links: convert it first.")
        name = case_name(case["image"])
        _link(case["image"], raw / images / f"{name}_0000.nii.gz")
        if images == "imagesTr":
            _link(case["label"], raw / "labelsTr" / f"{name}.nii.gz")
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, STRUCTURES[0]: [1, 2], STRUCTURES[1]: 2},
        "regions_class_order": [1, 2],
        "numTraining": len(train),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(description, indent=1))
    folders = " ".join(
        f"nnUNet_{part}={shlex.quote(str(output_dir / f'nnUNet_{part}'))}"
        for part in ("raw", "preprocessed", "results")
    )
    target = " ".join(f"{side:g}" for side in reversed(spacing))
    predictions = output_dir / f"predictions_{test_site}"
    model = f"-d {_NUMBER} -c 3d_fullres"
    return [
        f"export {folders}",
        f"nnUNetv2_plan_and_preprocess {model} -overwrite_target_spacing {target} -overwrite_plans_name {_PLANS}",
        f"nnUNetv2_train {_NUMBER} 3d_fullres all -p {_PLANS} -tr nnUNetTrainer_5epochs",
        f"nnUNetv2_predict {model} -p {_PLANS} -tr nnUNetTrainer_5epochs -f all -i {raw / 'imagesTs'} -o {predictions}",
        f"python benchmarks/nnunet.py score --dataset_dir {dataset_dir} --test_site {test_site} "
        f"--predictions {predictions}",
    ]


def _link(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(Path(source).resolve())


def main() -> None:
    """Export a fold, or score it."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    to_export, to_score = commands.add_parser("export"), commands.add_parser("score")
    for command in (to_export, to_score):
        command.add_argument("--dataset_dir", type=Path, required=True)
        command.add_argument("--test_site", required=True)
    to_export.add_argument("--output_dir", type=Path, required=True)
    to_export.add_argument("--spacing", type=float, nargs=3, default=[4.0, 4.0, 5.0], help="mm, of the study's grid")
    to_score.add_argument("--predictions", type=Path, required=True)
    arguments = parser.parse_args()
    print_input_errors_as_one_sentence()
    if arguments.command == "export":
        output_dir = arguments.output_dir.resolve()
        print(*export(arguments.dataset_dir, arguments.test_site, output_dir, arguments.spacing), sep="\n")
    else:
        cases = decathlon_datalist(arguments.dataset_dir, sites=[arguments.test_site])
        score_cases(cases, arguments.predictions, arguments.predictions, postfix="")


if __name__ == "__main__":
    main()
