"""What a training is judged by: the masks that ship, with healthy scans, and also after its last epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler, from_engine

from dualtask.engines import StructureDice
from dualtask.handlers import LastValidation

SHAPE = (6, 6, 6)


def masks(organ: int, lesion: int) -> torch.Tensor:
    """Slabs of so many voxels' height, [1, 2, 6, 6, 6]; NaN for a structure that was not annotated (-1)."""
    result = torch.zeros(1, 2, *SHAPE)
    for channel, height in enumerate((organ, lesion)):
        result[0, channel, :height] = 1
        if height < 0:
            result[0, channel] = math.nan
    return result


def scored(metric: StructureDice, *pairs: tuple[torch.Tensor, torch.Tensor]) -> float:
    for prediction, reference in pairs:
        metric(prediction, reference)
    return float(metric.aggregate())


ILL = masks(4, 2), masks(4, 1)  # the lesion twice as large as it is
HEALTHY = masks(4, 0), masks(4, 0)
ALARM = masks(4, 1), masks(4, 0)
NOT_ANNOTATED = masks(2, 3), masks(4, -1)


def test_a_false_alarm_scores_nothing_and_a_healthy_scan_without_one_everything():
    assert scored(StructureDice(["lesion"]), ILL, HEALTHY, ALARM) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scored(StructureDice(["lesion"], scans="with"), ILL, HEALTHY, ALARM) == pytest.approx(2 / 3)
    assert scored(StructureDice(["lesion"], scans="without"), ILL, HEALTHY, HEALTHY, ALARM) == pytest.approx(2 / 3)


def test_a_structure_that_was_not_annotated_does_not_count_for_its_scan():
    assert scored(StructureDice(["lesion"]), ILL, NOT_ANNOTATED) == pytest.approx(2 / 3)
    assert scored(StructureDice(["pancreas"]), NOT_ANNOTATED) == pytest.approx(2 / 3)
    assert scored(StructureDice(), NOT_ANNOTATED) == pytest.approx(2 / 3)
    assert scored(StructureDice(), ILL, NOT_ANNOTATED) == pytest.approx(((1 + 2 / 3) / 2 + 2 / 3) / 2)


def test_a_mean_over_no_scan_is_no_number():
    assert math.isnan(scored(StructureDice(["lesion"], scans="without"), ILL))
    assert math.isnan(scored(StructureDice(["lesion"]), NOT_ANNOTATED))


@pytest.mark.parametrize(
    ("epochs", "interval", "validated"), [(2, 5, [2]), (7, 5, [5, 7]), (6, 3, [3, 6]), (3, 1, [1, 2, 3])]
)
def test_the_last_epoch_is_validated_too(epochs: int, interval: int, validated: list[int]):
    class Validator(SupervisedEvaluator):
        seen: list[int]

        def __init__(self) -> None:
            self.seen = []

        def run(self, global_epoch: int = 1) -> None:
            self.seen.append(global_epoch)

    validator, trainer = Validator(), Engine(lambda engine, batch: None)
    ValidationHandler(interval, validator).attach(trainer)
    LastValidation(validator, interval).attach(trainer)
    trainer.run([0], max_epochs=epochs)
    assert validator.seen == validated


def test_what_is_validated_follows_the_rules_of_inference(bundle_root):
    """A checkpoint is chosen by the mask that ships; flips and the localiser are left out."""
    configs = [json.loads((bundle_root / "configs" / name).read_text()) for name in ("inference.json", "train.json")]
    shipped, validated = (
        {step["_target_"]: step for step in steps if isinstance(step, dict)}
        for steps in (
            configs[0]["postprocessing"]["transforms"],
            configs[1]["validate"]["postprocessing"]["transforms"],
        )
    )
    for rule in ("KeepLargestConnectedComponentd", "dualtask.transforms.LesionComponentsd"):
        assert validated[rule] == shipped[rule]
    names = [name for name in shipped if name in validated]
    assert names == [name for name in validated if name in names] and "dualtask.transforms.LabelMapd" in names


@pytest.fixture
def validation(workflow: Callable, small_dataset):
    """Masks [2, X, Y, Z] that validation makes of maps and a label map on a grid of 3 mm."""
    parser = workflow("train.json", dataset_dir=str(small_dataset)).parser
    postprocessing = parser.get_parsed_content("validate#postprocessing")

    def run(maps: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        affine = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0]))
        data = {"pred": MetaTensor(maps, affine=affine), "label": MetaTensor(label, affine=affine)}
        data = postprocessing({**data, "known": torch.ones_like(label), "annotated": torch.ones(2)})
        pred, reference = (part[0] for part in from_engine(["pred", "label"])([data]))
        return pred, reference

    return run


def test_an_unsure_or_a_tiny_lesion_is_taken_back_before_it_is_scored(validation):
    maps = torch.zeros(6, 20, 12, 12)
    maps[2:4] = 5.0
    maps[0, 2:18, 2:10, 2:10] = 0.99
    maps[0, 19, 11, 11] = 0.99  # a second organ
    for part, probability in (
        (np.s_[3:6, 3:6, 3:6], 0.9),  # likely, but not as likely as inference asks
        (np.s_[8:11, 3:6, 3:6], 0.97),
        (np.s_[14:15, 3:4, 3:4], 0.99),  # one voxel
    ):
        maps[(1, *part)], maps[(3, *part)] = probability, -2.0
    label = torch.zeros(1, 20, 12, 12)
    label[:, 2:18, 2:10, 2:10] = 1
    found, reference = validation(maps, label)
    assert torch.equal(found[0].bool(), reference[0].bool())
    expected = torch.zeros(20, 12, 12, dtype=torch.bool)
    expected[8:11, 3:6, 3:6] = True
    assert torch.equal(found[1].bool(), expected)
