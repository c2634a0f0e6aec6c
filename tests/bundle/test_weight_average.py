"""The averaged network: what it holds, and that it goes on exactly where a training was interrupted."""

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from dualtask.handlers import WeightAverage

MOMENTUM = 0.9


def network(value: float = 0.0) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, value)
    return layer


def step(average: WeightAverage, value: float) -> None:
    """The optimiser has set the weight."""
    nn.init.constant_(average.network.weight, value)
    average(Engine(lambda engine, batch: None))


def expected(values: list[float], momentum: float) -> float:
    """The first step is taken whole; then a share max(1 - momentum, 10 / (10 + n)) of each step n."""
    mean = values[0]
    for n, value in enumerate(values[1:], start=1):
        share = max(1 - momentum, 10 / (10 + n))
        mean += share * (value - mean)
    return mean


@pytest.mark.parametrize("count", [1, 2, 3, 10, 120])
def test_the_average_takes_its_share_of_each_step(count):
    average = WeightAverage(network(5.0), MOMENTUM)
    values = [float(n % 7) for n in range(count)]
    for value in values:
        step(average, value)
    assert average.averaged.weight.item() == pytest.approx(expected(values, MOMENTUM))


def test_the_random_start_is_left_behind_and_the_memory_is_long_in_the_end():
    average = WeightAverage(network(1e6), momentum=0.998)
    step(average, 1.0)
    assert average.averaged.weight.item() == 1.0
    for _ in range(10_000 - 1):
        step(average, 1.0)
    step(average, 2.0)
    assert average.averaged.weight.item() == pytest.approx(1.002)


def test_an_average_goes_on_from_its_state_bit_for_bit():
    whole, first = (WeightAverage(network(), MOMENTUM) for _ in range(2))
    values = torch.rand(9, dtype=torch.float64).tolist()
    for value in values[:5]:
        step(whole, value)
        step(first, value)
    state = copy.deepcopy(first.state_dict())
    resumed = WeightAverage(network(7.0), MOMENTUM)
    resumed.load_state_dict(state)
    for value in values[5:]:
        step(whole, value)
        step(resumed, value)
    assert torch.equal(resumed.averaged.weight, whole.averaged.weight)


def test_who_holds_the_averaged_network_sees_the_state_that_was_loaded():
    resumed, saved = WeightAverage(network(), MOMENTUM), WeightAverage(network(), MOMENTUM)
    step(saved, 3.0)
    teacher = resumed.averaged
    resumed.load_state_dict(saved.state_dict())
    assert teacher.weight.item() == 3.0


def test_the_averaged_network_is_never_trained():
    average = WeightAverage(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train())
    assert not average.averaged.training
    image = torch.rand(3, 2, requires_grad=True)
    average.averaged(image).sum().backward()
    step_ = Engine(lambda engine, batch: None)
    average(step_)
    average(step_)
    assert all(not weight.requires_grad and weight.grad is None for weight in average.averaged.parameters())
    assert all(weight.requires_grad for weight in average.network.parameters())
    assert average.network.training


def test_the_average_is_taken_after_every_iteration_of_a_trainer():
    average = WeightAverage(network(), MOMENTUM)
    values = [1.0, 4.0, 2.0]
    trainer = Engine(lambda engine, value: nn.init.constant_(average.network.weight, value))
    average.attach(trainer)
    trainer.run(values, max_epochs=1)
    assert average.averaged.weight.item() == pytest.approx(expected(values, MOMENTUM))
