"""The options of the viewers' panels."""

from collections.abc import Callable

import pytest
import torch
from monai.transforms import Compose

from dualtask.errors import InputError
from dualtask.inferers import CascadeInferer
from dualtask.networks.fusion import FUSIONS
from dualtask.transforms import ConfirmedLesion, LabelMapd, SplitMapsd
from lib.options import GO_BACK, PANEL, TRAINING_PANEL, SegmentationOptions, TrainingOptions, shows_final_label


@pytest.fixture
def cascade() -> CascadeInferer:
    return CascadeInferer(
        localiser=None, factor=3, localiser_size=(3, 3, 3), region_size=(8, 8, 8), truncation=[15.0, 7.5], flips=[[0]]
    )


def test_untouched_panel_means_the_bundles_own_cascade(cascade):
    chosen = SegmentationOptions.of(PANEL).of_inferer(cascade)
    assert vars(chosen) == vars(cascade)
    assert SegmentationOptions.of({}) == SegmentationOptions.of(PANEL) == SegmentationOptions()


def test_options_of_one_request_leave_the_next_as_it_was(cascade):
    before = dict(vars(cascade))
    asked = {"flip_averaging": "false", "refine": False, "head": "regression"}
    chosen = SegmentationOptions.of(asked).of_inferer(cascade)
    assert not chosen.flips
    assert (chosen.max_rounds, chosen.fusion) == (1, "regression")
    assert vars(cascade) == before


@pytest.mark.parametrize(("head", "fusion"), [("both", "mean"), ("classification", "classification")])
def test_head_of_the_panel_is_a_fusion_of_the_networks(cascade, head: str, fusion: str):
    assert SegmentationOptions.of({"head": head}).of_inferer(cascade).fusion == fusion
    assert fusion in FUSIONS


def test_threshold_reaches_the_label_map_and_nothing_else():
    other, own = Compose([]), LabelMapd("pred", 0.5, 0.9)
    transforms = SegmentationOptions.of({"threshold": "0.3"}).of_transforms([other, own])
    assert transforms[0] is other
    assert (transforms[1].threshold, transforms[1].lesion_peak) == (0.3, 0.9)
    assert own.threshold == 0.5


@pytest.fixture
def lesion_of() -> Callable[..., int]:
    """Voxels of lesion in the answer of a postprocessing like the bundle's to maps of both tasks."""
    postprocessing = [SplitMapsd("pred", lesion=ConfirmedLesion(1.5, 0.5, peak=0.9, margin=0.5)), LabelMapd("pred")]
    maps = torch.zeros(6, 12, 4, 4)
    maps[0], maps[1], maps[2:4] = 0.99, 0.01, 3.0
    maps[1, 1, 1, 1], maps[3, 1:4, 1:3, 1:3] = 0.95, -1.0  # the classification sees a core of twelve voxels
    maps[3, 1:4, 1:3, 3] = -0.2  # less than the margin
    maps[1, 7:9, 1, 1], maps[3, 7:10, 1:3, 1:3] = 0.7, -1.0  # here it is not sure

    def count(head: str) -> int:
        shown = maps.clone()
        if head == "regression":  # as the cascade fuses them
            shown[1] = torch.sigmoid(-maps[3] / 1.5)
        transforms = SegmentationOptions.of({"head": head}).of_transforms(postprocessing)
        return int((Compose(transforms)({"pred": shown})["pred"] == 2).sum())

    return count


@pytest.mark.parametrize(("head", "voxels"), [("default", 12), ("classification", 1), ("regression", 30)])
def test_lesions_are_those_of_both_tasks_or_of_the_head_that_was_chosen(lesion_of, head: str, voxels: int):
    """No peak is asked of the distance alone: its probability says how deep a voxel lies."""
    assert lesion_of(head) == voxels


@pytest.mark.parametrize("asked", [{"threshold": 0}, {"threshold": "much"}, {"threshold": None}, {"threshold": 1.5}])
def test_threshold_outside_of_its_range_is_refused_in_a_sentence(asked):
    with pytest.raises(InputError, match="is not between 0 and 1"):
        SegmentationOptions.of(asked)


def test_unknown_head_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="no head 'both of them': choose one of default, both,"):
        SegmentationOptions.of({"head": "both of them"})


def test_proposal_is_shown_unless_the_final_label_is_asked_for():
    assert not shows_final_label({}) and not shows_final_label(PANEL)
    assert shows_final_label({"show": "final label"})
    with pytest.raises(InputError, match="nothing called 'both' to show: choose one of proposal, final label"):
        shows_final_label({"show": "both"})


def test_untouched_panel_trains_as_it_shows():
    assert TrainingOptions.of({}) == TrainingOptions.of(TRAINING_PANEL) == TrainingOptions()


def test_options_of_a_training_are_read_as_viewers_spell_them():
    asked = {"max_epochs": "7", "pretrained": "false", "action": GO_BACK}
    assert TrainingOptions.of(asked) == TrainingOptions(False, 7, GO_BACK)


@pytest.mark.parametrize("epochs", [0, -1, "-1", 1.5, "many", "", None, True, []])
def test_training_of_no_whole_number_of_epochs_is_refused_in_a_sentence(epochs):
    with pytest.raises(InputError, match="epochs cannot be run: choose a whole number from 1"):
        TrainingOptions.of({"max_epochs": epochs})


def test_unknown_action_of_a_training_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="no action 'forget': choose one of train, go back"):
        TrainingOptions.of({"action": "forget"})
