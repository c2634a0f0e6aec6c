"""The server of a federation, where NVFlare is installed."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

pytest.importorskip("nvflare", reason="NVFlare is not installed: federated training is left out")

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.abstract.model import make_model_learnable

from dualtask.networks import DualTaskNet, DynUNetBackbone, load_weights
from dualtask_research.federated.aggregation import CheckedMean
from dualtask_research.federated.persistence import BundleWeights

SENT = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32)}


def update(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=values.shape).astype(np.float32) for name, values in SENT.items()}


@pytest.fixture
def mean():
    aggregator = CheckedMean(["first", "second", "third"])
    aggregator.handle_event("_start_run", FLContext())
    aggregator.reset_stats()
    aggregator.begin(SENT)
    return aggregator


def give(aggregator: CheckedMean, site: str, params: object, **meta: object) -> None:
    model = FLModel(params=SENT, meta={"client_name": site, **meta})
    model.params = params
    aggregator.accept_model(model)


def assert_mean_of(aggregator: CheckedMean, *updates: dict[str, np.ndarray]) -> None:
    result = aggregator.aggregate_model().params
    for name in SENT:
        np.testing.assert_allclose(result[name], np.mean([each[name] for each in updates], axis=0), rtol=1e-6)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Without NVFlare's complaint that there is no server around the aggregator."""
    return [record for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    "broken",
    [
        {name: values * np.nan for name, values in update(9).items()},
        {f"other.{name}": values for name, values in update(9).items()},
        {"a": update(9)["a"], "b": np.ones(5, np.float32)},
    ],
    ids=["nan", "other names", "other shapes"],
)
def test_a_broken_update_is_named_once_and_the_mean_is_that_of_the_others(mean, caplog, broken):
    with caplog.at_level(logging.WARNING):
        give(mean, "first", update(1))
        give(mean, "second", broken)
        give(mean, "third", update(3))
        assert_mean_of(mean, update(1), update(3))
    (record,) = warnings_of(caplog)
    assert "second sent weights" in record.getMessage()
    assert record.getMessage().endswith("its update is left out, the round goes on.")


def test_a_site_that_does_not_answer_is_named_and_left_out(mean, caplog):
    with caplog.at_level(logging.WARNING):
        give(mean, "first", update(1))
        give(mean, "third", update(3))
        assert_mean_of(mean, update(1), update(3))
    (record,) = warnings_of(caplog)
    assert "second gave no update in this round" in record.getMessage()


def test_a_site_cannot_give_itself_more_weight(mean):
    give(mean, "first", update(1), NUM_STEPS_CURRENT_ROUND=10**9)
    give(mean, "second", update(2), NUM_STEPS_CURRENT_ROUND=1)
    assert_mean_of(mean, update(1), update(2))


def test_without_a_usable_update_the_weights_stay(mean, caplog):
    give(mean, "first", None)
    with caplog.at_level(logging.WARNING):
        assert_mean_of(mean, SENT)
    assert "the weights stay as they were" in caplog.text


def test_a_round_forgets_the_one_before(mean):
    give(mean, "first", update(1))
    mean.reset_stats()
    give(mean, "first", update(2))
    assert_mean_of(mean, update(2))


def test_the_result_is_read_as_weights_of_the_bundle(tmp_path):
    network = DualTaskNet(DynUNetBackbone(width=4), sharpness=[1.0, 1.0])
    torch.save(network.state_dict(), tmp_path / "initial.pt")
    persistor = BundleWeights(str(tmp_path / "initial.pt"), str(tmp_path / "model.pt"))
    loaded = persistor.load_model(FLContext())["weights"]
    persistor.save_model(make_model_learnable({name: values + 1 for name, values in loaded.items()}, {}), FLContext())
    again = load_weights(DualTaskNet(DynUNetBackbone(width=4), sharpness=[1.0, 1.0]), str(tmp_path / "model.pt"))
    for name, values in again.state_dict().items():
        torch.testing.assert_close(values, network.state_dict()[name] + 1)
