"""The step that one odd batch can take has a bound."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from dualtask.handlers import GradientClipping


def weight_after_a_step(gradients: list[float], max_norm: float) -> float:
    """Of a descent at rate 1 from 0, by the mean of the gradients of so many accumulated batches."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[(torch.full((1, 1), value), torch.zeros(1, 1)) for value in gradients],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda output, _: output.sum(),
        accumulation_steps=len(gradients),
        prepare_batch=lambda batch, *_, **__: batch,
        decollate=False,
    )
    GradientClipping(network, trainer.optimizer, max_norm).attach(trainer)
    trainer.run()
    return network.weight.item()


@pytest.mark.parametrize(("gradient", "step"), [(3.0, -3.0), (-500.0, 12.0), (13.0, -12.0)])
def test_a_gradient_beyond_the_bound_is_scaled_down_to_it_and_others_stay(gradient, step):
    assert weight_after_a_step([gradient], max_norm=12.0) == pytest.approx(step, rel=1e-5)


def test_the_bound_holds_for_the_gradient_of_the_step_and_not_for_each_batch_of_it():
    assert weight_after_a_step([500.0, -500.0, 6.0], max_norm=12.0) == pytest.approx(-2.0, rel=1e-4)
