"""Cases on disk in the layout of the Medical Segmentation Decathlon, with the site of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from dualtask.files import write_atomically
from dualtask.nifti import save_nifti
from dualtask.phantom.generator import Case, generate_case
from dualtask.phantom.sites import Site

_NOT_A_PATIENT = "SYNTHETIC, not a patient"

LABELS = {"0": "background", "1": "pancreas", "2": "lesion"}


def write_decathlon(
    output: str | Path,
    sites: Sequence[Site],
    cases_per_site: int,
    seed: int = 0,
    first_case: int = 0,
    matrix: int | None = None,
    report: Callable[[Site, int, Case | None], None] | None = None,
) -> Path:
    """Write `imagesTr/`, `labelsTr/` and `dataset.json` for the cases `first_case` .. of each site.

    Cases whose files exist are kept, so an interrupted run can be started again. Every file appears whole or not at
    all. `dataset.json` comes last and lists this call's cases.

    Args:
        output: folder, made if it is missing.
        sites: whose cases to write.
        cases_per_site: number of cases of each site.
        seed, first_case, matrix: as for `generate_case`.
        report: called after each case with its site and number, and the case or None when it existed.

    Returns:
        The path of `dataset.json`.
    """
    output = Path(output)
    for folder in ("imagesTr", "labelsTr"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    training = []
    for site in sites:
        for number in range(first_case, first_case + cases_per_site):
            name = f"{site.name}_{number:03d}.nii.gz"
            image, label = output / "imagesTr" / name, output / "labelsTr" / name
            case = None
            if not (image.exists() and label.exists()):
                case = generate_case(site, seed, number, matrix)
                save_nifti(image, case.image, case.affine, _NOT_A_PATIENT)
                save_nifti(label, case.label, case.affine, _NOT_A_PATIENT)
            training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}", "site": site.name})
            if report is not None:
                report(site, number, case)
    description = {
        "name": "Synthetic pancreas",
        "description": "SYNTHETIC abdominal CT with pancreas and lesion labels; computed, no patient behind it. "
        "Not for clinical use.",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": LABELS,
        "numTraining": len(training),
        "numTest": 0,
        "training": training,
        "test": [],
    }
    target = output / "dataset.json"
    write_atomically(target, lambda temporary: temporary.write_text(json.dumps(description, indent=2) + "\n"))
    return target
