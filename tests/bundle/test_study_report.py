"""The report of a study says what was compared, on what, and how surely."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dualtask.errors import InputError
from dualtask.report.study import write_study_report
from dualtask.studies import Study, read_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    content = {
        "description": "Two variants.",
        "test_sites": ["metro"],
        "seeds": [0],
        "variants": {"full": {}, "less": {}},
    }
    (tmp_path / "tiny.json").write_text(json.dumps(content))
    return read_study(tmp_path / "tiny.json")


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Scores of ten cases, the variant "less" lower by 0.1, its uncertainty in the order of its errors."""
    table, rng = [], np.random.default_rng(0)
    for variant, loss in (("full", 0.0), ("less", 0.1)):
        for case in range(10):
            for structure in ("pancreas", "lesion"):
                dice = 0.5 + 0.03 * case - loss
                scores = {"dice": dice, "surface_dice": dice, "hausdorff95_mm": 3.0, "uncertainty": 1 - dice}
                noise = {} if variant == "less" else {"uncertainty": rng.random()}
                names = {"variant": variant, "test_site": "metro", "seed": 0, "case": case, "structure": structure}
                table.append({**names, **scores, **noise})
    folder = tmp_path / "tiny"
    (folder / "full" / "metro" / "seed0").mkdir(parents=True)
    record = {"commit": "abc", "hardware": "2 CPU cores", "versions": {"torch": "2"}, "seconds": 60}
    (folder / "full" / "metro" / "seed0" / "done.json").write_text(json.dumps(record))
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    return folder / "cases.csv"


def test_the_report_states_means_intervals_and_the_paired_difference(study, cases, tmp_path):
    write_study_report(study, cases, tmp_path / "out", reference="full", synthetic=True)
    table = (tmp_path / "out" / "table.md").read_text()
    (row,) = [line for line in table.split("### Lesion")[0].splitlines() if line.startswith("| less")]
    assert row.startswith("| less | 1 | 10 | 0.535 [")
    assert "-0.100 [-0.100, -0.100]" in row
    assert row.endswith("-1.00 |")
    assert "Synthetic scans" in table
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Synthetic data" in page
    assert "not cleared for diagnosis" in page
    assert "http" not in page.replace("http-equiv", "")
    assert (tmp_path / "out" / "cases.csv").read_text() == cases.read_text()
    assert (tmp_path / "out" / "pancreas.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_tells_whether_the_uncertainty_ranks_the_cases(study, cases, tmp_path):
    write_study_report(study, cases, tmp_path / "out", reference="full", synthetic=False)
    page = (tmp_path / "out" / "report.html").read_text()
    (row,) = [line for line in page.splitlines() if "less</th>" in line and ">lesion</td>" in line]
    assert row.endswith("<td>1.00</td></tr>")
    assert "Synthetic data" not in page


def test_a_reference_without_runs_is_refused(study, cases, tmp_path):
    with pytest.raises(InputError, match="no finished run of the variant best"):
        write_study_report(study, cases, tmp_path / "out", reference="best", synthetic=True)
    with pytest.raises(InputError, match="run the study first"):
        write_study_report(study, tmp_path / "absent.csv", tmp_path / "out", reference="full", synthetic=True)
