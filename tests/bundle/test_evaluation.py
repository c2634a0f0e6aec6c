"""Scores agree with closed forms, say NaN where they are not defined, and cover a whole folder of masks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_panoptic_quality
from monai.transforms import SaveImage
from scipy import ndimage
from scipy.spatial import cKDTree

from dualtask.errors import InputError
from dualtask.evaluation import (
    METRICS,
    case_name,
    prediction_path,
    read_scores,
    score_cases,
    score_label_maps,
    summarise,
)
from dualtask.evaluation.detection import DETECTION, detect_components
from dualtask.scans import saved_name

SPACING = (1.0, 1.0, 1.0)
AFFINE = np.diag([-2.0, 1.0, 3.0, 1.0])


def cube(start: tuple[int, int, int], side: int = 8, value: int = 1, size: int = 24) -> torch.Tensor:
    label = torch.zeros(1, size, size, size, dtype=torch.uint8)
    x, y, z = start
    label[:, x : x + side, y : y + side, z : z + side] = value
    return label


def ball(radius: float, size: int = 36, spacing: tuple[float, ...] = SPACING) -> torch.Tensor:
    """A ball of the radius in mm around the middle of the grid."""
    axes = [(np.arange(size) - size / 2) * mm for mm in spacing]
    squares = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))
    return torch.from_numpy((squares <= radius**2).astype(np.uint8))[None]


def pancreas(reference: torch.Tensor, prediction: torch.Tensor, spacing=SPACING, **options) -> dict[str, float]:
    return score_label_maps(reference, prediction, spacing, **options)["pancreas"]


def surface_dice(reference: torch.Tensor, prediction: torch.Tensor, spacing, tolerance_mm: float) -> float:
    scores = pancreas(reference, prediction, spacing, tolerances_mm=[tolerance_mm])
    return scores[f"surface_dice_{tolerance_mm:g}mm"]


class TestOneStructure:
    def test_a_map_agrees_with_itself(self):
        scores = pancreas(cube((4, 4, 4)), cube((4, 4, 4)))
        assert math.isnan(scores.pop("calibration_error")) and math.isnan(scores.pop("lesion_auc"))
        assert scores == {
            "dice": 1.0,
            "recall": 1.0,
            "precision": 1.0,
            "surface_dice": 1.0,
            "surface_dice_1mm": 1.0,
            "surface_dice_5mm": 1.0,
            "hausdorff95_mm": 0.0,
            "reference_ml": 0.512,
            "prediction_ml": 0.512,
            "relative_volume_error": 0.0,
            "reference_components": 1.0,
            "detected_components": 1.0,
            "false_positive_components": 0.0,
        }

    @given(shift=st.integers(1, 7))
    @settings(max_examples=7, deadline=None)
    def test_overlap_of_a_shifted_cube_is_what_both_share(self, shift):
        scores = pancreas(cube((4, 4, 4)), cube((4 + shift, 4, 4)))
        for metric in ("dice", "recall", "precision"):
            assert scores[metric] == pytest.approx((8 - shift) / 8)

    def test_distances_and_volumes_are_in_mm_and_ml_on_anisotropic_voxels(self):
        # Two whole cubes apart along z: every voxel of one border is 5 mm or more from the other.
        spacing = (0.5, 1.0, 2.5)
        scores = pancreas(cube((4, 4, 4), side=2), cube((4, 4, 6), side=2), spacing)
        assert scores["hausdorff95_mm"] == pytest.approx(5.0)
        assert scores["reference_ml"] == pytest.approx(8 * 0.5 * 1.0 * 2.5 / 1000)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_surface_within_the_tolerance_is_found_and_beyond_it_is_not(self, axis):
        spacing = (1.0, 1.5, 4.0)
        start = [4, 4, 4]
        start[axis] += 1
        shifted = cube(tuple(start))
        assert surface_dice(cube((4, 4, 4)), shifted, spacing, spacing[axis]) == 1.0
        assert surface_dice(cube((4, 4, 4)), shifted, spacing, 0.75 * spacing[axis]) < 1.0

    def test_two_points_are_scored_as_by_deepminds_surface_distance(self):
        # Test 2 mm apart, spacing 3 x 2 x 1 mm, of github.com/google-deepmind/surface-distance: half of the area within
        # 1 mm, 95th and 100th percentile of the distances 2 mm.
        reference, prediction = torch.zeros(2, 1, 12, 12, 12, dtype=torch.uint8)
        reference[0, 5, 6, 5] = prediction[0, 5, 6, 7] = 1
        scores = pancreas(reference, prediction, (3.0, 2.0, 1.0))
        assert (scores["surface_dice_1mm"], scores["hausdorff95_mm"], scores["dice"]) == (0.5, 2.0, 0.0)

    def test_two_blocks_at_the_edge_are_scored_as_by_deepminds_surface_distance(self):
        # The same project's blocks of 50 and 51 slices that fill the volume otherwise, spacing 2 x 1 x 1 mm.
        reference, prediction = torch.zeros(2, 1, 100, 100, 100, dtype=torch.uint8)
        reference[:, :50] = prediction[:, :51] = 1
        scores = pancreas(reference, prediction, (2.0, 1.0, 1.0))
        assert scores["surface_dice_1mm"] == pytest.approx(0.836, abs=5e-4)
        assert scores["hausdorff95_mm"] == 2.0
        assert scores["dice"] == pytest.approx(0.990, abs=5e-4)

    @pytest.mark.parametrize(("slices", "expected"), [(1, [0.5, 1, 1]), (2, [0, 0.5, 1]), (3, [0, 0, 0.5])])
    def test_parallel_plates_are_as_far_apart_as_their_slices(self, slices, expected):
        # Plates of 60 x 60 mm and one slice of 2 mm: their rims, of 7 % of the area, matter little. Of their two faces
        # the inner one lies a slice nearer to the other plate than the outer one.
        reference, prediction = torch.zeros(2, 1, 60, 60, 8, dtype=torch.uint8)
        reference[..., 2] = 1
        prediction[..., 2 + slices] = 1
        scores = pancreas(reference, prediction, (1.0, 1.0, 2.0))
        assert scores["hausdorff95_mm"] == 2.0 * slices
        found = [scores[name] for name in ("surface_dice_1mm", "surface_dice", "surface_dice_5mm")]
        assert found == pytest.approx(expected, abs=0.07)

    def test_surface_dice_counts_area_and_not_voxels(self):
        # Boxes of 20 x 20 mm, 50 and 55 mm high, on a common bottom: both tops and the sides of the last slice are off.
        # Counted in border voxels, of which tops have five times more for their area than sides, it would be 0.75.
        reference, prediction = torch.zeros(2, 1, 24, 24, 15, dtype=torch.uint8)
        reference[:, 2:22, 2:22, 2:12] = 1
        prediction[:, 2:22, 2:22, 2:13] = 1
        tops, last_sides, both = 2 * 20 * 20, 4 * 20 * 5, 4 * 20 * 20 + 4 * 20 * (50 + 55)
        score = surface_dice(reference, prediction, (1.0, 1.0, 5.0), 0.5)
        assert score == pytest.approx(1 - (tops + last_sides) / both, abs=0.03)

    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 1.0)])
    def test_concentric_balls(self, spacing):
        inner, outer = ball(9, spacing=spacing), ball(12, spacing=spacing)
        scores = pancreas(outer, inner, spacing)
        assert scores["dice"] == pytest.approx(2 * 9**3 / (9**3 + 12**3), abs=0.01)
        assert scores["recall"] == pytest.approx((9 / 12) ** 3, abs=0.02)
        assert scores["precision"] == 1.0
        assert scores["relative_volume_error"] == pytest.approx((9 / 12) ** 3 - 1, abs=0.02)
        assert scores["reference_ml"] == pytest.approx(4 / 3 * math.pi * 1.2**3, rel=0.02)
        assert scores["hausdorff95_mm"] == pytest.approx(3.0, abs=0.75)
        assert surface_dice(outer, inner, spacing, 1.5) < 0.05
        assert surface_dice(outer, inner, spacing, 4.5) == 1.0

    @given(seed=st.integers(0, 2**16))
    @settings(max_examples=10, deadline=None)
    def test_hausdorff_distance_agrees_with_nearest_neighbours_of_border_voxels(self, seed):
        rng = np.random.default_rng(seed)
        spacing = (0.7, 1.3, 2.0)
        masks = [ndimage.gaussian_filter(rng.standard_normal((16, 16, 16)), 2) > 0.05 for _ in range(2)]
        borders = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in masks]
        directed = [cKDTree(b).query(a)[0] for a, b in (borders, borders[::-1])]
        expected = max(np.percentile(distances, 95) for distances in directed)
        labels = [torch.from_numpy(mask.astype(np.uint8))[None] for mask in masks]
        assert pancreas(*labels, spacing)["hausdorff95_mm"] == pytest.approx(expected, rel=1e-4)

    def test_a_structure_that_fills_the_scan_has_a_surface(self):
        full = torch.ones(1, 6, 6, 6, dtype=torch.uint8)
        scores = pancreas(full, cube((0, 0, 0), side=5, size=6), tolerances_mm=[0.5])
        assert 0 < scores["surface_dice_0.5mm"] < 1
        # Of its border voxels 10 % lie across an edge of the smaller cube, 1 in 152 across its corner.
        assert scores["hausdorff95_mm"] == pytest.approx(math.sqrt(2))


class TestNesting:
    def test_the_lesion_counts_as_part_of_the_pancreas(self):
        reference = cube((4, 4, 4))
        reference[:, 6:8, 6:8, 6:8] = 2
        scores = score_label_maps(reference, cube((4, 4, 4)), SPACING)
        assert scores["pancreas"]["dice"] == 1.0
        assert scores["lesion"]["reference_ml"] == pytest.approx(0.008)
        assert scores["lesion"]["prediction_ml"] == 0.0


class TestDetection:
    @staticmethod
    def counts(reference: torch.Tensor, prediction: torch.Tensor) -> tuple[float, ...]:
        return tuple(detect_components(reference[0] > 0, prediction[0] > 0).values())

    def test_each_component_is_found_or_missed_and_the_rest_is_invented(self):
        reference = cube((1, 1, 1), 4) + cube((10, 1, 1), 4)
        prediction = cube((2, 1, 1), 4) + cube((1, 14, 14), 2) + cube((14, 14, 14), 2)
        assert self.counts(reference, prediction) == (2, 1, 2)

    @pytest.mark.parametrize(("side", "hit"), [(3, 0), (4, 1)])
    def test_a_hit_needs_an_iou_of_a_tenth(self, side, hit):
        # 27 and 64 voxels of 512: 0.053 and 0.125.
        assert self.counts(cube((4, 4, 4), 8), cube((6, 6, 6), side)) == (1, hit, 1 - hit)

    def test_one_blob_across_two_lesions_finds_one(self):
        reference = cube((2, 4, 4), 4) + cube((8, 4, 4), 4)
        blob = torch.zeros_like(reference)
        blob[:, 2:12, 4:8, 4:8] = 1
        assert self.counts(reference, blob) == (2, 1, 0)
        assert self.counts(blob, reference) == (1, 1, 1)

    def test_what_is_no_hit_takes_no_component_away_from_a_hit(self):
        # A sliver of the first lesion in the only blob that hits the second.
        reference = torch.zeros(1, 30, 8, 8, dtype=torch.uint8)
        reference[:, :10], reference[:, 11:21] = 1, 1
        prediction = torch.zeros_like(reference)
        prediction[:, 9:21] = 1
        assert self.counts(reference, prediction) == (2, 1, 0)

    def test_voxels_that_touch_at_a_corner_belong_together(self):
        reference = cube((4, 4, 4), 2) | cube((6, 6, 6), 2)
        assert self.counts(reference, reference) == (1, 1, 0)

    def test_counts_are_those_of_monais_panoptic_quality_at_the_same_iou(self):
        rng = np.random.default_rng(0)
        for _ in range(5):
            field = ndimage.gaussian_filter(rng.standard_normal((24, 24, 24)), 2)
            moved = field + 0.4 * ndimage.gaussian_filter(rng.standard_normal((24, 24, 24)), 2)
            masks = [torch.from_numpy(volume > 0.08) for volume in (field, moved)]
            instances = [torch.from_numpy(ndimage.label(mask, np.ones((3, 3, 3)))[0]) for mask in masks]
            true, false, missed, _ = compute_panoptic_quality(
                instances[1], instances[0], match_iou_threshold=0.1, output_confusion_matrix=True
            ).tolist()
            assert tuple(detect_components(*masks).values()) == (true + missed, true, false)


class TestEmptyMasks:
    def test_absent_from_both_has_no_score(self):
        scores = score_label_maps(cube((4, 4, 4)), cube((4, 4, 4)), SPACING)["lesion"]
        assert scores.pop("reference_ml") == scores.pop("prediction_ml") == 0.0
        assert {scores.pop(count) for count in DETECTION} == {0.0}
        assert all(math.isnan(value) for value in scores.values())

    def test_missed_scores_zero(self):
        scores = pancreas(cube((4, 4, 4)), torch.zeros(1, 24, 24, 24))
        assert scores["dice"] == scores["surface_dice"] == scores["recall"] == 0.0
        assert scores["relative_volume_error"] == -1.0
        assert math.isnan(scores["hausdorff95_mm"]) and math.isnan(scores["precision"])

    def test_invented_scores_zero(self):
        scores = pancreas(torch.zeros(1, 24, 24, 24), cube((4, 4, 4)))
        assert scores["dice"] == scores["surface_dice"] == scores["precision"] == 0.0
        assert all(math.isnan(scores[metric]) for metric in ("hausdorff95_mm", "recall", "relative_volume_error"))


def save(path: Path, label: torch.Tensor, affine: np.ndarray = AFFINE) -> str:
    nib.save(nib.Nifti1Image(label[0].numpy(), affine), path)
    return str(path)


@pytest.fixture
def cases(tmp_path) -> list[dict[str, str]]:
    """Two cases of one site, one of unknown site; the predictions are the labels, one of them shifted."""
    cases = []
    (tmp_path / "pred").mkdir()
    for name, site, start in (("a", "north", 4), ("b", "north", 6), ("c", "", 4)):
        label = save(tmp_path / f"{name}_label.nii.gz", cube((4, 4, 4)))
        save(tmp_path / "pred" / f"{name}_seg.nii.gz", cube((start, 4, 4)))
        cases.append({"image": str(tmp_path / f"{name}.nii.gz"), "label": label} | ({"site": site} if site else {}))
    return cases


class TestFolder:
    def test_rows_are_returned_written_and_read_again(self, cases, tmp_path):
        rows = score_cases(cases, tmp_path / "pred", tmp_path / "out")
        assert [(row["case"], row["site"], row["structure"]) for row in rows] == [
            (name, site, structure)
            for name, site in (("a", "north"), ("b", "north"), ("c", ""))
            for structure in ("pancreas", "lesion")
        ]
        assert rows[2]["dice"] == pytest.approx(0.75)
        assert rows[2]["reference_ml"] == pytest.approx(8**3 * 2 * 1 * 3 / 1000)
        read = read_scores(tmp_path / "out" / "metrics.csv")
        for row, again in zip(rows, read, strict=True):
            assert row == pytest.approx(again, nan_ok=True)

    def test_summary_has_each_site_and_all_cases(self, cases, tmp_path):
        score_cases(cases, tmp_path / "pred", tmp_path / "out")
        summary = json.loads((tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail)
        assert list(summary["sites"]) == ["north"]
        assert summary["sites"]["north"]["pancreas"]["dice"] == pytest.approx({"n": 2, "mean": 0.875, "median": 0.875})
        assert summary["overall"]["pancreas"]["dice"] == pytest.approx({"n": 3, "mean": 2.75 / 3, "median": 1.0})
        assert summary["overall"]["lesion"]["dice"] == {"n": 0, "mean": None, "median": None}

    def test_detection_is_summed_over_scans(self, cases, tmp_path):
        save(tmp_path / "pred" / "c_seg.nii.gz", cube((14, 4, 4)))
        score_cases(cases, tmp_path / "pred", tmp_path / "out")
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        detection = summary["overall"]["pancreas"]["detection"]
        assert detection == {
            "scans": 3,
            "sensitivity": pytest.approx(2 / 3),
            "false_positives_per_scan": pytest.approx(1 / 3),
            "with_reference": 3,
            "found": 2,
            "without_reference": 0,
            "false_alarms": 0,
            "false_alarm_ml": None,
            "share_found": pytest.approx(2 / 3),
        }
        assert summary["overall"]["lesion"]["detection"]["sensitivity"] is None

    def test_a_structure_that_is_not_annotated_is_not_scored(self, cases, tmp_path):
        cases[0]["annotates"] = ["pancreas"]
        save(tmp_path / "pred" / "a_seg.nii.gz", cube((4, 4, 4), value=2))
        rows = score_cases(cases[:1], tmp_path / "pred", tmp_path / "out")
        assert [(row["structure"], row["dice"]) for row in rows] == [("pancreas", 1.0)]
        assert summarise(rows)["overall"]["lesion"]["detection"]["scans"] == 0

    def test_labels_of_a_site_are_read_as_the_site_stores_them(self, cases, tmp_path):
        label = save(tmp_path / "site_label.nii.gz", cube((4, 4, 4), value=7).flip(1), AFFINE * [-1, 1, 1, 1])
        case = cases[0] | {"label": label, "label_map": {"0": "background", "7": "pancreas"}, "label_axes": "RAS"}
        (row, _) = score_cases([case], tmp_path / "pred", tmp_path / "out")
        assert row["dice"] == 1.0

    def test_other_tolerances_are_columns_of_their_own(self, cases, tmp_path):
        score_cases(cases, tmp_path / "pred", tmp_path / "out", tolerances_mm=[2, 3.5])
        row = read_scores(tmp_path / "out" / "metrics.csv")[2]
        assert [name for name in row if name.startswith("surface_dice")] == ["surface_dice", "surface_dice_3.5mm"]

    def test_progress_names_each_case(self, cases, tmp_path, capsys):
        score_cases(cases, tmp_path / "pred", tmp_path / "out")
        assert "scored 2/3 b: Dice pancreas 0.750" in capsys.readouterr().out

    def test_geometry_of_the_prediction_is_compared_in_mm(self, cases, tmp_path):
        save(tmp_path / "pred" / "b_seg.nii.gz", cube((4, 4, 4)), AFFINE + np.eye(4, k=3) * 5)
        with pytest.raises(InputError, match=r"b_label\.nii\.gz lies elsewhere in space than the prediction .*b_seg"):
            score_cases(cases, tmp_path / "pred", tmp_path / "out")

    def test_shapes_are_named_when_they_differ(self, cases, tmp_path):
        save(tmp_path / "pred" / "b_seg.nii.gz", cube((4, 4, 4), size=20))
        with pytest.raises(InputError, match=r"b_label.* has 24 x 24 x 24 voxels but .*b_seg.* has 20 x 20 x 20"):
            score_cases(cases, tmp_path / "pred", tmp_path / "out")

    def test_an_absent_prediction_is_named(self, cases, tmp_path):
        (tmp_path / "pred" / "c_seg.nii.gz").unlink()
        with pytest.raises(InputError, match=r"c_seg\.nii\.gz does not exist: run the inference"):
            score_cases(cases, tmp_path / "pred", tmp_path / "out")

    def test_unknown_label_values_are_refused(self, cases, tmp_path):
        save(tmp_path / "pred" / "a_seg.nii.gz", cube((4, 4, 4), value=3))
        with pytest.raises(InputError, match=r"a_seg\.nii\.gz holds the label values 3"):
            score_cases(cases, tmp_path / "pred", tmp_path / "out")

    def test_a_case_without_label_is_refused(self, cases, tmp_path):
        del cases[0]["label"]
        with pytest.raises(InputError, match=r"a\.nii\.gz has no label"):
            score_cases(cases, tmp_path / "pred", tmp_path / "out")

    def test_scans_of_one_name_are_refused(self, cases, tmp_path):
        cases[1]["image"] = "elsewhere/a.nii.gz"
        with pytest.raises(InputError, match="Several scans are named a"):
            score_cases(cases, tmp_path / "pred", tmp_path / "out")


@pytest.mark.parametrize("scan", ["case_1.nii.gz", "case.1.nii", "case_1.nrrd", "series_1", "series_1/", "1.2.840.7"])
def test_predictions_are_sought_where_inference_saves_them(scan, tmp_path):
    save_image = SaveImage(
        tmp_path,
        output_postfix="seg",
        separate_folder=False,
        print_log=False,
        resample=False,
        output_name_formatter=saved_name,
    )
    save_image(torch.zeros(1, 2, 2, 2), {"filename_or_obj": scan.rstrip("/")})
    path = prediction_path(scan, tmp_path)
    assert path.is_file()
    assert path.name == f"{case_name(scan)}_seg.nii.gz"


def test_means_leave_out_what_is_not_defined():
    scores = dict.fromkeys(METRICS, math.nan)
    rows = [
        {"case": str(value), "site": "", "structure": "lesion", **scores, "dice": value, "reference_ml": 1.0}
        for value in (0.2, math.nan, 0.6)
    ]
    summary = summarise(rows)
    assert summary["sites"] == {}
    assert summary["overall"]["lesion"]["dice"] == pytest.approx({"n": 2, "mean": 0.4, "median": 0.4})


@pytest.mark.parametrize("text", ["case,dice\na,1\n", "not a table\nat all\n"])
def test_a_file_that_is_no_table_of_scores_is_refused(text, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.csv is not a table of scores"):
        read_scores(path)
    with pytest.raises(InputError, match="does not exist"):
        read_scores(tmp_path / "absent.csv")
