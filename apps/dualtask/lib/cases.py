"""Which studies teach, which judge."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from dualtask.evaluation import case_name

Case = dict[str, Any]

HELD_OUT = 0.2
"""Share of the studies that do not teach, so that all versions are judged on the same ones."""

_REPLAYED = 3
"""Earlier cases for each new one: enough to forget nothing, and a training takes no longer the more there are."""

_LEAST_REPLAYED = 20


def divide(cases: Sequence[Case], taught: Collection[str]) -> tuple[list[Case], list[Case]]:
    """Divide the cases into those that may teach and those that judge.

    Those judge whose name falls into a fixed share of all names, whatever other cases there are; where none does, the
    one nearest to the share. No case ever judges weights that it taught, but where a single case does both.

    Args:
        cases: all with a final label.
        taught: :func:`stamp` of each label that taught the current weights.

    Returns:
        teachers and judges, at least one of each.
    """
    names = {name.rsplit("@", 1)[0] for name in taught}
    ordered = sorted(cases, key=_position)
    fresh = [case for case in ordered if case_name(case["image"]) not in names] or ordered[:1]
    judges = [case for case in fresh if _position(case) < HELD_OUT] or fresh[:1]
    if len(judges) == len(cases):
        judges = judges[:1]
    return [case for case in ordered if case not in judges] or judges, judges


def replayed(teachers: Sequence[Case], taught: Collection[str]) -> list[Case]:
    """Of the cases that may teach all that are new, and some of the earlier ones.

    Args:
        teachers: see :func:`divide`.
        taught: :func:`stamp` of each label that taught the current weights.
    """
    new = [case for case in teachers if stamp(case) not in taught]
    earlier = [case for case in teachers if stamp(case) in taught]
    count = min(len(earlier), max(_REPLAYED * len(new), _LEAST_REPLAYED))
    return new + random.Random(len(taught)).sample(earlier, count)


def stamp(case: Case) -> str:
    """Names a label as it is now; a corrected label has another."""
    state = os.stat(case["label"])
    return f"{case_name(case['image'])}@{state.st_mtime_ns}"


def unlabelled(scans: Iterable[str], count: int) -> list[Case]:
    """At most ``count`` of some scans as cases without a label, the same ones at each call."""
    return sorted(({"image": scan} for scan in scans), key=_position)[:count]


def _position(case: Case) -> float:
    """Place in [0, 1) that depends on the case's name alone."""
    digest = hashlib.sha256(case_name(case["image"]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
