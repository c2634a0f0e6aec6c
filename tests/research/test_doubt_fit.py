"""The fit of the model of doubt: on results made by hand, and on the cascade with a network that thresholds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from dualtask.doubt import INDICATORS, read_doubt_model
from dualtask.doubt.model import Familiar
from dualtask.errors import InputError
from dualtask.evaluation.metrics import METRICS
from dualtask.evaluation.tables import write_scores
from dualtask.inferers import CascadeInferer
from dualtask.networks.heads import Heads
from dualtask.scans import decathlon_datalist
from dualtask_research.chain import Chain
from dualtask_research.doubt.collect import results_of_versions, training_embeddings
from dualtask_research.doubt.fit import choose_threshold, familiar_embeddings, fit, table, write_model
from dualtask_research.doubt.results import Result, read_evaluated, write_results
from dualtask_research.doubt.versions import AS_IT_IS, VERSIONS, misled, without_pancreas

FAMILIAR = Familiar(np.zeros(32), np.eye(32))


def result(case: int, failed: bool, rng: np.random.Generator) -> Result:
    """Failures are less certain; the brightness says nothing."""
    certainty = rng.normal(0.7 if failed else 0.9, 0.05)
    values = dict.fromkeys(INDICATORS) | {"certainty": certainty, "brightness": rng.normal(0.5, 0.1), "volume_ml": 80.0}
    return Result(f"case_{case}", "site", AS_IT_IS, 0.2 if failed else 0.8, values)


@pytest.fixture
def results() -> list[Result]:
    rng = np.random.default_rng(0)
    return [result(case, failed, rng) for case in range(8) for failed in (False, False, True)]


def test_failures_of_patients_that_were_left_out_are_flagged(results):
    model, scored = fit(results, FAMILIAR)
    assert len(scored) == len(results)
    overall = table(scored, model.threshold)[-1]
    assert overall.failed_flagged >= 7 and overall.good_flagged <= 1
    assert model.terms["certainty"].weight > 5 * model.terms["brightness"].weight
    assert model.terms["border_share"].weight == 0
    usual = model.terms["certainty"].centre
    assert usual == pytest.approx(0.9, abs=0.02)


def test_the_model_as_written_judges_as_the_fitted_one(results, tmp_path):
    model, scored = fit(results, FAMILIAR)
    write_model(tmp_path / "doubt.json", model, scored)
    read = read_doubt_model(tmp_path / "doubt.json")
    for each in results:
        assert read.judge(each.values).score == pytest.approx(model.judge(each.values).score, abs=1e-3)
    fitted = json.loads((tmp_path / "doubt.json").read_text())["fitted"]
    assert (fitted["patients"], fitted["failed"], fitted["good"]) == (8, 8, 16)


def test_results_without_an_organ_teach_nothing(results):
    empty = Result("case_9", "site", AS_IT_IS, 0.0, dict.fromkeys(INDICATORS))
    assert fit([*results, empty], FAMILIAR)[0].terms == fit(results, FAMILIAR)[0].terms


def test_without_failures_there_is_nothing_to_fit(results):
    with pytest.raises(InputError, match="good and failed results of several patients"):
        fit([each for each in results if not each.failed], FAMILIAR)


def test_the_threshold_flags_at_most_a_tenth_of_the_good_results():
    good, failed = np.linspace(0, 0.6, 20), [0.3, 0.58, 0.7, 0.9]
    threshold = choose_threshold([*good, *failed], [False] * 20 + [True] * 4)
    assert np.mean(good >= threshold) <= 0.1
    assert [score >= threshold for score in failed] == [False, True, True, True]


def test_the_distance_of_training_scans_is_about_one():
    embeddings = np.random.default_rng(0).normal(3, 2, (400, 32))
    familiar = familiar_embeddings([tuple(each) for each in embeddings])
    assert np.mean([familiar.distance(tuple(each)) for each in embeddings]) == pytest.approx(1, abs=0.1)
    assert familiar.distance((30.0,) * 32) > 5


class Threshold(torch.nn.Module):
    """Takes all that is brighter than soft tissue for the organ."""

    sharpness = torch.ones(1, 2, 1, 1, 1)
    regression_share = torch.zeros(1, 2, 1, 1, 1)

    def heads(self, image: torch.Tensor) -> Heads:
        organ = (image > 0.6).float()
        masks = torch.cat([organ, 0 * organ], dim=1)
        return Heads(40 * (masks - 0.5), 1 - 2 * masks, image.new_ones(1, 32, 1, 1, 1))


@pytest.fixture
def chain(bundle_root) -> Chain:
    parser = ConfigParser()
    parser.read_config(str(bundle_root / "configs" / "train.json"))
    inferer = CascadeInferer(
        Threshold(), factor=2, localiser_size=(8, 8, 8), region_size=(32, 32, 24), truncation=(15.0, 7.5)
    )
    return Chain(inferer, Threshold(), parser.get_parsed_content("preprocessing"), 27.0)


def test_each_version_of_a_case_has_a_result(chain, small_dataset, tmp_path):
    cases = decathlon_datalist(small_dataset)[:1]
    results = list(results_of_versions(cases, chain, tmp_path / "cache", FAMILIAR))
    assert {each.version for each in results} | {"without pancreas"} == set(VERSIONS)
    assert all(0 <= each.dice <= 1 and list(each.values) == list(INDICATORS) for each in results)
    assert len({each.case for each in results}) == 1
    write_results(tmp_path / "results.csv", results)
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + len(results)


def test_the_embeddings_are_those_of_some_training_cases_of_each_site(chain, small_dataset, tmp_path):
    cases = decathlon_datalist(small_dataset)
    assert len(training_embeddings(cases, chain, tmp_path / "cache", per_site=1)) == 2


def test_the_part_without_pancreas_is_the_larger_one():
    label = torch.zeros(1, 4, 4, 40)
    label[..., 10:20] = 1
    scan = {"image": torch.arange(40.0).expand(1, 4, 4, 40), "label": label, "known": torch.ones(1, 4, 4, 40)}
    part = without_pancreas(scan)
    assert part["image"][0, 0, 0].tolist() == list(range(20, 40))
    assert without_pancreas({key: values[..., 5:25] for key, values in scan.items()}) is None


def test_a_misled_localiser_points_to_the_left_and_down():
    image = torch.zeros(1, 1, 60, 20, 40)
    image[..., 40:46, 8:12, 30:34] = 1
    inferer = CascadeInferer(
        Threshold(), factor=2, localiser_size=(8, 8, 8), region_size=(16, 16, 16), truncation=(15.0, 7.5)
    )
    places = [np.argwhere(each.localise(image)[0]).mean(0) for each in (inferer, misled(inferer))]
    assert (places[1] - places[0]).tolist() == [-30, 0, -24]


@pytest.mark.parametrize("shape", [(20, 20, 40), (60, 20, 8)])
def test_a_localiser_that_points_out_of_a_small_scan_finds_nothing(shape):
    inferer = CascadeInferer(
        Threshold(), factor=2, localiser_size=(8, 8, 8), region_size=(16, 16, 16), truncation=(15.0, 7.5)
    )
    assert not misled(inferer).localise(torch.ones(1, 1, *shape))[0].any()


def test_an_evaluation_joins_by_its_tables(tmp_path):
    scores = {"site": "a", "structure": "pancreas", "dice": 0.4}
    metrics = [
        scores | {"case": "x"},
        scores | {"case": "x", "structure": "lesion", "dice": 0.9},
        scores | {"case": "healthy", "dice": float("nan")},
    ]
    write_scores(tmp_path / "metrics.csv", [dict.fromkeys(METRICS, 0.0) | row for row in metrics])
    with pytest.raises(InputError, match=r"scans\.csv does not exist"):
        read_evaluated(tmp_path)
    header = ",".join(["case", "doubt", *INDICATORS])
    numbers = ",".join(["0.5"] * len(INDICATORS))
    (tmp_path / "scans.csv").write_text(f"{header}\nx,0.1,{numbers}\nhealthy,0.1,{numbers}\n")
    (joined,) = read_evaluated(tmp_path)
    assert (joined.case, joined.site, joined.dice, joined.failed) == ("x", "a", 0.4, True)
    assert joined.values["certainty"] == 0.5 and joined.values["embedding_distance"] is None
    (tmp_path / "scans.csv").write_text(f"{header}\n")
    with pytest.raises(InputError, match="does not fit"):
        read_evaluated(tmp_path)
