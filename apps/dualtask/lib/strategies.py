"""Which study to label next, and which label to review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.strategy import Strategy

from dualtask.active_learning import STRATEGIES
from dualtask.active_learning import Strategy as Selection
from lib.annotator import annotator
from lib.datastore import StudyFolder
from lib.reservations import Reservations
from lib.results import Result
from lib.reviews import SENT_BACK, may_read_second, review_of, status_of

DEFAULT = "combined"
"""Answers under the name ``random`` too, because OHIF asks for that whatever the user chose.

No strategy beat labelling by chance in the simulated study (docs/explanation/active_learning.md), and none fell behind
it.
"""

REVIEW = "review"
"""The strategy that goes through the final labels that wait for a reviewer."""

Scores = Callable[[str], Result | None]
"""Stored result of a study with the current weights, or None."""


def strategies(labelling: Reservations, reviewing: Reservations, scores: Scores) -> dict[str, Strategy]:
    """The strategies by the name that viewers ask for.

    Args:
        labelling: of the annotators.
        reviewing: of the reviewers.
        scores: see above.
    """

    def offer(description: str, select: Selection) -> ReservedChoice:
        return ReservedChoice(description, select, labelling, scores)

    return {
        "random": offer(f"The same as {DEFAULT}", STRATEGIES[DEFAULT]),
        "chance": offer("Any study", STRATEGIES["random"]),
        "uncertainty": offer("Where the two tasks of the network disagree most", STRATEGIES["uncertainty"]),
        "diversity": offer("The study least like those that are labelled", STRATEGIES["diversity"]),
        "combined": offer("Where the tasks disagree, unlike what is labelled", STRATEGIES["combined"]),
        "first": FirstReserved("The first study in alphabetical order", labelling, scores),
        REVIEW: NextReview("For reviewers: the label that has waited longest", reviewing),
    }


class NextReview(Strategy):
    """A study whose final label waits for a review and that no other reviewer looks at."""

    def __init__(self, description: str, reservations: Reservations) -> None:
        super().__init__(description)
        self.reservations = reservations

    def __call__(self, request: dict[str, Any], datastore: StudyFolder) -> dict[str, str] | None:
        labels = {study: datastore.final_record(study) or {} for study in sorted(datastore.get_labeled_images())}
        waiting = [study for study, label in labels.items() if status_of(label) is None]
        # A label that lies in a DICOM server and was not fetched yet has waited for an unknown time.
        waiting.sort(key=lambda study: labels[study].get("ts", 0))
        chosen = self.reservations.reserve(waiting, annotator(request.get("client_id")), lambda free: free[0])
        return {"id": chosen} if chosen else None


class _Reserved(Strategy):
    """A study that is to be labelled, that nobody else is labelling and whose scan is not known to be unusable.

    First come those that a reviewer sent back, the annotator's own before those of others; then those that wait for a
    second reader, unless the annotator was the first; then those without a final label, of which the strategy chooses.
    """

    def __init__(self, description: str, reservations: Reservations, scores: Scores) -> None:
        super().__init__(description)
        self.reservations = reservations
        self.scores = scores

    def __call__(self, request: dict[str, Any], datastore: StudyFolder) -> dict[str, str] | None:
        who = annotator(request.get("client_id"))
        labels = {study: datastore.final_record(study) or {} for study in sorted(datastore.get_labeled_images())}
        reviewed = {study: review_of(label)["editTime"] for study, label in labels.items() if review_of(label)}
        sent_back = [study for study in reviewed if status_of(labels[study]) == SENT_BACK]
        sent_back.sort(key=lambda study: (labels[study].get("annotator") != who, reviewed[study]))
        again = sent_back + [study for study in reviewed if may_read_second(labels[study], who)]
        studies = [study for study in sorted(datastore.get_unlabeled_images()) if self._usable(study)]

        def choose(free: list[str]) -> str:
            return next((study for study in again if study in free), None) or self.choose(free, datastore)

        chosen = self.reservations.reserve(again + studies, who, choose, reviewed)
        return {"id": chosen} if chosen else None

    def choose(self, studies: list[str], datastore: StudyFolder) -> str:
        """One of some studies, of which there is at least one."""
        raise NotImplementedError

    def _usable(self, study: str) -> bool:
        score = self.scores(study)
        return score is None or score.mask is not None


class FirstReserved(_Reserved):
    """In alphabetical order."""

    def choose(self, studies: list[str], datastore: StudyFolder) -> str:
        return studies[0]


class ReservedChoice(_Reserved):
    """Chosen from the scores that lie ready; nothing is computed here.

    A study that has no score yet is taken, by chance, only while none has one.
    """

    def __init__(self, description: str, select: Selection, reservations: Reservations, scores: Scores) -> None:
        super().__init__(description, reservations, scores)
        self.select = select
        self.rng = np.random.default_rng()

    def choose(self, studies: list[str], datastore: StudyFolder) -> str:
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
