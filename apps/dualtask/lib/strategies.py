"""Which study to label next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from dualtask.active_learning import STRATEGIES
from dualtask.active_learning import Strategy as Selection
from lib.annotator import annotator
from lib.reservations import Reservations
from lib.results import Result

DEFAULT = "combined"
"""Answers under the name ``random`` too, because OHIF asks for that whatever the user chose.

No strategy beat labelling by chance in the simulated study (docs/explanation/active_learning.md), and none fell behind
it.
"""

Scores = Callable[[str], Result | None]
"""Stored result of a study with the current weights, or None."""


def strategies(reservations: Reservations, scores: Scores) -> dict[str, Strategy]:
    """The strategies by the name that viewers ask for."""

    def offer(description: str, select: Selection) -> ReservedChoice:
        return ReservedChoice(description, select, reservations, scores)

    return {
        "random": offer(f"The same as {DEFAULT}", STRATEGIES[DEFAULT]),
        "chance": offer("Any study", STRATEGIES["random"]),
        "uncertainty": offer("Where the two tasks of the network disagree most", STRATEGIES["uncertainty"]),
        "diversity": offer("The study least like those that are labelled", STRATEGIES["diversity"]),
        "combined": offer("Where the tasks disagree, unlike what is labelled", STRATEGIES["combined"]),
        "first": FirstReserved("The first study in alphabetical order", reservations, scores),
    }


class _Reserved(Strategy):
    """A study without a final label that nobody else is labelling and whose scan is not known to be unusable."""

    def __init__(self, description: str, reservations: Reservations, scores: Scores) -> None:
        super().__init__(description)
        self.reservations = reservations
        self.scores = scores

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, str] | None:
        studies = [study for study in sorted(datastore.get_unlabeled_images()) if self._usable(study)]
        who = annotator(request.get("client_id"))
        chosen = self.reservations.reserve(studies, who, lambda free: self.choose(free, datastore))
        return {"id": chosen} if chosen else None

    def choose(self, studies: list[str], datastore: Datastore) -> str:
        """One of some studies, of which there is at least one."""
        raise NotImplementedError

    def _usable(self, study: str) -> bool:
        score = self.scores(study)
        return score is None or score.mask is not None


class FirstReserved(_Reserved):
    """In alphabetical order."""

    def choose(self, studies: list[str], datastore: Datastore) -> str:
        return studies[0]


class ReservedChoice(_Reserved):
    """Chosen from the scores that lie ready; nothing is computed here.

    A study that has no score yet is taken, by chance, only while none has one.
    """

    def __init__(self, description: str, select: Selection, reservations: Reservations, scores: Scores) -> None:
        super().__init__(description, reservations, scores)
        self.select = select
        self.rng = np.random.default_rng()

    def choose(self, studies: list[str], datastore: Datastore) -> str:
        ready = {study: score for study in studies if (score := self.scores(study)) is not None}
        if not ready:
            return str(self.rng.choice(studies))
        labelled = [self.scores(study) for study in datastore.get_labeled_images()]
        index = self.select(
            np.array([_scan_uncertainty(score) for score in ready.values()]),
            np.array([score.embedding for score in ready.values()]),
            np.array([score.embedding for score in labelled if score is not None and score.embedding]),
            1,
            self.rng,
        )[0]
        return list(ready)[index]


def _scan_uncertainty(score: Result) -> float:
    return float(np.mean(list(score.params["scan_uncertainty"].values())))
