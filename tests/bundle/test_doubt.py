"""Doubt: indicators with answers that can be counted by hand, the score, and the sentence that a user gets."""

from __future__ import annotations

import csv
import json
import logging
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from test_cascade import REGION, TRUNCATION, Threshold, cascade, scan

from dualtask.doubt import INDICATORS, Doubt, DoubtModel, read_doubt_model, scan_indicators
from dualtask.doubt.model import Familiar, Term
from dualtask.errors import InputError
from dualtask.inferers import CascadeInferer
from dualtask.inferers.evidence import Evidence
from handmade_doubt import write_doubt_model

ORGAN = np.s_[4:8, 6:8, 2:4]
"""4 x 2 x 2 voxels; its centre is at 5.5 and 6.5."""

BODY = np.s_[1:12, 2:12, :]
"""Its box reaches from 1 to 11 and from 2 to 11."""

FAMILIAR = Familiar(np.zeros(32), np.eye(32))


def maps(*boxes: tuple[slice, slice, slice], probability: float = 0.8) -> torch.Tensor:
    result = torch.zeros(6, 14, 14, 8)
    for box in boxes:
        result[0][box] = probability
    return result


def image(brightness: float = 0.6) -> torch.Tensor:
    result = torch.zeros(1, 14, 14, 8)
    result[0][BODY] = 0.4
    result[0][ORGAN] = brightness
    return result


def indicators(pred: torch.Tensor, known: torch.Tensor | None = None, evidence: Evidence | None = None) -> dict:
    shown = torch.ones(1, *pred.shape[1:]) if known is None else known
    return scan_indicators(pred, image(), shown, 27.0, evidence or Evidence())


def test_volume_certainty_brightness_and_place_of_the_organ():
    values = indicators(maps(ORGAN))
    assert values["volume_ml"] == pytest.approx(16 * 27 / 1000)
    assert values["certainty"] == pytest.approx(0.8)
    assert values["brightness"] == pytest.approx(0.6)
    assert values["left_right"] == pytest.approx((5.5 - 1) / 10)
    assert values["front_back"] == pytest.approx((6.5 - 2) / 9)
    assert values["border_share"] == 0
    assert list(values) == list(INDICATORS)


def test_the_share_of_the_largest_piece_counts_all_pieces():
    assert indicators(maps(ORGAN, np.s_[10:12, 10:12, 6:7]))["organ_share"] == pytest.approx(16 / 20)


def test_an_organ_at_the_border_of_the_scan_or_of_its_known_part_reaches_it():
    assert indicators(maps(np.s_[4:8, 6:8, 0:2]))["border_share"] == pytest.approx(0.5)
    known = torch.ones(1, 14, 14, 8)
    known[:, 8:] = 0
    assert indicators(maps(ORGAN), known)["border_share"] == pytest.approx(0.25)


def test_where_the_surroundings_are_not_known_the_organ_has_no_place_in_the_body():
    known = torch.ones(1, 14, 14, 8)
    known[:, 12:] = 0
    values = indicators(maps(ORGAN), known)
    assert values["left_right"] is values["front_back"] is None
    assert values["volume_ml"] > 0
    known[:] = 1
    known[..., 5:] = 0  # beyond the slices of the organ
    assert indicators(maps(ORGAN), known)["left_right"] is not None


def test_without_an_organ_what_the_cascade_saw_is_left():
    values = indicators(maps(), evidence=Evidence(0.0, 0.0, 0.7))
    found = {name: value for name, value in values.items() if value is not None}
    assert found == {
        "uncertainty_pancreas": 1.0,
        "rounds_agreement": 0.0,
        "localiser_agreement": 0.0,
        "localiser_share": 0.7,
    }


def test_the_cascade_hands_on_what_it_saw():
    evidence = Evidence.of(cascade()(scan(), Threshold()))
    assert evidence.rounds_agreement == evidence.localiser_agreement > 0.9
    assert evidence.localiser_share == 1
    assert len(evidence.embedding) == 32


def test_the_share_of_the_place_that_the_localiser_went_to_is_that_of_its_voxels():
    two_places = scan()
    two_places[..., 30:34, 24:28, 12:16] = 0.7  # 2 x 2 x 2 of the localiser's voxels beside 7 x 5 x 4
    evidence = Evidence.of(cascade()(two_places, Threshold()))
    assert evidence.localiser_share == pytest.approx(140 / 148)


def test_the_embedding_is_the_mean_over_the_organ():
    class LeftAndRight(Threshold):
        """Embeds the left half of its crop as 0 and the right half as 1."""

        def heads(self, image: torch.Tensor):
            heads = super().heads(image)
            halves = torch.zeros(1, 32, 2, 1, 1)
            halves[:, :, 1] = 1
            return heads._replace(embedding=halves)

    evidence = Evidence.of(cascade()(scan(), LeftAndRight()))
    assert evidence.embedding[0] == pytest.approx(0.5, abs=0.1)


class Elsewhere(Threshold):
    """A localiser that sees the organ in a corner."""

    def heads(self, image: torch.Tensor):
        organ = torch.zeros_like(image)
        organ[..., -5:-1, -5:-1, -4:-1] = 1
        return self.answer(torch.cat([organ, 0 * organ], dim=1))


def test_a_result_is_doubtful_where_localiser_and_fine_stage_disagree(tmp_path):
    model = read_doubt_model(write_doubt_model(tmp_path / "doubt.json"))
    whole = scan()
    scores = {}
    for localiser in (Threshold(), Elsewhere()):
        inferer = CascadeInferer(localiser, 2, (8, 8, 8), (32, 32, 16), TRUNCATION, margin=(9, 9, 5))
        pred = inferer(whole, Threshold())[0]
        values = scan_indicators(pred, whole[0], torch.ones_like(whole[0]), 27.0, Evidence.of(pred))
        scores[type(localiser).__name__] = model.judge(values)
    assert scores["Threshold"].score < 0.2
    assert scores["Elsewhere"].score > 0.9
    assert scores["Elsewhere"].reason == "localiser and fine stage disagree"


def model_of(threshold: float = 0.5, **terms: Term) -> DoubtModel:
    return DoubtModel(0.0, threshold, terms, FAMILIAR)


def values_of(**known: float) -> dict:
    return dict.fromkeys(INDICATORS) | {"volume_ml": 80.0} | known


def test_the_score_is_the_logistic_function_of_the_weighted_indicators():
    model = model_of(certainty=Term(0.9, 0.1, 2.0), border_share=Term(0.0, 0.5, 1.0))
    doubt = model.judge(values_of(certainty=0.8, border_share=0.25))
    assert doubt.score == pytest.approx(1 / (1 + math.exp(-2.5)))
    assert doubt.reason == INDICATORS["certainty"].complaint


def test_far_values_raise_the_doubt_either_way_and_ratios_count_for_volumes():
    model = model_of(volume_ml=Term(math.log(80), math.log(2), 1.0))
    scores = [model.judge(values_of(volume_ml=volume)).score for volume in (40.0, 80.0, 160.0)]
    assert scores == pytest.approx([1 / (1 + math.exp(-1)), 0.5, 1 / (1 + math.exp(-1))])


def test_no_indicator_outvotes_all_others_however_strange_its_value():
    model = model_of(certainty=Term(0.9, 0.1, 1.0))
    assert model.judge(values_of(certainty=-90.0)).score == pytest.approx(1 / (1 + math.exp(-3)))


def test_an_indicator_that_is_not_defined_counts_as_usual():
    assert model_of(certainty=Term(0.9, 0.1, 2.0)).judge(values_of()).score == 0.5


def test_a_result_without_an_organ_is_doubtful_for_sure():
    doubt = model_of(certainty=Term(0.9, 0.1, 2.0)).judge(dict.fromkeys(INDICATORS))
    assert doubt == Doubt(1.0, "no pancreas was found", True)


def test_the_warning_names_the_scan_the_score_and_the_reason_and_is_left_out_below_the_threshold():
    reason = INDICATORS["localiser_agreement"].complaint
    assert Doubt(0.834, reason, True).warning("X") == (
        "The result for X is doubtful (0.83): localiser and fine stage disagree; check it before use."
    )
    assert Doubt(0.1, reason, False).warning("X") is None


def test_the_distance_of_an_embedding_is_that_of_mahalanobis_a_channel():
    familiar = Familiar(np.ones(4), np.diag([1.0, 4.0, 1.0, 1.0]))
    assert familiar.distance((1.0, 3.0, 1.0, 1.0)) == pytest.approx(math.sqrt(16 / 4))
    assert familiar.distance(None) is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        '{"intercept": 0}',
        '{"intercept": 0, "threshold": 0.5, "indicators": {"colour": {"centre": 0, "scale": 1, "weight": 1}},'
        ' "embedding": {"mean": [0], "precision": [[1]]}}',
        '{"intercept": 0, "threshold": 0.5, "indicators": {"certainty": {"centre": 0, "scale": 1, "weight": 1}},'
        ' "embedding": {"mean": [0, 0], "precision": [[1]]}}',
    ],
    ids=["absent", "damaged", "list", "incomplete", "unknown indicator", "matrix of another size"],
)
def test_a_model_that_cannot_be_used_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "doubt.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"doubt\.json"):
        read_doubt_model(path)


def test_a_model_that_was_written_is_read_as_it_was(tmp_path):
    path = write_doubt_model(tmp_path / "doubt.json", "volume_ml", centre=4.0)
    assert read_doubt_model(path).terms == {"volume_ml": Term(4.0, 0.5, 6.0)}


def write_scan(path: Path, *boxes: tuple[slice, slice, slice]) -> str:
    """Boxes of 100 HU in fat, at 3 mm."""
    voxels = np.full((41, 36, 22), -90, np.int16)
    voxels[0, 0, 0] = -100  # a scan that is one value everywhere would be refused
    for box in boxes:
        voxels[box] = 100
    nib.save(nib.Nifti1Image(voxels, np.diag([3.0, 3, 3, 1])), path)
    return str(path)


@pytest.fixture
def inference(workflow, tmp_path, caplog):
    """Runs the bundle's inference with handmade networks; returns the rows of scans.csv."""

    def run(datalist: list[str], localiser: torch.nn.Module, **overrides: object) -> list[dict[str, str]]:
        networks = {"network": Threshold(), "localiser": localiser, "inferer#region_size": list(REGION)}
        with caplog.at_level(logging.WARNING):
            workflow("inference.json", workflow_type="infer", datalist=datalist, **networks, **overrides).run()
        with (tmp_path / "out" / "scans.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return run


ORGAN_OF_SCAN = np.s_[8:22, 10:20, 6:14]


def test_inference_warns_of_a_doubtful_scan_by_name_and_writes_its_score(inference, tmp_path, caplog):
    model = write_doubt_model(tmp_path / "doubt.json", "organ_share")
    datalist = [
        write_scan(tmp_path / "whole.nii.gz", ORGAN_OF_SCAN),
        write_scan(tmp_path / "pieces.nii.gz", np.s_[8:14, 10:20, 6:14], np.s_[16:20, 10:20, 6:14]),
    ]
    whole, pieces = inference(datalist, Threshold(), doubt_model=str(model))
    assert [*list(whole)][: 4 + len(INDICATORS) - 1] == [
        "case",
        "doubt",
        "uncertainty_pancreas",
        "uncertainty_lesion",
        *list(INDICATORS)[1:],
    ]
    assert float(whole["doubt"]) < 0.1 and float(whole["localiser_agreement"]) > 0.9
    assert float(pieces["doubt"]) > 0.5
    sentence = "The result for pieces is doubtful ({:.2f}): the organ lies in several pieces; check it before use."
    assert sentence.format(float(pieces["doubt"])) in caplog.text
    assert "The result for whole" not in caplog.text


def test_inference_warns_where_nothing_is_found(inference, tmp_path, caplog):
    scan_path = write_scan(tmp_path / "empty.nii.gz")
    (row,) = inference([scan_path], Threshold(), doubt_model=str(write_doubt_model(tmp_path / "doubt.json")))
    assert float(row["doubt"]) == 1
    assert row["volume_ml"] == ""
    assert "The result for empty is doubtful (1.00): no pancreas was found; check it before use." in caplog.text


def test_without_a_model_the_indicators_are_written_and_no_score(inference, tmp_path, caplog):
    (row,) = inference([write_scan(tmp_path / "whole.nii.gz", ORGAN_OF_SCAN)], Threshold(), doubt_model=None)
    assert row["doubt"] == row["embedding_distance"] == ""
    assert float(row["volume_ml"]) == pytest.approx(14 * 10 * 8 * 27 / 1000)
    assert "doubtful" not in caplog.text


def test_the_bundle_ships_a_model_of_doubt(bundle_root):
    model = read_doubt_model(bundle_root / "models" / "doubt.json")
    assert 0 < model.threshold < 1
    assert all(term.weight >= 0 and term.scale > 0 for term in model.terms.values())
    assert len(model.familiar.mean) == 32
    assert json.loads((bundle_root / "models" / "doubt.json").read_text())["fitted"]["patients"] > 1
