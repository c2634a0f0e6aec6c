"""Lesions darker, equal to and brighter than their organ, as the labels and the known voxels say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dualtask.errors import InputError
from dualtask_research.sites.lesion_contrast import (
    contrast_group,
    lesion_contrast,
    read_groups,
    write_lesion_contrasts,
)

UNKNOWN = -1024.0


def voxels(lesion: float) -> tuple[np.ndarray, np.ndarray]:
    """A scan with an organ of 100 HU, half of it a lesion of so many HU, and its label."""
    scan, label = np.zeros((12, 12, 12), np.float32), np.zeros((12, 12, 12), np.uint8)
    label[2:10, 4:8, 4:8], label[6:10, 4:8, 4:8] = 1, 2
    scan[label == 1], scan[label == 2] = 100, lesion
    return scan, label


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A lesion of 60 HU one half of which is not known, one of 130 HU, and a patient without."""
    cases = []
    for name, lesion in (("dark", 60.0), ("bright", 130.0), ("healthy", None)):
        scan, label = voxels(lesion or 100.0)
        if lesion is None:
            label[label == 2] = 1
        if name == "dark":
            scan[8:] = UNKNOWN
        paths = {}
        for key, content in (("image", scan.astype(np.int16)), ("label", label)):
            path = tmp_path / key / f"{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(content, np.diag([3.0, 3.0, 3.0, 1.0])), path)
            paths[key] = str(path)
        cases.append({**paths, "unknown": UNKNOWN})
    labels = {"0": "background", "1": "pancreas", "2": "lesion"}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "training": cases}))
    return tmp_path


@pytest.mark.parametrize(
    ("contrast", "group"),
    [(-40, "darker"), (-20.1, "darker"), (-20, "equal"), (0, "equal"), (20, "equal"), (20.1, "brighter")],
)
def test_twenty_hu_part_what_stands_out_from_what_does_not(contrast, group):
    assert contrast_group(contrast) == group


def test_the_contrast_is_the_difference_of_the_means_of_known_voxels():
    scan, label = voxels(70.0)
    scan[9], scan[3] = np.nan, 1000
    rest = scan[(label == 1)]
    assert lesion_contrast(scan, label) == pytest.approx(70 - rest.mean())


def test_without_a_known_lesion_there_is_no_contrast():
    scan, label = voxels(70.0)
    scan[label == 2] = np.nan
    assert np.isnan(lesion_contrast(scan, label))


@pytest.mark.usefixtures("packages")
def test_the_command_writes_a_table_that_the_report_reads(dataset, tmp_path):
    table = tmp_path / "contrast.csv"
    program = [sys.executable, "-m", "dualtask_research.sites", "contrast", str(dataset), "--output", str(table)]
    outcome = subprocess.run(program, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "1 darker, 0 equal, 1 brighter" in outcome.stdout
    assert read_groups(table) == {"dark": "darker", "bright": "brighter"}
    assert "dark,-40.0,darker" in table.read_text().splitlines()


def test_a_data_set_without_lesions_is_refused(dataset, tmp_path):
    content = json.loads((dataset / "dataset.json").read_text())
    content["training"] = content["training"][-1:]
    (dataset / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="no case with a lesion"):
        write_lesion_contrasts(dataset, tmp_path / "contrast.csv")
    assert not (tmp_path / "contrast.csv").exists()
