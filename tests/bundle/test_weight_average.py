"""The averaged network: what it holds, and that it goes on exactly where a training was interrupted."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from dualtask.handlers import WeightAverage

MOMENTUM = 0.9


def network(value: float = 0.0) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, value)
    return layer


def averaged(layer: nn.Module, momentum: float = MOMENTUM) -> WeightAverage:
    return WeightAverage(layer, torch.optim.SGD(layer.parameters(), lr=0.1), momentum)


def step(average: WeightAverage, value: float) -> None:
    """The optimiser has set the weight."""
    nn.init.constant_(average.network.weight, value)
    average()


def expected(values: list[float], momentum: float) -> float:
    """The first step is taken whole; then a share max(1 - momentum, 10 / (10 + n)) of each step n."""
    mean = values[0]
    for n, value in enumerate(values[1:], start=1):
        share = max(1 - momentum, 10 / (10 + n))
        mean += share * (value - mean)
    return mean


@pytest.mark.parametrize("count", [1, 2, 3, 10, 120])
def test_the_average_takes_its_share_of_each_step(count):
    average = averaged(network(5.0))
    values = [float(n % 7) for n in range(count)]
    for value in values:
        step(average, value)
    assert average.averaged.weight.item() == pytest.approx(expected(values, MOMENTUM))


def test_the_random_start_is_left_behind_and_the_memory_is_long_in_the_end():
    average = averaged(network(1e6), momentum=0.998)
    step(average, 1.0)
    assert average.averaged.weight.item() == 1.0
    for _ in range(10_000 - 1):
        step(average, 1.0)
    step(average, 2.0)
    assert average.averaged.weight.item() == pytest.approx(1.002)


def test_an_average_goes_on_from_its_state_bit_for_bit():
    whole, first = (averaged(network()) for _ in range(2))
    values = torch.rand(9, dtype=torch.float64).tolist()
    for value in values[:5]:
        step(whole, value)
        step(first, value)
    state = copy.deepcopy(first.state_dict())
    resumed = averaged(network(7.0))
    resumed.load_state_dict(state)
    for value in values[5:]:
        step(whole, value)
        step(resumed, value)
    assert torch.equal(resumed.averaged.weight, whole.averaged.weight)


def test_who_holds_the_averaged_network_sees_the_state_that_was_loaded():
    resumed, saved = averaged(network()), averaged(network())
    step(saved, 3.0)
    teacher = resumed.averaged
    resumed.load_state_dict(saved.state_dict())
    assert teacher.weight.item() == 3.0


def test_the_averaged_network_is_never_trained():
    average = averaged(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train())
    assert not average.averaged.training
    image = torch.rand(3, 2, requires_grad=True)
    average.averaged(image).sum().backward()
    average()
    average()
    assert all(not weight.requires_grad and weight.grad is None for weight in average.averaged.parameters())
    assert all(weight.requires_grad for weight in average.network.parameters())
    assert average.network.training


@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_average_is_taken_after_each_step_of_the_optimizer(accumulated):
    average = averaged(network())
    seen: list[float] = []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[(torch.ones(1, 1).double(), torch.full((1, 1), value).double()) for value in range(4)],
        network=average.network,
        optimizer=average.optimizer,
        loss_function=nn.MSELoss(),
        accumulation_steps=accumulated,
        prepare_batch=lambda batch, *_, **__: batch,
        decollate=False,
    )
    average.attach(trainer)
    average.optimizer.register_step_post_hook(lambda *_: seen.append(average.network.weight.item()))
    trainer.run()
    assert len(seen) == 4 // accumulated
    assert average.averaged.weight.item() == pytest.approx(expected(seen, MOMENTUM))
