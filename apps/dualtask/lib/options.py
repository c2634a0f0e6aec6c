"""How a scan is segmented and how a training is run, as the viewers' panels offer it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monailabel.utils.others.generic import strtobool

from dualtask.errors import InputError
from dualtask.inferers import CascadeInferer
from dualtask.transforms import ConfirmedLesion, LabelMapd, SplitMapsd

_FUSION = {"default": None, "both": "mean", "classification": "classification", "regression": "regression"}
"""Head in the panel -> fusion of the cascade, where None is what the bundle chose for its network."""

_PROPOSAL, _FINAL_LABEL = _SHOWN = ("proposal", "final label")

PANEL: dict[str, Any] = {
    "threshold": 0.5,
    "flip_averaging": True,
    "refine": True,
    "head": list(_FUSION),
    "show": list(_SHOWN),
}
"""Options with their defaults in MONAI Label's form, where the first entry of a list is the default."""

TRAIN, GO_BACK = "train", "go back to the previous version"

TRAINING_PANEL: dict[str, Any] = {"pretrained": True, "max_epochs": 50, "action": [TRAIN, GO_BACK]}
"""The same for a training."""


@dataclass(frozen=True)
class SegmentationOptions:
    """Options of one request.

    Attributes:
        threshold: of the probabilities, in (0, 1).
        flip_averaging: average over the mirror images that the bundle names, those that its training mirrors too;
            without it the fine stage takes half the time.
        refine: crop anew around the first mask until two rounds agree.
        head: "default", "both", "classification" or "regression".
    """

    threshold: float = 0.5
    flip_averaging: bool = True
    refine: bool = True
    head: str = "default"

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> SegmentationOptions:
        """Read the options of a request; viewers send numbers as text, and a whole list where nothing was chosen.

        Raises:
            InputError: a value that cannot be used.
        """
        given = _chosen(PANEL, request)
        try:
            threshold = float(given["threshold"])
        except (TypeError, ValueError):
            threshold = 0.0
        if not 0 < threshold < 1:
            raise InputError(f"The threshold {given['threshold']!r} is not between 0 and 1: choose 0.5, say.")
        if given["head"] not in _FUSION:
            raise InputError(f"There is no head {given['head']!r}: choose one of {', '.join(_FUSION)}.")
        return cls(threshold, strtobool(given["flip_averaging"]), strtobool(given["refine"]), given["head"])

    def of_inferer(self, inferer: CascadeInferer) -> CascadeInferer:
        """A copy that works by these options; other requests go on with theirs."""
        chosen = copy.copy(inferer)
        chosen.fusion = _FUSION[self.head]
        if not self.flip_averaging:
            chosen.flips = ()
        if not self.refine:
            chosen.max_rounds = 1
        return chosen

    def of_transforms(self, transforms: Sequence[Any]) -> list[Any]:
        """The postprocessing with this threshold; a head that was chosen makes the lesions by itself."""
        rules = [transform.lesion for transform in transforms if isinstance(transform, SplitMapsd)]
        rule = rules[0] if rules and isinstance(rules[0], ConfirmedLesion) else None
        return [self._of_transform(transform, rule) for transform in transforms]

    def _of_transform(self, transform: Any, rule: ConfirmedLesion | None) -> Any:
        if isinstance(transform, SplitMapsd):
            lesion = None
            if rule is not None and self.head == "default":
                lesion = ConfirmedLesion(rule.step_width, self.threshold, rule.peak, rule.margin)
            return SplitMapsd(transform.keys, transform.maps, lesion)
        if not isinstance(transform, LabelMapd):
            return transform
        peak = transform.lesion_peak if rule is None or self.head == "default" else rule.peak
        # A probability that is made of a distance says how deep a voxel lies and not how sure the network is: a lesion
        # thinner than 9 mm would not reach the peak that is asked of the classification.
        return LabelMapd(transform.keys, self.threshold, 0.0 if self.head == "regression" else peak)


def shows_final_label(request: Mapping[str, Any]) -> bool:
    """Whether a request is for the final label of its study, as a reviewer asks, and not for a proposal.

    Raises:
        InputError: it is for something else.
    """
    shown = _chosen(PANEL, request)["show"]
    if shown not in _SHOWN:
        raise InputError(f"There is nothing called {shown!r} to show: choose one of {', '.join(_SHOWN)}.")
    return shown == _FINAL_LABEL


@dataclass(frozen=True)
class TrainingOptions:
    """Options of one request to train.

    Attributes:
        pretrained: start from the current weights; without it from random ones.
        max_epochs: length of the training, at least 1.
        action: ``TRAIN`` or ``GO_BACK``.
    """

    pretrained: bool = True
    max_epochs: int = 50
    action: str = TRAIN

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> TrainingOptions:
        """Read the options of a request, spelt as those of :meth:`SegmentationOptions.of`.

        Raises:
            InputError: a value that cannot be used.
        """
        given = _chosen(TRAINING_PANEL, request)
        epochs = str(given["max_epochs"])
        if not (epochs.isdecimal() and int(epochs) > 0):
            raise InputError(f"A training of {epochs!r} epochs cannot be run: choose a whole number from 1, 50 say.")
        if given["action"] not in TRAINING_PANEL["action"]:
            known = ", ".join(TRAINING_PANEL["action"])
            raise InputError(f"There is no action {given['action']!r}: choose one of {known}.")
        return cls(strtobool(given["pretrained"]), int(epochs), given["action"])


def _chosen(panel: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Value of each option of a panel; a client that chose nothing sends none, or the whole list back."""
    given = {name: request.get(name, default) for name, default in panel.items()}
    return {name: value[0] if isinstance(value, list) and value else value for name, value in given.items()}
