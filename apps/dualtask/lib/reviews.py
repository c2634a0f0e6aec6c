"""Reviews of final labels: approved, sent back with a sentence, or handed to a second reader.

A review is kept in the record of the label that it is about, under the name and in the words of MONAI Label's reviewer
extension of 3D Slicer: a label that is saved anew has none, and waits for its review.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dualtask.errors import InputError
from lib.annotator import ANONYMOUS, annotator

REVIEW = "segmentationMeta"
"""Entry of a label's record."""

APPROVED, SENT_BACK, SECOND_READER = STATUSES = ("approved", "flagged", "second reader")
"""The first two as that extension calls them."""

FIRST_READING, SECOND_READING = READINGS = ("first_reading", "second_reading")
"""Tags under which the labels of the two readers of a study are kept, whatever becomes of its final label."""

_LONGEST = 500


def review_of(label: Mapping[str, Any] | None) -> dict[str, Any]:
    """The review in a label's record, empty where there is none yet."""
    review = (label or {}).get(REVIEW)
    return dict(review) if isinstance(review, Mapping) and review.get("status") in STATUSES else {}


def status_of(label: Mapping[str, Any] | None) -> str | None:
    """One of ``STATUSES``, or None: the label waits for its review."""
    return review_of(label).get("status")


def new_review(given: Any, label: Mapping[str, Any], study: str) -> dict[str, Any]:
    """A review as it is kept.

    Args:
        given: ``status``, and for a label that is sent back ``comment``, the sentence that its annotator reads;
            ``approvedBy`` is who reviews, unless the user is signed in; ``ts``, where given, is that of the label that
            was looked at.
        label: record of the label.
        study: that it is about.

    Returns:
        ``status``, ``comment``, ``approvedBy`` and ``editTime`` (seconds since 1970).

    Raises:
        InputError: the review says nothing that can be done.
    """
    given = given if isinstance(given, Mapping) else {}
    status, comment = given.get("status"), " ".join(str(given.get("comment") or "").split())
    if status not in STATUSES:
        raise InputError(f"There is no review {status!r}: choose one of {', '.join(STATUSES)}.")
    if given.get("ts", label["ts"]) != label["ts"]:
        raise InputError(f"The label of study {study!r} was saved anew meanwhile: look at it again.")
    if status == SENT_BACK and not comment:
        raise InputError(f"Study {study!r} was not sent back: say in a sentence what to correct.")
    if len(comment) > _LONGEST or not comment.isprintable():
        raise InputError(f"The sentence is longer than {_LONGEST} characters or cannot be shown: write another.")
    if status == SECOND_READER and label.get("annotator", ANONYMOUS) == ANONYMOUS:
        raise InputError(
            f"Nobody gave a name with the label of study {study!r}, so that its reader could not be told from a second "
            "one: sign in (SECURITY.md), or set the client's name in 3D Slicer."
        )
    who = annotator(given.get("approvedBy"))
    return {"status": status, "comment": comment, "approvedBy": who, "editTime": time.time()}


def may_read_second(label: Mapping[str, Any], who: str) -> bool:
    """Whether somebody is the second reader that a label waits for: not the first, and not without a name."""
    return status_of(label) == SECOND_READER and who not in (label.get("annotator", ANONYMOUS), ANONYMOUS)
