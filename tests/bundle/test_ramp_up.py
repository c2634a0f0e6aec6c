"""Terms that compare the two tasks come in gradually, the same way however often a training was interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from dualtask.handlers import RampUp
from dualtask.losses import DualTaskLoss

EPOCHS = 8


class Constant(nn.Module):
    """A term that is 1 whatever the network answers."""

    def forward(self, heads: object, targets: object) -> torch.Tensor:
        return torch.ones(())


@pytest.fixture
def loss() -> DualTaskLoss:
    return DualTaskLoss({name: Constant() for name in ("kept", "late", "off")}, {"kept": 1, "late": 2, "off": 0})


@pytest.fixture
def weights(loss: DualTaskLoss) -> Callable[..., list[float]]:
    """Weight of the late term in each epoch of a training that starts behind some epochs."""

    def run(ramp_up: int, done: int = 0) -> list[float]:
        engine = Engine(lambda engine, batch: loss.weights["late"])
        RampUp(loss, ["late", "off"], ramp_up).attach(engine)
        engine.state.epoch, engine.state.max_epochs, engine.state.epoch_length = done, EPOCHS, 1
        seen: list[float] = []
        engine.add_event_handler("EPOCH_COMPLETED", lambda engine: seen.append(engine.state.output))
        engine.run([0])
        return seen

    return run


def test_the_weight_rises_to_its_full_value_and_stays_there(weights: Callable[..., list[float]]) -> None:
    seen = weights(ramp_up=4)
    assert seen[0] == pytest.approx(2 * math.exp(-5))
    assert seen[:5] == sorted(set(seen[:5]))
    assert seen[4:] == [2.0] * (EPOCHS - 4)


def test_without_a_ramp_the_weight_is_full_from_the_start(weights: Callable[..., list[float]]) -> None:
    assert weights(ramp_up=0) == [2.0] * EPOCHS


def test_a_resumed_training_has_the_weights_of_one_at_once(weights: Callable[..., list[float]]) -> None:
    assert weights(ramp_up=4, done=2) == weights(ramp_up=4)[2:]


def test_other_terms_and_terms_without_a_weight_are_left_alone(
    loss: DualTaskLoss, weights: Callable[..., list[float]]
) -> None:
    weights(ramp_up=4)
    assert loss.weights == {"kept": 1.0, "late": 2.0}
