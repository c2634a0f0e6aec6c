"""Files of weights: what is read, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dualtask.errors import InputError
from dualtask.networks import load_weights


def saved(content: object, path: Path) -> str:
    torch.save(content, path)
    return str(path)


def test_the_weights_of_a_state_dict_and_of_the_form_before_are_loaded_for_evaluation(tmp_path):
    trained = nn.Linear(3, 2)
    for content in (trained.state_dict(), {"model": trained.state_dict()}):
        loaded = load_weights(nn.Linear(3, 2), saved(content, tmp_path / "model.pt"))
        torch.testing.assert_close(loaded.weight, trained.weight)
        assert not loaded.training


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": nn.Linear(3, 2).state_dict(), "trainer": {"epoch": 3}}, "last state of a training"),
        (nn.Linear(2, 2).state_dict(), "belong to another network"),
        ({"model": [1, 2]}, "belong to another network"),
        ({1: 2}, "belong to another network"),
        (3, "cannot be read"),
    ],
)
def test_anything_else_is_refused_with_the_name_of_the_file(content, words, tmp_path):
    with pytest.raises(InputError, match=words) as refusal:
        load_weights(nn.Linear(3, 2), saved(content, tmp_path / "given.pt"))
    assert str(tmp_path / "given.pt") in str(refusal.value)
