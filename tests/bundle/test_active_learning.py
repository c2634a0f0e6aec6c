"""Which scans the strategies choose, on pools where the right choice can be seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dualtask.active_learning import STRATEGIES, bottleneck_embeddings
from dualtask.networks import DualTaskNet, ResidualUNet

NOTHING = np.zeros((0, 2))


def choose(name: str, uncertainty, embeddings, labelled=NOTHING, count: int = 1, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    return STRATEGIES[name](np.asarray(uncertainty), np.asarray(embeddings, float), np.asarray(labelled), count, rng)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("labelled", [NOTHING, np.ones((3, 2))], ids=["nothing labelled", "some labelled"])
def test_choice_is_of_distinct_scans_as_many_as_asked_for(name: str, labelled: np.ndarray):
    rng = np.random.default_rng(1)
    for count in (1, 4, 9):
        chosen = choose(name, rng.random(9), rng.random((9, 2)), labelled, count)
        assert len(set(chosen)) == len(chosen) == count
        assert set(chosen) <= set(range(9))


@pytest.mark.parametrize("name", STRATEGIES)
def test_more_than_the_pool_holds_is_the_whole_pool(name: str):
    assert sorted(choose(name, [0.1, 0.2], np.eye(2), count=5)) == [0, 1]


def test_random_reaches_every_scan_and_only_chance_decides():
    chosen = [choose("random", [0, 0, 1], np.eye(3, 2), seed=seed)[0] for seed in range(300)]
    assert min(np.bincount(chosen, minlength=3)) > 70


def test_uncertainty_goes_from_the_most_uncertain_down():
    assert choose("uncertainty", [0.2, 0.9, 0.1, 0.5], np.zeros((4, 2)), count=4) == [1, 3, 0, 2]


def test_diversity_takes_one_scan_of_each_cluster_before_a_second():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]])
    embeddings = np.concatenate([centre + rng.normal(0, 0.1, (5, 2)) for centre in centres])
    chosen = choose("diversity", np.zeros(20), embeddings, count=4)
    assert {index // 5 for index in chosen} == {0, 1, 2, 3}
    chosen = choose("diversity", np.zeros(20), embeddings, labelled=centres[:2], count=2)
    assert {index // 5 for index in chosen} == {2, 3}


def test_diversity_covers_the_pool_as_well_as_farthest_first_must():
    """The greedy radius is at most twice the best one, here found by trying all pairs."""
    points = np.random.default_rng(3).normal(size=(14, 2))
    scaled = (points - points.mean(0)) / points.std(0)
    distances = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    best = min(distances[:, [a, b]].min(1).max() for a in range(14) for b in range(a))
    chosen = choose("diversity", np.zeros(14), points, count=2)
    assert distances[:, chosen].min(1).max() <= 2 * best + 1e-9


def test_diversity_is_blind_to_the_scale_of_a_feature():
    embeddings = np.random.default_rng(5).normal(size=(12, 2))
    labelled = embeddings[:2] + 0.3
    scale = np.array([1.0, 1000.0])
    assert choose("diversity", np.zeros(12), embeddings, labelled, 5) == choose(
        "diversity", np.zeros(12), embeddings * scale, labelled * scale, 5
    )


def test_combined_prefers_the_uncertain_of_two_far_scans_and_the_far_of_two_uncertain_ones():
    embeddings, labelled = [[9.0, 0], [9.1, 0], [0.1, 0]], [[0.0, 0]]
    assert choose("combined", [0.8, 0.1, 0.7], embeddings, labelled) == [0]
    assert choose("combined", [0.1, 0.8, 0.9], embeddings, labelled) == [1]


def test_combined_depends_on_the_order_of_the_uncertainties_alone():
    rng = np.random.default_rng(7)
    uncertainty, embeddings = rng.random(10), rng.normal(size=(10, 3))
    shrunk = uncertainty**3 / 100
    labelled = rng.normal(size=(2, 3))
    assert choose("combined", uncertainty, embeddings, labelled, 5) == choose(
        "combined", shrunk, embeddings, labelled, 5
    )


def test_embedding_is_the_mean_of_the_bottleneck_and_leaves_the_network_as_it_was():
    torch.manual_seed(0)
    network = DualTaskNet(ResidualUNet(width=8), sharpness=(10.0, 5.0)).eval()
    image = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        with bottleneck_embeddings(network) as embeddings:
            network.heads(image)
        expected = network.backbone(image)[1].mean(dim=(2, 3, 4))
        network.heads(image)
    torch.testing.assert_close(torch.stack(embeddings), expected)
