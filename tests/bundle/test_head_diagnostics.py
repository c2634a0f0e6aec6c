"""What the record of a training says of each head: by hand on a tiny example, and of a head that has died."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine

from dualtask.handlers import DIAGNOSTICS, HeadDiagnostics
from dualtask.losses import Targets
from dualtask.networks.heads import Heads

TRUNCATION = [15.0, 7.5]
SHAPE = (1, 1, 4)


def crop(organ: list[int], lesion: list[int], annotated=(1, 1), known=(1, 1, 1, 1)) -> Targets:
    """Four voxels in a row; a voxel of a structure is half a truncation distance inside, the others as far outside."""
    masks = torch.tensor([organ, lesion], dtype=torch.float32).reshape(1, 2, *SHAPE)
    return Targets(
        masks,
        0.5 - masks,
        torch.zeros(1, 1, 1, 1, 1, dtype=torch.uint8),
        torch.tensor([annotated], dtype=torch.float32),
        torch.tensor(known, dtype=torch.float32).reshape(1, 1, *SHAPE),
    )


def heads(organ: list[float], lesion: list[float], distance: list[list[float]]) -> Heads:
    logits = torch.tensor([organ, lesion]).reshape(1, 2, *SHAPE)
    return Heads(logits, torch.tensor(distance).reshape(1, 2, *SHAPE), torch.zeros(1, 1, 1, 1, 1))


def diagnose(*seen: tuple[Heads, Targets]) -> dict[str, float]:
    diagnostics = HeadDiagnostics(TRUNCATION)
    for output in seen:
        diagnostics.update(output)
    return diagnostics.compute()


def test_the_numbers_by_hand():
    truth = crop(organ=[1, 1, 1, 0], lesion=[0, 1, 1, 0])
    estimate = heads(
        organ=[2.0, 2.0, -1.0, 3.0],
        lesion=[-1.0, 4.0, 4.0, -1.0],
        distance=[[-0.5, -0.5, -0.1, 0.5], [0.5, -0.3, 0.9, 9.0]],
    )
    found = diagnose((estimate, truth))
    assert found["dice_classification_pancreas"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["dice_regression_pancreas"] == 1
    assert found["dice_classification_lesion"] == 1
    assert found["dice_regression_lesion"] == pytest.approx(2 * 1 / (1 + 2))
    assert found["band_error_mm_pancreas"] == pytest.approx(15 * (0 + 0 + 0.4 + 0) / 4)
    # An estimate beyond the truncation distance is cut to it.
    assert found["band_error_mm_lesion"] == pytest.approx(7.5 * (0 + 0.2 + 1.4 + 0.5) / 4)
    assert found["inside_share_pancreas"] == 1
    assert found["inside_share_lesion"] == 0.5
    assert math.isnan(found["false_alarms_pancreas"]) and math.isnan(found["false_alarms_lesion"])
    assert len(found) == len(DIAGNOSTICS) * 2


def test_crops_are_pooled_and_alarms_counted_in_those_without_the_structure():
    truth = crop(organ=[1, 1, 0, 0], lesion=[0, 0, 0, 0])
    quiet = heads([1.0, 1.0, -1.0, -1.0], [-1.0] * 4, [[-0.5, -0.5, 0.5, 0.5], [0.5] * 4])
    alarmed = quiet._replace(logits=quiet.logits.abs())
    found = diagnose((quiet, truth), (alarmed, truth), (quiet, truth), (alarmed, crop([1, 1, 0, 0], [1, 1, 0, 0])))
    assert found["false_alarms_lesion"] == pytest.approx(1 / 3)
    assert found["dice_classification_lesion"] == pytest.approx(2 * 2 / (8 + 2))
    assert found["dice_classification_pancreas"] == pytest.approx(2 * 8 / (12 + 8))


def test_what_does_not_teach_is_not_counted():
    truth = crop(organ=[1, 1, 0, 0], lesion=[0, 0, 0, 0], annotated=(1, 0), known=(1, 0, 1, 1))
    estimate = heads([1.0] * 4, [1.0] * 4, [[-0.5, 9.0, 0.5, 0.5], [0.0] * 4])
    found = diagnose((estimate, truth))
    assert found["dice_classification_pancreas"] == pytest.approx(2 * 1 / (3 + 1))
    assert found["inside_share_pancreas"] == 1
    assert found["band_error_mm_pancreas"] == 0
    assert all(math.isnan(found[f"{name}_lesion"]) for name in DIAGNOSTICS)


def test_a_dead_distance_head_shows_in_the_first_epoch_and_each_epoch_counts_anew():
    truth = crop(organ=[1, 1, 1, 1], lesion=[0, 1, 1, 0])
    alive = heads([1.0] * 4, [-1.0, 1.0, 1.0, -1.0], [[-0.5] * 4, [0.5, -0.5, -0.5, 0.5]])
    dead = alive._replace(distance=torch.tensor([-0.5, 1.0])[None, :, None, None, None].expand(1, 2, *SHAPE))
    epochs = []
    trainer = Engine(lambda engine, pred: {"pred": pred, "label": truth})
    HeadDiagnostics(TRUNCATION).attach(trainer)
    trainer.run([dead], max_epochs=1)
    epochs.append(dict(trainer.state.metrics))
    trainer.run([alive], max_epochs=1)
    epochs.append(dict(trainer.state.metrics))
    assert [epoch["inside_share_lesion"] for epoch in epochs] == [0, 1]
    assert [epoch["dice_regression_lesion"] for epoch in epochs] == [0, 1]
    assert [epoch["dice_classification_lesion"] for epoch in epochs] == [1, 1]
