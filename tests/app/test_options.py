"""The options of the viewers' panels."""

import pytest
import torch
from monai.transforms import Compose

from dualtask.errors import InputError
from dualtask.inferers import CascadeInferer
from dualtask.networks.fusion import FUSIONS
from dualtask.transforms import LabelMapd
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


def test_no_peak_is_asked_of_a_lesion_that_the_distance_head_alone_finds():
    (label_map,) = SegmentationOptions.of({"head": "regression"}).of_transforms([LabelMapd("pred", 0.5, 0.9)])
    probability = torch.tensor([0.9, 0.7])[:, None, None, None].expand(2, 3, 3, 3)
    assert (label_map({"pred": probability})["pred"] == 2).all()


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
