"""What became of the studies with a final label: proposal, review, and a second reader's label beside the first's."""

from __future__ import annotations

import csv
import io
from typing import Any

from lib.datastore import StudyFolder
from lib.proposals import COLUMNS as OF_PROPOSALS
from lib.proposals import Proposals
from lib.readings import COLUMNS as OF_READINGS
from lib.readings import Readings
from lib.reviews import review_of

COLUMNS = (*OF_PROPOSALS, "review", "reviewer", "sentence", *OF_READINGS)


class AnnotationTable:
    """A row of ``COLUMNS`` for each study with a final label and any of the three; what a study lacks is left blank.

    Args:
        datastore: the studies and their labels.
        proposals: what was proposed for them.
        readings: what two readers made of them.
    """

    def __init__(self, datastore: StudyFolder, proposals: Proposals, readings: Readings) -> None:
        self.datastore = datastore
        self.proposals = proposals
        self.readings = readings

    def rows(self) -> list[dict[str, Any]]:
        """By study."""
        proposed = {row["study"]: row for row in self.proposals.rows()}
        rows = []
        for study in sorted(self.datastore.get_labeled_images()):
            row = {**proposed.get(study, {}), **self._review(study), **self.readings.row(study)}
            if row:
                rows.append({**dict.fromkeys(COLUMNS, ""), "study": study, **row})
        return rows

    def csv(self) -> str:
        """The rows as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def _review(self, study: str) -> dict[str, str]:
        label = self.datastore.final_record(study) or {}
        if not (review := review_of(label)):
            return {}
        said = {"review": review["status"], "reviewer": review["approvedBy"], "sentence": review["comment"]}
        return {**said, "annotator": label.get("annotator", "")}
