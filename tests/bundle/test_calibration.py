"""Probabilities and uncertainties are judged as the closed forms say, and read from the folder of an inference."""

from __future__ import annotations

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import CalibrationErrorMetric
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from dualtask.errors import InputError
from dualtask.evaluation import score_cases, score_label_maps
from dualtask.evaluation.calibration import BINS, calibration_error
from dualtask.evaluation.selective import rank_correlation, risk_coverage
from dualtask.evaluation.separation import separation_auc

SPACING = (1.0, 1.0, 1.0)


def half() -> torch.Tensor:
    """A mask of every second voxel along the first axis."""
    mask = torch.zeros(10, 10, 10, dtype=torch.bool)
    mask[::2] = True
    return mask


class TestCalibration:
    @pytest.mark.parametrize(("probability", "error"), [(0.5, 0.0), (0.9, 0.4), (0.2, 0.3), (1.0, 0.5)])
    def test_a_constant_probability_is_off_by_its_distance_from_the_frequency(self, probability, error):
        assert calibration_error(torch.full((10, 10, 10), probability), half()) == pytest.approx(error, abs=1e-6)

    def test_a_certain_answer_is_off_by_its_share_of_errors(self):
        wrong = half().clone()
        wrong[0] = False
        assert calibration_error(half().float(), half()) == 0.0
        assert calibration_error(wrong.float(), half()) == pytest.approx(0.1)

    def test_bins_count_by_their_voxels(self):
        rng = np.random.default_rng(0)
        probability = rng.random(8000)
        truth = rng.random(8000) < probability**2
        frequency, mean = calibration_curve(truth, probability, n_bins=BINS)
        voxels = np.histogram(probability, BINS, (0, 1))[0]
        expected = (voxels * np.abs(frequency - mean)).sum() / 8000
        shape = (20, 20, 20)
        error = calibration_error(torch.from_numpy(probability.reshape(shape)), torch.from_numpy(truth.reshape(shape)))
        assert error == pytest.approx(expected, abs=1e-4)

    def test_it_is_monais_on_few_voxels_and_stays_exact_on_many(self):
        rng = np.random.default_rng(1)
        probability, truth = torch.from_numpy(rng.random((8, 8, 8))), torch.from_numpy(rng.random((8, 8, 8)) < 0.3)
        metric = CalibrationErrorMetric(num_bins=BINS)
        metric(y_pred=probability[None, None], y=truth[None, None])
        assert calibration_error(probability, truth) == pytest.approx(metric.aggregate().item(), abs=1e-5)
        many = torch.ones(100, 100, 100)
        assert calibration_error(0.97 * many, many.bool()) == pytest.approx(0.03)

    def test_only_voxels_near_reference_and_prediction_count(self):
        label = torch.zeros(1, 80, 80, 80, dtype=torch.uint8)
        label[:, 38:42, 38:42, 38:42] = 1
        probabilities = torch.zeros(2, 80, 80, 80)
        probabilities[0, :20] = 1  # far from both masks
        scores = score_label_maps(label, label, SPACING, probabilities=probabilities)
        # 4 voxels and 10 mm on each side.
        assert scores["pancreas"]["calibration_error"] == pytest.approx(4**3 / 24**3)
        assert math.isnan(scores["lesion"]["calibration_error"])

    def test_near_the_edge_of_the_scan_the_voxels_up_to_the_edge_count(self):
        label = torch.zeros(1, 30, 30, 30, dtype=torch.uint8)
        label[:, 3:7, 3:7, 3:7] = 1
        scores = score_label_maps(label, label, SPACING, probabilities=torch.zeros(2, 30, 30, 30))
        assert scores["pancreas"]["calibration_error"] == pytest.approx(4**3 / 17**3)

    def test_without_probabilities_there_is_no_calibration(self):
        label = torch.ones(1, 4, 4, 4, dtype=torch.uint8)
        assert math.isnan(score_label_maps(label, label, SPACING)["pancreas"]["calibration_error"])


class TestSeparation:
    @pytest.mark.parametrize(
        ("inside", "outside", "area"),
        [([0.9, 0.8], [0.1, 0.2, 0.3], 1.0), ([0.1], [0.2, 0.3], 0.0), ([0.5] * 3, [0.5] * 4, 0.5), ([2, 0], [1], 0.5)],
    )
    def test_the_area_is_the_share_of_pairs_in_order(self, inside, outside, area):
        assert separation_auc(torch.tensor(inside), torch.tensor(outside)) == pytest.approx(area)

    @given(seed=st.integers(0, 2**16))
    def test_it_is_that_of_scikit_learn(self, seed):
        rng = np.random.default_rng(seed)
        inside, outside = rng.integers(0, 9, 30) / 9, rng.integers(0, 7, 50) / 9
        expected = roc_auc_score([1] * 30 + [0] * 50, [*inside, *outside])
        assert separation_auc(torch.from_numpy(inside), torch.from_numpy(outside)) == pytest.approx(expected)

    def test_the_lesion_is_told_from_the_organ_that_is_known_and_from_nothing_else(self):
        label = torch.zeros(1, 10, 10, 10, dtype=torch.uint8)
        label[:, 2:8, 2:8, 2:8] = 1
        label[:, 3:5, 3:5, 3:5] = 2
        probabilities = torch.ones(2, 10, 10, 10)  # high outside the organ, where nothing is compared
        probabilities[1][label[0] == 1] = 0.2
        probabilities[1][label[0] == 2] = 0.4
        probabilities[1, 7] = 0.9  # a sixth of the organ's length is above the lesion
        known = torch.ones(1, 10, 10, 10, dtype=torch.bool)
        known[:, 7] = False
        rest = 6**3 - 2**3
        for known_voxels, area in ((None, (rest - 36) / rest), (known, 1.0)):
            scores = score_label_maps(label, label, SPACING, probabilities=probabilities, known=known_voxels)
            assert scores["lesion"]["lesion_auc"] == pytest.approx(area)
            assert math.isnan(scores["pancreas"]["lesion_auc"])

    @pytest.mark.parametrize("value", [1, 2])
    def test_without_a_lesion_or_without_an_organ_around_it_there_is_no_area(self, value):
        label = torch.full((1, 4, 4, 4), value, dtype=torch.uint8)
        scores = score_label_maps(label, label, SPACING, probabilities=torch.rand(2, 4, 4, 4))
        assert math.isnan(scores["lesion"]["lesion_auc"])
        assert math.isnan(score_label_maps(label, label, SPACING)["lesion"]["lesion_auc"])


class TestUncertainty:
    def test_the_curve_keeps_the_most_certain_cases(self):
        curve = risk_coverage([0.1, 0.9, 0.5], [0.0, 0.6, 0.3])
        assert curve.coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
        assert curve.risk.tolist() == pytest.approx([0.0, 0.15, 0.3])
        assert curve.area == curve.best_area == pytest.approx(0.15)

    def test_the_wrong_order_costs_area(self):
        curve = risk_coverage([0.9, 0.1, 0.5], [0.0, 0.6, 0.3])
        assert curve.risk.tolist() == pytest.approx([0.6, 0.45, 0.3])
        assert curve.area > curve.best_area

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_equal_uncertainties_select_nothing(self, risk):
        assert risk_coverage([0.5] * len(risk), risk).risk == pytest.approx(np.full(len(risk), np.mean(risk)))

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
    def test_no_order_is_better_than_that_of_the_risks(self, pairs):
        uncertainty, risk = zip(*pairs, strict=True)
        curve = risk_coverage(uncertainty, risk)
        assert curve.area >= curve.best_area - 1e-9
        assert curve.risk[-1] == pytest.approx(np.mean(risk))

    def test_the_rank_correlation_is_about_order_alone(self):
        assert rank_correlation([0.1, 0.2, 0.9], [0.0, 0.5, 0.6]) == pytest.approx(1.0)
        assert rank_correlation([0.9, 0.2, 0.1], [0.0, 0.5, 0.6]) == pytest.approx(-1.0)

    @pytest.mark.parametrize("pairs", [[], [(0.1, 0.2), (0.3, 0.4)], [(0.5, 0.1), (0.5, 0.2), (0.5, 0.3)]])
    def test_nothing_to_rank_is_no_correlation(self, pairs):
        assert math.isnan(rank_correlation([first for first, _ in pairs], [second for _, second in pairs]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three predictions of one cube, each shifted further and with more uncertainty."""
    table = ["case,uncertainty_pancreas,uncertainty_lesion"]
    for shift, name in enumerate("abc"):
        for path, start in ((f"{name}_label", 2), (f"{name}_seg", 2 + shift)):
            voxels = np.zeros((12, 12, 12), np.uint8)
            voxels[start : start + 6, 2:8, 2:8] = 1
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{path}.nii.gz")
        table.append(f"{name},{0.1 * shift},0")
    (tmp_path / "scans.csv").write_text("\n".join(table) + "\n")
    return tmp_path


def cases(folder: Path) -> list[dict[str, str]]:
    return [{"image": str(folder / f"{name}.nii.gz"), "label": str(folder / f"{name}_label.nii.gz")} for name in "abc"]


def save_probabilities(folder: Path, voxels: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), np.eye(4)), folder / "a_probability.nii.gz")


class TestFolder:
    def test_the_uncertainty_of_each_scan_is_compared_with_its_dice(self, folder):
        rows = score_cases(cases(folder), folder, folder / "out")
        assert [row["uncertainty"] for row in rows if row["structure"] == "pancreas"] == [0.0, 0.1, 0.2]
        summary = json.loads((folder / "out" / "summary.json").read_text())["overall"]
        ranking = summary["pancreas"]["uncertainty_ranking"]
        assert (ranking["n"], ranking["rank_correlation"]) == (3, pytest.approx(1.0))
        # Risks 0, 1/6 and 1/3.
        assert ranking["aurc"] == ranking["best_aurc"] == pytest.approx((0 + 1 / 12 + 1 / 6) / 3)
        assert summary["lesion"]["uncertainty_ranking"]["n"] == 0

    def test_without_the_table_of_scans_there_is_no_uncertainty(self, folder):
        (folder / "scans.csv").unlink()
        assert math.isnan(score_cases(cases(folder), folder, folder / "out")[0]["uncertainty"])

    def test_a_table_without_uncertainties_is_refused(self, folder):
        (folder / "scans.csv").write_text("case,dice\na,1\n")
        with pytest.raises(InputError, match=r"scans\.csv is not the table of scans"):
            score_cases(cases(folder), folder, folder / "out")

    def test_probability_maps_beside_the_masks_are_scored(self, folder):
        save_probabilities(folder, np.full((12, 12, 12, 2), 0.25))
        rows = score_cases(cases(folder), folder, folder / "out")
        # The box and its margin hold the whole scan of 12 mm.
        assert rows[0]["calibration_error"] == pytest.approx(abs(0.25 - 6**3 / 12**3))
        assert math.isnan(rows[2]["calibration_error"])

    @pytest.mark.parametrize(
        ("voxels", "sentence"),
        [
            (np.full((12, 12, 12, 3), 0.5), "is no probability of pancreas and lesion"),
            (np.full((12, 12, 12, 2), 3.0), "is no probability of pancreas and lesion"),
            (np.full((12, 12, 10, 2), 0.5), "has 12 x 12 x 10 voxels but the label .*a_label.* has 12 x 12 x 12"),
        ],
    )
    def test_maps_that_cannot_be_right_are_refused(self, folder, voxels, sentence):
        save_probabilities(folder, voxels)
        with pytest.raises(InputError, match=rf"a_probability\.nii\.gz {sentence}"):
            score_cases(cases(folder), folder, folder / "out")

    def test_a_map_that_is_cut_off_is_refused(self, folder):
        save_probabilities(folder, np.random.default_rng(0).random((12, 12, 12, 2)))
        path = folder / "a_probability.nii.gz"
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(InputError, match=r"a_probability.* damaged"):
            score_cases(cases(folder), folder, folder / "out")
