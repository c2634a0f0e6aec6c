"""How a batch of crops becomes views, their targets, and what the teacher says of another view."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from dualtask.engines import PrepareViews
from dualtask.networks.heads import Heads

SHAPE = (4, 3, 2)


class Teacher(nn.Module):
    """Answers with the image itself, through a weight that would record a gradient; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[torch.Tensor] = []

    def heads(self, image: torch.Tensor) -> Heads:
        self.seen.append(image)
        answer = self.weight * image.expand(-1, 2, -1, -1, -1)
        return Heads(answer.bfloat16(), answer, answer)


class Counted:
    """Adds its number of calls to the image, so that each view differs from the others."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return image + self.calls


def batch(count: int = 2) -> dict[str, torch.Tensor]:
    image = torch.rand(count, 1, *SHAPE)
    known = torch.ones(count, 1, *SHAPE)
    known[:, :, 0] = 0
    return {
        "image": MetaTensor(image * known),
        "label": MetaTensor(torch.rand(count, 2, *SHAPE)),
        "label_distance": torch.rand(count, 2, *SHAPE),
        "label_sites": torch.zeros(count, 1, 1, 1, 1, dtype=torch.uint8),
        "annotated": torch.rand(count, 2),
        "known": MetaTensor(known),
    }


def prepare(views, teacher, data):
    return PrepareViews(views, teacher)(data, torch.device("cpu"), False)


@pytest.mark.parametrize("views", [1, 2])
def test_each_view_comes_with_the_targets_of_its_crops_as_plain_tensors(views):
    data = batch()
    images, targets = prepare([nn.Identity()] * views, None, data)
    assert torch.equal(images, torch.cat([data["image"].as_tensor()] * views))
    assert targets.teacher is None
    assert targets.organs is None
    for key, part in zip(("label", "label_distance", "label_sites", "annotated", "known"), targets[:5], strict=True):
        assert torch.equal(part, torch.cat([torch.as_tensor(data[key])] * views))
        assert not isinstance(part, MetaTensor)


def test_the_teacher_is_asked_once_and_looks_at_a_view_of_its_own():
    view, teacher, data = Counted(), Teacher(), batch()
    images, targets = prepare([view], teacher, data)
    assert len(teacher.seen) == 1
    assert view.calls == 2
    assert not torch.equal(teacher.seen[0], images)
    assert targets.teacher.logits.shape == (2, 2, *SHAPE)


def test_without_a_teacher_no_further_view_is_made():
    view = Counted()
    prepare([view], None, batch())
    assert view.calls == 1


def test_what_the_teacher_says_has_no_gradient_and_single_precision():
    teacher = Teacher()
    _, targets = prepare([nn.Identity()], teacher, batch())
    for part in targets.teacher[:3]:
        assert part.dtype == torch.float32
        assert not part.requires_grad
    assert teacher.weight.grad is None


def test_unknown_voxels_stay_zero_in_every_view():
    teacher = Teacher()
    images, _ = prepare([Counted(), Counted()], teacher, batch())
    for shown in (images, *teacher.seen):
        assert shown[:, :, 0].abs().max() == 0
        assert shown[:, :, 1:].min() >= 1
