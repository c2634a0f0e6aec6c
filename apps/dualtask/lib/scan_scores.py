"""Scores of the studies for active learning, computed in a process of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.server import is_server
from lib.strategies import Scores

logger = logging.getLogger(__name__)

_POOL = 100
"""So many studies with a label and so many without are scored for a version of the weights; an archive may hold any
number."""

_LOWEST_PRIORITY = 19

Infer = Callable[[str], dict[str, Any]]


class ScanScores(ScoringMethod):
    """Segments the studies with the panel's default options, once for each version of the weights.

    The uncertainty and the embedding of each scan are what the strategies choose by. The mask is kept as well: it is
    what a viewer gets at once when it asks for a proposal.

    Args:
        infer: segments a study.
        scores: see ``lib.strategies``.
    """

    def __init__(self, infer: Infer, scores: Scores) -> None:
        super().__init__("Uncertainty and embedding of each study, for the strategies")
        self.infer = infer
        self.scores = scores

    def missing(self, datastore: Datastore) -> list[str]:
        """Studies that have no score yet, those without a label first."""
        unlabelled, labelled = sorted(datastore.get_unlabeled_images()), sorted(datastore.get_labeled_images())
        return [study for study in [*unlabelled[:_POOL], *labelled[:_POOL]] if self.scores(study) is None]

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, str]:
        if not is_server():
            os.nice(_LOWEST_PRIORITY)
        answers = {}
        for study in self.missing(datastore):
            try:
                answers[study] = self._score(study)
            except HTTPException as error:
                answers[study] = error.detail
            logger.info("%s: %s", study, answers[study])
        return answers

    def _score(self, study: str) -> str:
        os.unlink(self.infer(study)["file"])
        return "scored"
