"""The simulated annotator, and the page that says what its clicks are worth."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dualtask.refinement import Part, ScanMaps, Settings
from dualtask_research.clicks.annotator import next_click
from dualtask_research.clicks.cases import ClickCase, cut
from dualtask_research.clicks.intensities import ClickedIntensities
from dualtask_research.clicks.page import after, clicks_to, table
from dualtask_research.clicks.study import CLICKS, INTENSITIES, NETWORK, Corrected, corrections

REPOSITORY = Path(__file__).resolve().parents[2]


def test_click_goes_to_the_middle_of_the_largest_error():
    reference, mask = np.zeros((2, 30, 20, 10), bool)
    reference[2:9, 2:9, 2:9] = True
    mask[15:20, 10:15, 2:7] = True
    assert next_click(reference, mask, (1, 1, 1)) == (5, 5, 5)
    mask |= reference
    assert next_click(reference, mask, (1, 1, 1)) == (17, 12, 4)
    assert next_click(reference, reference, (1, 1, 1)) is None


def test_what_is_missed_and_what_is_seen_in_vain_are_two_errors_though_they_touch():
    reference, mask = np.zeros((2, 20, 9, 9), bool)
    reference[0:9], mask[9:14] = True, True
    assert next_click(reference, mask, (1, 1, 1))[0] == 4


def test_middle_is_measured_in_mm():
    reference = np.zeros((9, 9, 40), bool)
    reference[0:9, 0:9, 0:40] = True
    reference[0:9, 0:9, 3:20] = False
    click = next_click(reference, np.zeros_like(reference), (1, 1, 0.1))
    assert click[2] >= 20


@pytest.fixture
def case() -> ClickCase:
    """The network sees half of the organ and no lesion."""
    reference = np.zeros((60, 40, 30), np.uint8)
    reference[20:40, 14:26, 10:20], reference[30:36, 17:23, 13:17] = 1, 2
    image = np.where(reference == 1, 90, np.where(reference == 2, 40, -60)).astype(np.int16)
    label = (reference >= 1).astype(np.uint8)
    label[30:] = 0
    probability = np.stack([label, 0 * label]).astype(np.float16) * 0.8 + 0.1
    distance = np.where(probability > 0.5, -5, 5).astype(np.float16)
    maps = ScanMaps(image, np.diag((1.5, 1.5, 2.0, 1.0)), label, (0, 0, 0), probability, distance)
    return ClickCase("a", "here", maps, reference, np.ones(label.shape, bool))


def test_clicks_make_the_organ_whole_and_find_the_lesion(case):
    rows = list(corrections(case, "synthetic"))
    dice = {(row.structure, row.method, row.clicks): row.dice for row in rows}
    assert len(dice) == len(rows) == 2 * 2 * (CLICKS + 1)
    assert dice["pancreas", NETWORK, 0] < 0.7 < 0.9 < dice["pancreas", NETWORK, 5]
    assert dice["lesion", NETWORK, 0] == 0
    assert dice["lesion", NETWORK, 5] > 0.5
    assert dice["pancreas", INTENSITIES, 0] == 0
    assert dice["pancreas", INTENSITIES, 3] > 0.5


def test_case_is_cut_to_what_an_annotator_may_click(case):
    settings = Settings()
    assert cut(case).reference.sum() == case.reference.sum()
    far = ClickCase("b", "here", case.maps, np.zeros_like(case.reference), case.known)
    assert cut(far).maps.image.shape[0] <= 60
    assert cut(far).maps.start[0] == 0
    assert settings.reach_mm < 40


def test_intensities_of_the_clicks_tell_organ_from_fat():
    grey = np.zeros((9, 9, 9), np.float32)
    grey[:, :, 4:] = 0.6
    inside, outside = np.zeros((2, 9, 9, 9), bool)
    inside[4, 4, 7], outside[4, 4, 1] = True, True
    part = Part((slice(0, 9),) * 3, (1, 1, 1), (1.0, 1.0, 1.0), grey, inside, inside, outside)
    np.testing.assert_array_equal(ClickedIntensities().log_odds(part) > 0, grey > 0.3)


def row(case: str, clicks: int, dice: float, kind: str = "real", site: str = "msd_partial") -> Corrected:
    return Corrected(kind, site, case, "lesion", NETWORK, clicks, dice)


def test_table_counts_patients_and_clicks_that_they_need():
    rows = [row("a", clicks, 0.5 + 0.05 * clicks) for clicks in range(CLICKS + 1)]
    rows += [row("b", clicks, 0.85) for clicks in range(CLICKS + 1)]
    assert clicks_to(rows, "lesion", NETWORK, 0.8) == [6, 0]
    assert clicks_to(rows, "lesion", NETWORK, 0.9) == [8, math.inf]
    assert after(rows, "lesion", NETWORK, 1).mean == pytest.approx(0.7)
    lines = table(rows, "lesion")
    assert len(lines) == 4
    assert lines[3].startswith("| real, MSD | 2 | with the network | 0.68 (0.50 to 0.85) |")
    assert lines[3].endswith("| 6 (2 of 2) | > 10 (1 of 2) |")
    assert table(rows, "pancreas")[2:] == []


def test_one_command_writes_table_picture_and_page(small_dataset, tmp_path: Path):
    answers = {
        "surroundings": {"processor": "x86", "cores": 2, "threads": 1, "commit": "abc"},
        "markdown": ["| answer | s |", "|---|---|"],
        "figures": {"first / later": 7.6},
    }
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    paths = {"page": "docs/reference/clicks.md", "picture": "docs/images/clicks.png", "table": "cases.csv"}
    (tmp_path / "cases.json").write_text(json.dumps({"case_names": ["valley_000"]}))
    command = [sys.executable, "-m", "dualtask_research.clicks", "--real", str(small_dataset)]
    command += ["--real_cases", str(tmp_path / "cases.json"), "--answers", str(tmp_path / "answers.json")]
    command += [part for name, path in paths.items() for part in (f"--{name}", str(tmp_path / path))]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'bundle'}:{REPOSITORY / 'research'}"}
    subprocess.run(command, check=True, env=environment, timeout=300)
    with (tmp_path / "cases.csv").open() as file:
        assert {(line["kind"], line["case"]) for line in csv.DictReader(file)} == {("real", "valley_000")}
    page = (tmp_path / paths["page"]).read_text()
    assert "](../images/clicks.png)" in page
    assert "takes 8 times as long" in page
    assert (tmp_path / paths["picture"]).read_bytes().startswith(b"\x89PNG")
