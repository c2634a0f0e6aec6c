"""From indicators to one score: a logistic model, small enough to be read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtask.doubt.indicators import INDICATORS, Values
from dualtask.errors import InputError

_FARTHEST = 3.0
"""Bound on a standardised indicator: beyond it nothing was learnt, and no single one shall outvote all others."""

_NOTHING_FOUND = "no pancreas was found"


@dataclass(frozen=True)
class Doubt:
    """How far a result is to be doubted.

    Attributes:
        score: in [0, 1], that the Dice of the pancreas is below 0.5.
        reason: the clause of the indicator that raises it most.
        is_doubtful: whether the score reaches the model's threshold.
    """

    score: float
    reason: str
    is_doubtful: bool

    def warning(self, name: str) -> str | None:
        """A sentence for the user about the result of the scan ``name``, None where there is no need for one."""
        if not self.is_doubtful:
            return None
        return f"The result for {name} is doubtful ({self.score:.2f}): {self.reason}; check it before use."


@dataclass(frozen=True)
class Term:
    """How an indicator enters the score.

    Attributes:
        centre, scale: what a value is standardised by; of the logarithm where the indicator is logarithmic.
        weight: at least 0, of one ``scale`` in the direction that is doubtful.
    """

    centre: float
    scale: float
    weight: float


@dataclass(frozen=True)
class Familiar:
    """What training scans look like to the embedding head.

    Attributes:
        mean: [32].
        precision: inverse covariance, [32, 32].
    """

    mean: np.ndarray
    precision: np.ndarray

    def distance(self, embedding: tuple[float, ...] | None) -> float | None:
        """Mahalanobis distance divided by the root of the channels: about 1 for a training scan."""
        if embedding is None:
            return None
        apart = np.asarray(embedding) - self.mean
        return math.sqrt(max(float(apart @ self.precision @ apart), 0.0) / len(apart))


@dataclass(frozen=True)
class DoubtModel:
    """Logistic model of the doubt.

    Attributes:
        intercept: log odds of a result with all indicators at their centres.
        threshold: score from which on a result is doubtful.
        terms: indicator -> its part; indicators without one do not count.
        familiar: see :class:`Familiar`.
    """

    intercept: float
    threshold: float
    terms: Mapping[str, Term]
    familiar: Familiar

    def judge(self, values: Values) -> Doubt:
        """The doubt of a result; one without an organ is doubtful for sure, since an abdominal scan shows it.

        Args:
            values: of all indicators; one that is not defined counts as usual.
        """
        if values["volume_ml"] is None:
            return Doubt(1.0, _NOTHING_FOUND, True)
        parts = {
            name: term.weight * standardised(name, values[name], term.centre, term.scale)
            for name, term in self.terms.items()
        }
        score = 1 / (1 + math.exp(-self.intercept - sum(parts.values())))
        return Doubt(score, INDICATORS[max(parts, key=parts.__getitem__)].complaint, score >= self.threshold)


def standardised(name: str, value: float | None, centre: float, scale: float) -> float:
    """An indicator in units of its scale, the higher the more doubtful, within [-3, 3]; 0 where it is not defined."""
    if value is None:
        return 0.0
    apart = (raw(name, value) - centre) / scale
    signed = {"high": apart, "low": -apart, "far": abs(apart)}[INDICATORS[name].doubtful]
    return min(max(signed, -_FARTHEST), _FARTHEST)


def raw(name: str, value: float) -> float:
    """The value, or its logarithm where the indicator is logarithmic."""
    return math.log(value) if INDICATORS[name].logarithmic else value


def read_doubt_model(path: str | os.PathLike[str]) -> DoubtModel:
    """Read the model that ``python -m dualtask_research.doubt`` wrote.

    Raises:
        InputError: the file is absent or is no such model.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist, so that no result could be doubted: copy it there or fit it anew.")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        familiar = Familiar(*(np.asarray(stored["embedding"][name], dtype=float) for name in ("mean", "precision")))
        terms = {name: Term(**{key: float(term[key]) for key in term}) for name, term in stored["indicators"].items()}
        model = DoubtModel(float(stored["intercept"]), float(stored["threshold"]), terms, familiar)
        channels = len(familiar.mean)
        if not (terms and terms.keys() <= INDICATORS.keys() and familiar.precision.shape == (channels, channels)):
            raise ValueError("terms")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no model of doubt: copy it again or fit it anew.") from error
    return model
