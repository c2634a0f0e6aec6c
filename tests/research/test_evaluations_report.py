"""Two evaluations of the same scans are compared case by case, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from dualtask.errors import InputError
from dualtask.evaluation.metrics import METRICS
from dualtask.evaluation.tables import write_scores
from dualtask_research.report.evaluations import compare_evaluations, main

LOSSES = np.random.default_rng(0).normal(0.1, 0.05, 12)


def evaluated(folder: Path, losses: np.ndarray, prefix: str = "case") -> Path:
    """Scores of cases with a lesion, as an evaluation writes them."""
    folder.mkdir()
    rows = [
        {
            **dict.fromkeys(METRICS, 0.0),
            **{"case": f"{prefix}_{case}", "site": "metro", "structure": structure},
            **{"dice": 0.9 - 0.02 * case - loss, "reference_ml": 4.0},
        }
        for case, loss in enumerate(losses)
        for structure in ("pancreas", "lesion")
    ]
    write_scores(folder / "metrics.csv", rows)
    return folder


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return evaluated(tmp_path / "new", np.zeros(12))


def test_differences_have_the_mean_and_the_p_of_the_signed_rank_test(new: Path, tmp_path: Path, capsys):
    main([f"new={new}", f"old={evaluated(tmp_path / 'old', LOSSES)}"])
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| old | 12")]
    assert len(lines) == 2
    for _, _, difference, p, *_ in lines:
        assert float(difference.split()[0]) == pytest.approx(-LOSSES.mean(), abs=5e-4)
        assert p == "< 0.001" and wilcoxon(LOSSES).pvalue < 1e-3


def test_says_whether_the_scans_are_computed_or_few(new: Path, tmp_path: Path):
    scores = {"new": new / "metrics.csv", "old": evaluated(tmp_path / "old", LOSSES) / "metrics.csv"}
    assert "no statement about patients" in compare_evaluations(scores, synthetic=True)
    assert "12 patients, which are few" in compare_evaluations(scores, synthetic=False)


def test_evaluations_of_other_scans_are_not_compared(new: Path, tmp_path: Path):
    other = evaluated(tmp_path / "other", LOSSES, prefix="other")
    with pytest.raises(InputError, match="no case in common"):
        compare_evaluations({"new": new / "metrics.csv", "other": other / "metrics.csv"}, synthetic=False)


def test_an_evaluation_without_scores_is_told(new: Path, tmp_path: Path):
    with pytest.raises(InputError, match="run the evaluation first"):
        compare_evaluations({"new": new / "metrics.csv", "none": tmp_path / "metrics.csv"}, synthetic=False)


@pytest.mark.parametrize("arguments", [["a"], ["a="], ["a=b"], ["a=b", "a=c"]])
def test_needs_two_named_folders(arguments: list[str], capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "NAME=FOLDER" in capsys.readouterr().err
