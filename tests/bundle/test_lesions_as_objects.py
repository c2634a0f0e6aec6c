"""Lesions are counted as objects: found at so many false alarms, and in scans that have one apart from the others."""

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

from dualtask.errors import InputError
from dualtask.evaluation import METRICS, read_components, score_cases, summarise
from dualtask.evaluation.components import Component, lesion_components, write_components
from dualtask.evaluation.froc import confidence_name, froc, froc_of_components, sensitivities
from dualtask.evaluation.presence import count_scans

CONFIDENCES = st.lists(st.floats(0, 1), max_size=12)


class TestFroc:
    def test_the_curve_of_four_lesions_in_four_scans(self):
        # Kept from 0.9: one lesion. From 0.8 also a false alarm, from 0.7 two lesions, from 0.3 two false alarms, and
        # from 0.2 three lesions. The fourth is never found.
        curve = froc([0.9, 0.7, 0.2], [0.8, 0.3], lesions=4, scans=4)
        assert curve.confidence.tolist() == [0.2, 0.3, 0.7, 0.8, 0.9, math.inf]
        assert curve.false_alarms.tolist() == [0.5, 0.5, 0.25, 0.25, 0, 0]
        assert curve.sensitivity.tolist() == [0.75, 0.5, 0.5, 0.25, 0.25, 0]
        assert [curve.sensitivity_at(rate) for rate in (0, 0.125, 0.25, 0.5, 2)] == [0.25, 0.25, 0.5, 0.75, 0.75]

    def test_points_that_share_a_confidence_are_joined_by_a_line(self):
        curve = froc([0.5], [0.5], lesions=1, scans=1)
        assert [curve.sensitivity_at(rate) for rate in (0, 0.25, 1, 2)] == [0, 0.25, 1, 1]

    def test_a_lesion_of_the_lowest_confidence_counts_where_all_are_found(self):
        assert froc([0.9, 0.1], [], lesions=2, scans=1).sensitivity_at(1) == 1.0

    def test_without_components_nothing_is_found_and_without_lesions_there_is_nothing_to_find(self):
        assert froc([], [], lesions=2, scans=3).sensitivity_at(1) == 0.0
        healthy = froc([], [0.4], lesions=0, scans=2)
        assert healthy.false_alarms.tolist() == [0.5, 0]
        assert math.isnan(healthy.sensitivity_at(1))
        assert set(sensitivities(healthy).values()) == {None}

    @given(CONFIDENCES, CONFIDENCES, st.integers(0, 3))
    def test_more_false_alarms_never_find_less(self, hits, false, missed):
        curve = froc(hits, false, len(hits) + missed or 1, scans=2)
        assert (np.diff(curve.sensitivity) <= 0).all() and (np.diff(curve.false_alarms) <= 0).all()
        assert curve.false_alarms[0] == len(false) / 2
        assert curve.sensitivity_at(10) == pytest.approx(len(hits) / (len(hits) + missed or 1))

    def test_confidence_is_the_mean_probability_or_the_volume_where_a_map_is_absent(self):
        sure = Component("a", "", hit=True, ml=1.0, probability=0.9)
        large = Component("b", "", hit=False, ml=5.0, probability=0.6)
        unmapped = Component("c", "", hit=False, ml=0.5, probability=math.nan)
        assert (confidence_name([sure, large]), confidence_name([sure, unmapped])) == ("probability", "ml")
        by_probability = froc_of_components([sure, large], 1, 2, "probability")
        by_volume = froc_of_components([sure, large], 1, 2, "ml")
        assert (by_probability.sensitivity_at(0), by_volume.sensitivity_at(0)) == (1.0, 0.0)


def blocks(*starts: int) -> torch.Tensor:
    """Cubes of 4 voxels along the first axis."""
    mask = torch.zeros(40, 8, 8, dtype=torch.bool)
    for start in starts:
        mask[start : start + 4, 2:6, 2:6] = True
    return mask


class TestComponents:
    def test_each_has_its_volume_its_mean_probability_and_whether_it_hits(self):
        probability = torch.zeros(40, 8, 8)
        probability[:20], probability[20:] = 0.8, 0.6
        probability[2] = 0.4  # one of four slices of the first
        components = lesion_components(blocks(3), blocks(2, 30), 0.5, probability, "a", "north")
        assert [(c.case, c.site, c.hit, c.ml) for c in components] == [
            ("a", "north", True, 32.0),
            ("a", "north", False, 32.0),
        ]
        assert [c.probability for c in components] == pytest.approx([0.7, 0.6])

    def test_without_a_map_there_is_no_probability_and_without_a_prediction_no_component(self):
        (component,) = lesion_components(blocks(3), blocks(3), 1.0)
        assert component.hit and math.isnan(component.probability)
        assert lesion_components(blocks(3), blocks(), 1.0) == []

    def test_the_table_is_read_as_it_was_written(self, tmp_path):
        components = lesion_components(blocks(3, 20), blocks(2, 30), 0.1, torch.rand(40, 8, 8), "a", "")
        write_components(tmp_path / "lesions.csv", components)
        assert read_components(tmp_path / "lesions.csv") == components

    @pytest.mark.parametrize("text", ["case,dice\na,1\n", "case,site,hit,ml,probability\na,,perhaps,1,1\n"])
    def test_another_table_is_refused(self, text, tmp_path):
        (tmp_path / "lesions.csv").write_text(text)
        with pytest.raises(InputError, match=r"lesions\.csv is not a table of predicted lesions"):
            read_components(tmp_path / "lesions.csv")
        with pytest.raises(InputError, match="does not exist"):
            read_components(tmp_path / "absent.csv")


def row(dice: float, reference_ml: float, prediction_ml: float, hits: int = 0, site: str = "north") -> dict:
    scores = {"dice": dice, "reference_ml": reference_ml, "prediction_ml": prediction_ml}
    counts = {"reference_components": float(reference_ml > 0), "detected_components": hits}
    name = f"{reference_ml}_{prediction_ml}"
    names = {"case": name, "site": site, "structure": "lesion"}
    return {**names, **dict.fromkeys(METRICS, math.nan), **scores, **counts, "false_positive_components": 0.0}


class TestPresence:
    ROWS = (
        row(0.8, 5, 4, hits=1),
        row(0.0, 5, 0),
        row(0.1, 9, 1),  # touched, not hit
        row(math.nan, 0, 0),
        row(0.0, 0, 2),
        row(0.0, 0, 6, site="south"),
    )

    def test_scans_with_a_lesion_are_told_from_those_without(self):
        counts = count_scans(self.ROWS)
        assert (counts.with_reference, counts.found, counts.share_found) == (3, 1, pytest.approx(1 / 3))
        assert (counts.without_reference, counts.false_alarms, counts.false_alarm_ml) == (3, 2, 4.0)

    def test_rows_of_text_count_as_those_of_numbers(self):
        text = [{name: str(value) for name, value in row.items()} for row in self.ROWS]
        assert count_scans(text) == count_scans(self.ROWS)

    def test_means_are_over_scans_with_a_lesion_a_miss_counting_as_nothing(self):
        summary = summarise(self.ROWS)
        lesion = summary["overall"]["lesion"]
        assert lesion["dice"] == pytest.approx({"n": 3, "mean": 0.3, "median": 0.1})
        detection = lesion["detection"]
        assert (detection["found"], detection["with_reference"], detection["share_found"]) == (
            1,
            3,
            pytest.approx(1 / 3),
        )
        assert (detection["false_alarms"], detection["without_reference"], detection["false_alarm_ml"]) == (2, 3, 4.0)
        healthy = summary["sites"]["south"]["lesion"]
        assert healthy["dice"] == {"n": 0, "mean": None, "median": None}
        assert (healthy["detection"]["share_found"], healthy["detection"]["false_alarm_ml"]) == (None, 6.0)

    def test_the_ranking_of_uncertainties_counts_false_alarms_too(self):
        rows = [{**row, "uncertainty": 0.1 * index} for index, row in enumerate(self.ROWS)]
        assert summarise(rows)["overall"]["lesion"]["uncertainty_ranking"]["n"] == 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three scans of 40 mm: a lesion that is found beside a false alarm, one that is missed, and a false alarm."""
    label, prediction = {"a": blocks(3), "b": blocks(10), "c": blocks()}, {"a": blocks(3, 30), "c": blocks(20)}
    for name, lesion in label.items():
        organ = torch.ones(40, 8, 8, dtype=torch.uint8)
        for kind, mask in (("label", lesion), ("seg", prediction.get(name, blocks()))):
            nib.save(nib.Nifti1Image((organ + mask).numpy(), np.eye(4)), tmp_path / f"{name}_{kind}.nii.gz")
    return tmp_path


def cases(folder: Path) -> list[dict[str, str]]:
    return [
        {"image": str(folder / f"{name}.nii.gz"), "label": str(folder / f"{name}_label.nii.gz"), "site": site}
        for name, site in (("a", "north"), ("b", "north"), ("c", "south"))
    ]


def save_probabilities(folder: Path, values: dict[str, tuple[float, float]]) -> None:
    """Maps of a probability in the first and in the second half of each scan."""
    for name, halves in values.items():
        maps = np.zeros((40, 8, 8, 2), np.float32)
        maps[:15], maps[15:] = halves
        nib.save(nib.Nifti1Image(maps, np.eye(4)), folder / f"{name}_probability.nii.gz")


class TestFolder:
    def test_an_evaluation_writes_the_components_and_the_curve(self, folder):
        save_probabilities(folder, {"a": (0.75, 0.5), "b": (0, 0), "c": (0.5, 1.0)})
        score_cases(cases(folder), folder, folder)
        components = read_components(folder / "lesions.csv")
        assert [(c.case, c.hit, c.ml, c.probability) for c in components] == [
            ("a", True, 0.064, 0.75),
            ("a", False, 0.064, 0.5),
            ("c", False, 0.064, 1.0),
        ]
        lines = (folder / "froc.csv").read_text().splitlines()
        assert lines[0] == "least_probability,false_alarms_per_scan,sensitivity"
        points = np.array([line.split(",") for line in lines[1:]], dtype=float)
        np.testing.assert_allclose(points, [(0.5, 2 / 3, 0.5), (0.75, 1 / 3, 0.5), (1, 1 / 3, 0), (math.inf, 0, 0)])
        summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
        assert summary["froc_confidence"] == "probability"
        assert summary["overall"]["lesion"]["froc"]["sensitivity_at_0.5_per_scan"] == 0.5
        # At the site of the false alarm there is no lesion to find.
        assert summary["sites"]["south"]["lesion"]["froc"]["sensitivity_at_2_per_scan"] is None
        assert summary["sites"]["north"]["lesion"]["froc"]["sensitivity_at_0.25_per_scan"] == 0.5

    def test_without_maps_the_volume_is_the_confidence(self, folder):
        score_cases(cases(folder), folder, folder)
        assert (folder / "froc.csv").read_text().startswith("least_ml,")
        assert json.loads((folder / "summary.json").read_text())["froc_confidence"] == "ml"

    def test_scans_whose_lesions_are_not_annotated_have_no_part(self, folder):
        unknown = cases(folder)[2] | {"annotates": ["pancreas"]}
        score_cases([*cases(folder)[:2], unknown], folder, folder)
        assert {component.case for component in read_components(folder / "lesions.csv")} == {"a"}
        score_cases([unknown], folder, folder / "pancreas")
        assert not (folder / "pancreas" / "froc.csv").exists()
        assert json.loads((folder / "pancreas" / "summary.json").read_text())["overall"]["lesion"]["froc"] == {}
