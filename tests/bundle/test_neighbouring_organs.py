"""Organs around the pancreas are taught where they are labelled, and leave no trace in what is shipped."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from dualtask.errors import InputError
from dualtask.losses import NeighbouringOrgans, Targets
from dualtask.networks import DualTaskNet, DynUNetBackbone, load_weights
from dualtask.networks.heads import Heads
from dualtask.scans import LoadOrgans, LoadScand
from small_workflows import SMALL_GRID

SHAPE = (6, 5, 4)
CLASSES = 3


def targets(organs: torch.Tensor, known: torch.Tensor | None = None) -> Targets:
    nothing = torch.zeros(1, 2, *SHAPE)
    known = torch.ones(1, 1, *SHAPE) if known is None else known
    return Targets(nothing, nothing, torch.zeros(1, 1, 1, 1, 1), torch.ones(1, 2), known, organs=organs)


def heads(logits: torch.Tensor) -> Heads:
    nothing = torch.zeros(1, 2, *SHAPE)
    return Heads(nothing, nothing, torch.zeros(1, 1, 1, 1, 1), logits)


def organs() -> torch.Tensor:
    return torch.randint(0, CLASSES, (1, 1, *SHAPE), generator=torch.Generator().manual_seed(0)).float()


def test_the_right_answer_costs_nothing_and_descent_moves_towards_it():
    truth = organs()
    masks = torch.nn.functional.one_hot(truth[:, 0].long(), CLASSES).movedim(-1, 1).float()
    assert NeighbouringOrgans()(heads(40 * masks), targets(truth)).item() == pytest.approx(0, abs=1e-4)
    logits = torch.zeros(1, CLASSES, *SHAPE, requires_grad=True)
    NeighbouringOrgans()(heads(logits), targets(truth)).backward()
    assert (logits.grad[masks > 0] < 0).all()


@pytest.mark.parametrize("hidden", ["not labelled", "not shown"])
def test_voxels_whose_organ_is_not_known_teach_nothing(hidden):
    truth, known = organs(), torch.ones(1, 1, *SHAPE)
    if hidden == "not labelled":
        truth[..., :2] = -1
    else:
        known[..., :2] = 0
    logits = torch.zeros(1, CLASSES, *SHAPE, requires_grad=True)
    NeighbouringOrgans()(heads(logits), targets(truth, known)).backward()
    assert (logits.grad[..., :2] == 0).all()
    assert (logits.grad[..., 2:] != 0).any()


def test_a_batch_without_a_labelled_organ_costs_nothing():
    assert NeighbouringOrgans()(heads(torch.randn(1, CLASSES, *SHAPE)), targets(-torch.ones(1, 1, *SHAPE))) == 0


def write(path, values) -> str:
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([2.0, 2.0, 3.0, 1.0])), path)
    return str(path)


def test_a_scan_without_labelled_organs_gets_a_map_that_says_so(tmp_path):
    scan = write(tmp_path / "scan.nii.gz", np.arange(120).reshape(SHAPE) - 50)
    labelled = write(tmp_path / "organs.nii.gz", np.arange(120).reshape(SHAPE) % CLASSES)
    loading, reading = LoadOrgans(key="organs", image_key="image", classes=CLASSES), LoadScand(keys="image")
    assert loading(reading({"image": scan}))["organs"].unique().tolist() == [-1]
    read = loading(reading({"image": scan, "organs": labelled}))["organs"]
    assert np.array_equal(np.asarray(read)[0], np.arange(120).reshape(SHAPE) % CLASSES)


def test_a_value_beyond_the_classes_is_refused_in_one_sentence(tmp_path):
    scan = write(tmp_path / "scan.nii.gz", np.arange(120).reshape(SHAPE) - 50)
    organs = write(tmp_path / "organs.nii.gz", np.full(SHAPE, CLASSES))
    with pytest.raises(InputError, match=r"organs\.nii\.gz holds the label values 3, known are 0, 1, 2"):
        LoadOrgans(key="organs", image_key="image", classes=CLASSES)(
            {**LoadScand("image")({"image": scan}), "organs": organs}
        )


def network(organ_classes: int = 0) -> DualTaskNet:
    return DualTaskNet(DynUNetBackbone(width=8), sharpness=(10.0, 5.0), organ_classes=organ_classes)


@pytest.mark.parametrize(("trained_with", "used_with"), [(CLASSES, 0), (0, CLASSES)])
def test_weights_are_the_same_with_and_without_the_head_of_training(tmp_path, trained_with, used_with):
    trained, image = network(trained_with).eval(), torch.rand(1, 1, 32, 32, 16)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    used = load_weights(network(used_with), str(tmp_path / "model.pt"))
    with torch.no_grad():
        assert torch.equal(used(image), trained(image))


def test_one_option_of_training_teaches_the_organs_that_a_data_set_names(workflow, small_dataset, tmp_path):
    training = workflow(
        "train.json",
        **{
            "dataset_dir": str(small_dataset),
            "image_format": SMALL_GRID,
            "organ_classes": 9,
            "train#trainer#max_epochs": 1,
            "ckpt_dir": str(tmp_path),
            "tracking_uri": "",
            "val_interval": 1,
        },
    )
    training.run()
    terms = training.parser.get_parsed_content("loss").values
    assert terms["neighbouring_organs"] == 0  # none of these scans names organs
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert state["organs.weight"].shape[0] == 9
