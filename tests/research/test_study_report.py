"""The report of a study says what was compared, on what, and how surely."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualtask.errors import InputError
from dualtask.evaluation import case_name, prediction_path
from dualtask.report.rendering import number
from dualtask.scans import decathlon_datalist
from dualtask_research.report.study import write_study_report
from dualtask_research.report.study_tables import seeds_ahead
from dualtask_research.studies import Study, read_study

Tables = dict[str, dict[str, dict[str, list[str]]]]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    content = {
        "description": "Two variants.",
        "test_sites": ["metro", "valley"],
        "seeds": [0],
        "variants": {"full": {}, "less": {}},
    }
    (tmp_path / "tiny.json").write_text(json.dumps(content))
    return read_study(tmp_path / "tiny.json")


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Scores of ten cases, the variant "less" lower by 0.1, its uncertainty in the order of its errors.

    Case 0 has no lesion; the variant "less" invents one.
    """
    table, rng = [], np.random.default_rng(0)
    for variant, loss in (("full", 0.0), ("less", 0.1)):
        for case in range(10):
            for structure in ("pancreas", "lesion"):
                healthy = structure == "lesion" and case == 0
                dice = 0.5 + 0.03 * case - loss
                if healthy:
                    dice = 0.0 if variant == "less" else math.nan
                uncertainty = 1 - dice if variant == "less" else rng.random()
                table.append(
                    {
                        "variant": variant,
                        "test_site": "metro" if case < 5 else "valley",
                        "seed": 0,
                        "case": f"case_{case}",
                        "site": "metro" if case < 5 else "valley",
                        "structure": structure,
                        "dice": dice,
                        "surface_dice": dice,
                        "hausdorff95_mm": 3.0,
                        "reference_ml": 0.0 if healthy else 20.0,
                        "prediction_ml": (2.5 if variant == "less" else 0.0) if healthy else 20.0,
                        "reference_components": 0 if healthy else 2,
                        "detected_components": 0 if healthy else 1,
                        "false_positive_components": int(healthy and variant == "less"),
                        "calibration_error": 0.05,
                        "uncertainty": uncertainty,
                    }
                )
    folder = tmp_path / "tiny"
    (folder / "full" / "metro" / "seed0").mkdir(parents=True)
    record = {"commit": "abc", "hardware": "2 CPU cores", "versions": {"torch": "2"}, "seconds": 60}
    (folder / "full" / "metro" / "seed0" / "done.json").write_text(json.dumps(record))
    write_table(folder / "cases.csv", table)
    return folder / "cases.csv"


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def sections(table: str) -> Tables:
    """Structure -> title of the table -> variant -> cells, of the Markdown."""
    found: Tables = {}
    for line in table.splitlines():
        if line.startswith("### "):
            structure = found.setdefault(line.removeprefix("### ").lower(), {})
        elif line.endswith(":"):
            rows = structure.setdefault(line.removesuffix(":"), {})
        elif line.startswith("| "):
            name, *cells = line.strip("| ").split(" | ")
            rows[name] = cells
    return found


def report(
    study: Study, cases: Path, folder: Path, **options
) -> tuple[str, dict[str, dict[str, dict[str, list[str]]]]]:
    write_study_report(study, cases, folder, **{"reference": "full", "synthetic": True, **options})
    return (folder / "report.html").read_text(), sections((folder / "table.md").read_text())


def test_the_report_states_means_intervals_and_the_paired_difference(study, cases, tmp_path):
    _, tables = report(study, cases, tmp_path / "out")
    pancreas = tables["pancreas"]
    assert pancreas["Means over all unseen sites"]["less"][:2] == ["1", "10"]
    assert pancreas["Means over all unseen sites"]["less"][2].startswith("0.535 [")
    n, difference, p, corrected, effect = pancreas["Paired comparison with full"]["less"]
    assert (n, difference, effect) == ("10", "-0.100 [-0.100, -0.100]", "-1.00")
    assert p == corrected == "0.002"  # 2 / 2 ** 10
    table = (tmp_path / "out" / "table.md").read_text()
    surely = "significant over the cases, p 0.002; ahead in 1 of 1 seed"
    assert f"- full minus less: 0.100 [0.100, 0.100] Dice over 10 cases ({surely})." in table


def test_each_unseen_site_has_a_mean_of_its_own(study, cases, tmp_path):
    _, tables = report(study, cases, tmp_path / "out")
    sites = tables["pancreas"]["Dice at each unseen site"]
    assert sites["variant"] == ["metro", "valley"]
    assert [cell.split(" ")[0] for cell in sites["full"]] == ["0.560", "0.710"]


def test_variants_are_compared_on_the_cases_that_have_the_structure(study, cases, tmp_path):
    _, tables = report(study, cases, tmp_path / "out")
    means = tables["lesion"]["Means over all unseen sites"]
    assert means["variant"][-1] == "cases with HD95" and means["full"][-1] == "9"
    assert means["full"][1] == means["less"][1] == "9"
    trust = tables["lesion"]["Detection, calibration and uncertainty"]
    assert trust["variant"][:4] == [
        "found",
        "false alarms in scans without it",
        "sensitivity",
        "false positives per scan",
    ]
    assert trust["full"][:4] == ["9 of 9", "0 of 1", "0.50", "0.00"]
    assert trust["less"][:4] == ["9 of 9", "1 of 1 (mean 2.5 ml)", "0.50", "0.10"]


def test_the_report_tells_whether_the_uncertainty_ranks_the_cases(study, cases, tmp_path):
    page, tables = report(study, cases, tmp_path / "out")
    correlation, areas = tables["lesion"]["Detection, calibration and uncertainty"]["less"][-2:]
    aurc, best = areas.rstrip(")").split(" (")
    assert correlation == "1.00" and aurc == best
    assert page.count("Risk and coverage, lesion") == 2  # text for those who do not see it, and caption


def test_scores_that_earlier_runs_lack_are_left_out(study, cases, tmp_path):
    with cases.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in [name for name in row if "components" in name or name == "calibration_error"]:
            del row[name]
    write_table(cases, rows)
    _, tables = report(study, cases, tmp_path / "out")
    trust = tables["lesion"]["Detection, calibration and uncertainty"]
    assert trust["variant"] == ["rank correlation", "AURC (best)"]


@pytest.mark.parametrize("synthetic", [True, False])
def test_the_page_says_what_it_is_and_needs_nothing_from_elsewhere(synthetic, study, cases, tmp_path):
    page, _ = report(study, cases, tmp_path / "out", synthetic=synthetic)
    assert ("Synthetic data" in page) == synthetic
    assert ("Synthetic scans" in (tmp_path / "out" / "table.md").read_text()) == synthetic
    assert "not cleared for diagnosis" in page
    assert "http" not in page.replace("http-equiv", "")
    assert (tmp_path / "out" / "cases.csv").read_text() == cases.read_text()
    assert (tmp_path / "out" / "pancreas.png").read_bytes().startswith(b"\x89PNG")


def test_the_worst_the_median_and_the_best_case_are_shown_with_the_scans(study, cases, tmp_path, small_dataset):
    by_site: dict[str, list[dict[str, str]]] = {}
    for case in decathlon_datalist(small_dataset):
        by_site.setdefault(case["site"], []).append(case)
    rows = []
    for site, members in by_site.items():
        predictions = cases.parent / "full" / site / "seed1"
        predictions.mkdir(parents=True)
        for case in members:
            shutil.copy(case["label"], prediction_path(case["image"], predictions))
            dice = 0.1 * (1 + len(rows))
            scores = {"dice": dice, "surface_dice": dice, "hausdorff95_mm": 1.0, "reference_ml": 9.0}
            names = {"variant": "full", "test_site": site, "seed": 1, "case": case_name(case["image"])}
            rows.append({**names, "structure": "pancreas", **scores, "uncertainty": 0.5})
    write_table(cases, rows)
    page, tables = report(study, cases, tmp_path / "out", dataset_dir=small_dataset)
    assert list(tables) == ["pancreas"]  # the only structure that these rows score
    shown = re.findall(r"<h3>(Worst|Median|Best): (\w+) \((\w+)\), Dice ([\d.]+) over seeds", page)
    ranked = [(row["case"], row["test_site"], f"{row['dice']:.3f}") for row in rows]
    assert shown == [("Worst", *ranked[0]), ("Median", *ranked[2]), ("Best", *ranked[3])]
    assert page.count("prediction filled, reference outlined") == 3 * 3


def test_a_reference_without_runs_is_refused(study, cases, tmp_path):
    with pytest.raises(InputError, match="no finished run of the variant best"):
        report(study, cases, tmp_path / "out", reference="best")
    with pytest.raises(InputError, match="run the study first"):
        report(study, tmp_path / "absent.csv", tmp_path / "out")


def test_the_spread_between_seeds_is_that_of_their_means(study, cases, tmp_path):
    with cases.open(newline="") as file:
        rows = list(csv.DictReader(file))
    again = [row | {"seed": "1", "dice": str(float(row["dice"]) + 0.04)} for row in rows if row["variant"] == "full"]
    write_table(cases, rows + again)
    _, tables = report(study, cases, tmp_path / "out")
    seeds = tables["pancreas"]["Dice of each seed, at the sites that all seeds of a variant have"]
    assert seeds == {
        "variant": ["seed 0", "seed 1", "range"],
        "full": ["0.635", "0.675", "0.040"],
        "less": ["0.535", number(None, 3), number(None, 3)],
    }


def test_seeds_are_compared_at_the_sites_that_all_of_them_have(study, cases, tmp_path):
    with cases.open(newline="") as file:
        rows = list(csv.DictReader(file))
    again = [row | {"seed": "1"} for row in rows if row["variant"] == "full" and row["test_site"] == "metro"]
    write_table(cases, rows + again)
    _, tables = report(study, cases, tmp_path / "out")
    seeds = tables["pancreas"]["Dice of each seed, at the sites that all seeds of a variant have"]
    assert seeds["full"] == ["0.560", "0.560", "0.000"]  # metro alone, whose mean is lower than valley's
    assert seeds["less"][0] == "0.535"


def test_the_error_of_the_volume_is_told_where_it_was_measured(study, cases, tmp_path):
    with cases.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for index, row in enumerate(rows):
        row["relative_volume_error"] = str(0.5 if row["variant"] == "full" else (-0.1, 0.3)[index // 2 % 2])
    write_table(cases, rows)
    _, tables = report(study, cases, tmp_path / "out")
    means = tables["pancreas"]["Means over all unseen sites"]
    assert means["variant"][-1] == "volume error, median (of its size)"
    assert (means["full"][-1], means["less"][-1]) == ("+50% (50%)", "+10% (20%)")


def test_an_endpoint_is_answered_by_its_sites_alone(study, cases, tmp_path):
    _, tables = report(replace(study, endpoints={"pancreas": ("valley",)}), cases, tmp_path / "out")
    assert tables["pancreas"]["Means over all unseen sites"]["full"][1] == "5"
    assert tables["lesion"]["Means over all unseen sites"]["full"][1] == "9"


def test_a_report_on_real_scans_says_that_few_patients_are_few(study, cases, tmp_path):
    page, _ = report(study, cases, tmp_path / "out", synthetic=False)
    sentence = "Scans of 10 patients, which are few"
    assert sentence in page and sentence in (tmp_path / "out" / "table.md").read_text()


def test_a_patient_whom_two_folds_test_is_counted_once(study, cases, tmp_path):
    with cases.open() as file:
        rows = list(csv.DictReader(file))
    write_table(cases, rows + [row | {"test_site": "valley"} for row in rows if row["site"] == "metro"])
    assert "Scans of 10 patients" in report(study, cases, tmp_path / "out", synthetic=False)[0]


def test_lesions_are_scored_by_group_and_the_organ_is_not(study, cases, tmp_path):
    groups = {f"case_{case}": "darker" if case < 4 else "equal" for case in range(8)}
    _, tables = report(study, cases, tmp_path / "out", groups=groups)
    found = tables["lesion"]["Dice by group of cases"]
    # Case 0 has no lesion, cases 8 and 9 no group.
    assert found["variant"] == ["darker (n = 3)", "equal (n = 4)"]
    means = [float(cell.split()[0]) for cell in found["full"]]
    assert means == [pytest.approx(0.56), pytest.approx(0.665)]
    assert "Dice by group of cases" not in tables["pancreas"]


def test_a_seed_is_ahead_over_the_folds_that_both_variants_have():
    # At valley, which "less" was not trained for, "full" is worse than either at metro.
    runs = {("full", "metro"): 0.5, ("full", "valley"): 0.1, ("less", "metro"): 0.4}
    rows = [
        {"variant": variant, "test_site": site, "seed": "0", "case": str(case), "dice": str(dice), "reference_ml": "1"}
        for (variant, site), dice in runs.items()
        for case in range(3)
    ]
    assert seeds_ahead(rows, "full") == {"less": (1, 1)}


def write_history(cases: Path, run: str, dice: list[float]) -> None:
    (cases.parent / run).mkdir(parents=True, exist_ok=True)
    heads = ("classification", "regression")
    epochs = [
        {
            "epoch": epoch,
            "loss": 1.0,
            "terms": {},
            "diagnostics": {f"dice_{head}_{name}": each for head in heads for name in ("pancreas", "lesion")},
        }
        for epoch, each in enumerate(dice, start=1)
    ]
    (cases.parent / run / "history.json").write_text(json.dumps(epochs))


def test_the_courses_of_the_trainings_are_told_and_drawn(study, cases, tmp_path):
    write_history(cases, "full/metro/seed0", [0.05, 0.2, 0.6])
    write_history(cases, "full/valley/seed0", [0.0, 0.05, 0.4])
    write_history(cases, "localiser/metro/seed0", [0.9, 0.9, 0.9])
    page, tables = report(study, cases, tmp_path / "out")
    course = tables["lesion"]["Dice on augmented training crops"]
    assert course["full"] == ["2", "2, 3", "0.500", "0.500"]
    assert "less" not in course  # its trainings wrote no history
    assert page.count("thin each training, thick the mean") >= 2
    with (tmp_path / "out" / "courses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["test_site"], row["epoch"], row["dice_classification_lesion"]) for row in rows][:3] == [
        ("metro", "1", "0.05"),
        ("metro", "2", "0.2"),
        ("metro", "3", "0.6"),
    ]


def test_a_structure_that_never_comes_is_said_to(study, cases, tmp_path):
    write_history(cases, "full/metro/seed0", [0.0, 0.0])
    _, tables = report(study, cases, tmp_path / "out")
    assert tables["lesion"]["Dice on augmented training crops"]["full"][1] == "never"


def test_a_damaged_history_is_refused(study, cases, tmp_path):
    (cases.parent / "full" / "metro" / "seed0" / "history.json").write_text("[{")
    with pytest.raises(InputError, match="not the history of a training"):
        report(study, cases, tmp_path / "out")
