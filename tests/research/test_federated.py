"""Sites that train together: what is exchanged, what is averaged, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from torch import nn

from dualtask.errors import InputError
from dualtask.handlers import WeightAverage
from dualtask.networks import DualTaskNet, DynUNetBackbone, ResidualUNet, SegResNetBackbone
from dualtask.nifti import save_nifti
from dualtask_research.federated.averaging import AverageOfRound
from dualtask_research.federated.network import refuse_batch_statistics
from dualtask_research.federated.page import answers, difference_table, score_table
from dualtask_research.federated.plan import read_federation
from dualtask_research.federated.settings import plain_settings, training_configs
from dualtask_research.federated.site import SiteTraining
from dualtask_research.federated.updates import Weights, mean_weights, why_unusable
from handmade_scan import AFFINE, label_map, write_nifti
from small_workflows import SMALL_GRID

PLAN = Path(__file__).resolve().parents[2] / "configs" / "federated" / "synthetic.json"


def weights(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in {"a": (2, 3), "b": (4,)}.items()}


def test_the_mean_is_that_of_numpy():
    updates = [weights(seed) for seed in range(3)]
    mean = mean_weights(updates)
    for name in updates[0]:
        np.testing.assert_allclose(mean[name], sum(update[name] for update in updates) / 3, rtol=1e-6)
        assert mean[name].dtype == np.float32


def test_the_order_in_which_sites_answer_does_not_matter():
    updates = [weights(seed) for seed in range(5)]
    forward, backward = mean_weights(updates), mean_weights(updates[::-1])
    assert all(np.array_equal(forward[name], backward[name]) for name in forward)


def test_weights_like_those_that_were_sent_are_usable():
    assert why_unusable(weights(1), weights(0)) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: own["a"].__setitem__((0, 1), np.nan), r"not finite \(a\)"),
        (lambda own: own["b"].__setitem__(0, np.inf), r"not finite \(b\)"),
        (lambda own: own.pop("b"), "another network .*lacks b"),
        (lambda own: own.update(c=own["a"]), "another network .*has c"),
        (lambda own: own.update(a=own["a"].T.copy()), r"another network \(a has the shape \(3, 2\), not \(2, 3\)\)"),
        (lambda own: own.update(a=own["a"].astype(int)), "a as something else than floating-point"),
        (lambda own: own.update(a="text"), "a as something else than floating-point"),
    ],
)
def test_what_cannot_be_averaged_is_named(change, words):
    own = weights(1)
    change(own)
    assert re.search(words, why_unusable(own, weights(0)) or "")


def test_an_empty_answer_is_named():
    assert why_unusable(None, weights(0)) == "sent no weights"


def trained(network: nn.Module, handler: AverageOfRound, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """The weight after each step of a round, in which each step lets it grow by 1."""
    after: list[float] = []

    def step(engine: Engine, batch: int) -> None:
        optimizer.zero_grad()
        (-network.weight.sum()).backward()
        optimizer.step()
        after.append(float(network.weight))

    engine = Engine(step)
    handler.attach(engine)
    engine.run(range(steps))
    return after


@pytest.fixture
def rounds():
    """A network of one weight, its optimizer, its average and what resets it."""
    network = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    averaging = WeightAverage(network, optimizer)
    averaging.attach(Engine(lambda *_: None))
    return network, optimizer, averaging, AverageOfRound(network, averaging)


def test_a_site_sends_the_average_of_its_round(rounds):
    network, optimizer, averaging, handler = rounds
    nn.init.zeros_(network.weight)
    after = trained(network, handler, optimizer, 6)
    assert after == [1, 2, 3, 4, 5, 6]
    expected = after[0]
    for count, value in enumerate(after[1:], 1):
        expected += (value - expected) * 10 / (10 + count)
    assert float(network.weight) == pytest.approx(expected)
    assert float(averaging.averaged.weight) == pytest.approx(expected)


def test_the_average_begins_anew_from_the_received_weights(rounds):
    network, optimizer, averaging, handler = rounds
    trained(network, handler, optimizer, 50)
    nn.init.constant_(network.weight, 1000.0)  # what the server sends
    trained(network, handler, optimizer, 1)
    assert float(averaging.averaged.weight) == 1001.0


def test_the_teacher_is_the_received_network_before_the_first_step(rounds):
    network, _, averaging, handler = rounds
    nn.init.constant_(network.weight, 7.0)
    engine = Engine(lambda *_: seen.append(float(averaging.averaged.weight)))
    seen: list[float] = []
    handler.attach(engine)
    engine.run([0])
    assert seen == [7.0]


@pytest.mark.parametrize("backbone", [DynUNetBackbone, ResidualUNet, SegResNetBackbone])
def test_networks_of_the_bundle_hold_nothing_but_parameters(backbone):
    network = DualTaskNet(backbone(width=8), sharpness=[1.0, 1.0])
    refuse_batch_statistics(network)
    assert network.state_dict().keys() == dict(network.named_parameters()).keys()


def test_running_statistics_are_refused():
    with pytest.raises(InputError, match=r"1 \(BatchNorm3d\) keeps running statistics"):
        refuse_batch_statistics(nn.Sequential(nn.Conv3d(1, 1, 1), nn.BatchNorm3d(1)))


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": "$__import__('os').system('true')"},
        {"learning_rate": "@seed"},
        {"network_def": {"_target_": "builtins.exec"}},
        {"loss#_target_": "builtins.exec"},
        {"+imports": "os"},
        {"train#handlers": ["$1"]},
        {"seed": "%other.json"},
    ],
)
def test_a_site_runs_nothing_that_a_server_states(settings):
    with pytest.raises(InputError):
        plain_settings(settings)


def test_a_site_takes_numbers_and_words():
    settings = {"learning_rate": 0.1, "train#dataloader#num_workers": 0, "dataset_dir": "/scans"}
    assert plain_settings(settings) == settings


@pytest.mark.parametrize("overlay", ["../bundle/configs/finetune.json", "/etc/passwd", "federated/absent.json"])
def test_a_site_takes_configs_of_its_own_only(overlay):
    with pytest.raises(InputError, match="no config of this site"):
        training_configs([overlay])


def test_the_federation_of_the_repository_is_read():
    federation = read_federation(PLAN)
    assert federation.unseen_site not in federation.sites
    assert [federation.settings_of(site)["seed"] for site in federation.sites] == [0, 1, 2]


@pytest.mark.parametrize("change", [{"sites": ["one"]}, {"sites": ["one", "one"]}, {"rounds": 0}, {"training": None}])
def test_what_is_no_federation_is_refused(change, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({**json.loads(PLAN.read_text()), **change}))
    with pytest.raises(InputError):
        read_federation(tmp_path / "plan.json")


def row(variant: str, seed: str, site: str, case: str, dice: float) -> dict[str, str]:
    """Of ``cases.csv``."""
    names = {"variant": variant, "seed": seed, "test_site": site, "case": case}
    return {**names, "structure": "pancreas", "dice": str(dice)}


def test_tables_compare_case_by_case():
    federation = read_federation(PLAN)
    rows = [row("federated", "0", "metro", case, dice) for case, dice in (("a", 0.5), ("b", 0.7))]
    rows += [row("pooled", "0", "metro", case, dice) for case, dice in (("a", 0.6), ("b", 0.8))]
    for site, dice in zip(federation.sites, (0.1, 0.2, 0.3), strict=True):
        rows += [row("alone", site, "metro", "a", dice), row("alone", site, "metro", "b", dice + 0.2)]
    scores = "\n".join(score_table(rows, federation))
    assert "| mean of those alone | 0.300 [0.200, 0.400] |" in scores
    assert "| alpine alone | 0.200 [0.100, 0.300] |" in scores
    differences = "\n".join(difference_table(rows, federation))
    assert "| mean of those alone | 0.300 [0.300, 0.300] |" in differences
    assert "| pooled | -0.100 [-0.100, -0.100] |" in differences
    better, behind = answers(rows, federation)
    assert "**better than** the networks trained alone" in better
    assert "**behind** the pooled network" in behind


def test_a_difference_whose_interval_holds_zero_is_no_answer():
    federation = read_federation(PLAN)
    rows = [row("federated", "0", "metro", case, dice) for case, dice in (("a", 0.5), ("b", 0.7))]
    rows += [row("pooled", "0", "metro", case, dice) for case, dice in (("a", 0.6), ("b", 0.6))]
    rows += [row("alone", "alpine", "metro", case, 0.6) for case in ("a", "b")]
    assert all("not to be told apart from" in answer for answer in answers(rows, federation))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> SiteTraining:
    """A site with MonaiAlgo on the small grid, and two scans."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("a", "b"):
        write_nifti(folder / f"{name}.nii.gz")
        save_nifti(folder / f"{name}_label.nii.gz", label_map(), AFFINE)
    cases = [{"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"} for name in ("a", "b")]
    (folder / "dataset.json").write_text(json.dumps({"training": cases}))
    (folder / "grid.json").write_text(json.dumps({"image_format": SMALL_GRID}))
    configs = [*training_configs(["federated/site.json"]), folder / "grid.json"]
    settings = {
        "network_def#backbone#width": 4,
        "scans_per_epoch": 2,
        "rounds": 3,
        "train#dataloader#num_workers": 0,
        "dataset_dir": str(folder),
        "output_dir": str(folder),
        "ckpt_dir": str(folder),
    }
    return SiteTraining("coastal", configs, settings, local_epochs=1)


def state(site: SiteTraining) -> Weights:
    return {
        name: values.numpy().copy() for name, values in site.algorithm.train_workflow.network_def.state_dict().items()
    }


def test_a_site_trains_from_the_received_weights_and_lowers_its_rate_over_all_rounds(site):
    received = {name: values + np.float32(0.01) for name, values in state(site).items()}
    rates = []
    for _ in range(2):
        sent, steps = site.train(received)
        assert steps == 1
        assert why_unusable(sent, received) is None
        # One step of Adam moves each weight by about the learning rate, from where the server had it.
        assert 0 < max(np.abs(sent[name] - received[name]).max() for name in sent) < 0.005
        rates.append(site.algorithm.trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.001 * (2 / 3) ** 0.9, 0.001 * (1 / 3) ** 0.9])


def test_a_site_refuses_weights_of_another_network(site):
    received = dict(state(site))
    name = next(iter(received))
    # MonaiAlgo would reshape them.
    received[name] = received[name].reshape(-1)
    with pytest.raises(InputError, match=r"The server sent weights of another network .* same network_def"):
        site.train(received)
