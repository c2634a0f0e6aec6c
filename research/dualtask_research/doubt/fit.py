"""Fits the model of doubt, and says how well it tells failures it was not fitted on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from dualtask.doubt import INDICATORS, DoubtModel
from dualtask.doubt.model import Familiar, Term, raw, standardised
from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask_research.doubt.results import FAILED, Result

_PENALTY = 0.02
"""Of the squared weights, beside the mean loss: with a dozen patients no indicator may count for more than a few."""

_IN_VAIN = 0.1
"""Largest share of good results that may be flagged."""

_SHRINKAGE = 0.5
"""Share of the identity in the covariance of the embeddings: there are about as many training scans as channels."""


@dataclass(frozen=True)
class Scored:
    """A result and its score by a model that was fitted without its patient."""

    result: Result
    score: float


@dataclass(frozen=True)
class Row:
    """A line of the table: how many results failed, and how many of either kind are flagged."""

    name: str
    failed: int
    failed_flagged: int
    good: int
    good_flagged: int


def familiar_embeddings(embeddings: Sequence[tuple[float, ...]]) -> Familiar:
    """Mean and inverse of the shrunk covariance of embeddings of training scans."""
    samples = np.asarray(embeddings)
    covariance = np.cov(samples, rowvar=False)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.eye(len(covariance)) * np.trace(covariance) / len(
        covariance
    )
    return Familiar(samples.mean(0), np.linalg.inv(shrunk))


def fit(results: Sequence[Result], familiar: Familiar) -> tuple[DoubtModel, list[Scored]]:
    """The model, and the scores of all results by models that were fitted without their patient.

    Good and failed results count the same in all, so that a score is the chance of a failure where every second result
    is one. The threshold is chosen on the scores of patients that were left out: it flags as many failures as it can
    and no more than a tenth of the good results.

    Args:
        results: of some patients; those without an organ are doubted by rule, and nothing is learnt from them.
        familiar: goes into the model.

    Raises:
        InputError: there are no failed or no good results, or all are of one patient.
    """
    found = [result for result in results if result.values["volume_ml"] is not None]
    patients = sorted({result.case for result in found})
    if len({result.failed for result in found}) < 2 or len(patients) < 2:
        raise InputError("A model of doubt needs good and failed results of several patients: give more cases.")
    scored = []
    for patient in patients:
        others = [result for result in found if result.case != patient]
        if len({result.failed for result in others}) < 2:
            continue
        model = _fitted(others, familiar)
        scored += [Scored(each, model.judge(each.values).score) for each in found if each.case == patient]
    threshold = choose_threshold([each.score for each in scored], [each.result.failed for each in scored])
    final = _fitted(found, familiar)
    return DoubtModel(final.intercept, threshold, final.terms, familiar), scored


def choose_threshold(scores: Sequence[float], failed: Sequence[bool]) -> float:
    """The score from which on results are flagged.

    Of the thresholds that flag at most a tenth of the good results, those that flag most failures, and of them the
    highest; it lies halfway between two scores.
    """
    values, wrong = np.asarray(scores), np.asarray(failed)
    levels = np.unique(values)
    candidates = np.concatenate([(levels[1:] + levels[:-1]) / 2, [(levels[-1] + 1) / 2]])
    flagged = values[None] >= candidates[:, None]
    caught = np.where(flagged[:, ~wrong].mean(1) <= _IN_VAIN, flagged[:, wrong].sum(1), -1)
    return float(candidates[np.flatnonzero(caught == caught.max())[-1]])


def _fitted(results: Sequence[Result], familiar: Familiar) -> DoubtModel:
    failed = np.array([result.failed for result in results])
    centres = {name: _centre_and_scale(name, results) for name in INDICATORS}
    features = np.array(
        [[standardised(name, result.values[name], *centres[name]) for name in INDICATORS] for result in results]
    )
    share = np.where(failed, 0.5 / failed.mean(), 0.5 / (1 - failed.mean())) / len(failed)
    sign = np.where(failed, -1.0, 1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights = parameters[1:]
        margin = sign * (parameters[0] + features @ weights)
        slope = share * sign / (1 + np.exp(-margin))
        value = share @ np.logaddexp(0, margin) + _PENALTY * weights @ weights
        return value, np.concatenate([[slope.sum()], slope @ features + 2 * _PENALTY * weights])

    # An indicator may not speak against the doubt that it stands for, which a few patients could make it do.
    bounds = [(None, None), *[(0.0, None)] * len(INDICATORS)]
    intercept, *weights = minimize(loss, np.zeros(1 + len(INDICATORS)), jac=True, method="L-BFGS-B", bounds=bounds).x
    terms = {name: Term(*centres[name], float(weight)) for name, weight in zip(INDICATORS, weights, strict=True)}
    return DoubtModel(float(intercept), 0.5, terms, familiar)


def _centre_and_scale(name: str, results: Sequence[Result]) -> tuple[float, float]:
    """Median of the good results, and root mean square distance of all results from it."""
    values = [(raw(name, value), result.failed) for result in results if (value := result.values[name]) is not None]
    usual = [value for value, failed in values if not failed]
    centre = float(np.median(usual)) if usual else 0.0
    scale = float(np.sqrt(np.mean([(value - centre) ** 2 for value, _ in values]))) if values else 0.0
    return centre, scale or 1.0


def table(scored: Sequence[Scored], threshold: float) -> list[Row]:
    """Counts for each version, each site and all of them."""
    groups = {
        **{name: [each for each in scored if each.result.version == name] for name in _names(scored, "version")},
        **{
            f"site {name}": [each for each in scored if each.result.site == name]
            for name in sorted(_names(scored, "site"))
        },
        "all": list(scored),
    }
    return [_row(name, members, threshold) for name, members in groups.items()]


def _names(scored: Sequence[Scored], attribute: str) -> list[str]:
    return list(dict.fromkeys(getattr(each.result, attribute) for each in scored))


def _row(name: str, members: Sequence[Scored], threshold: float) -> Row:
    failed = [each.score >= threshold for each in members if each.result.failed]
    good = [each.score >= threshold for each in members if not each.result.failed]
    return Row(name, len(failed), sum(failed), len(good), sum(good))


def write_model(path: str | os.PathLike[str], model: DoubtModel, scored: Sequence[Scored]) -> None:
    """Write the model as JSON, atomically, with what it was fitted on."""
    overall = table(scored, model.threshold)[-1]
    fitted = {
        "patients": len({each.result.case for each in scored}),
        "failed_below_dice": FAILED,
        **{key: value for key, value in asdict(overall).items() if key != "name"},
    }
    terms = {name: {key: round(value, 5) for key, value in asdict(term).items()} for name, term in model.terms.items()}
    embedding = {
        "mean": model.familiar.mean.round(5).tolist(),
        "precision": [[float(f"{value:.5g}") for value in row] for row in model.familiar.precision],
    }
    stored = {
        "fitted": fitted,
        "intercept": round(model.intercept, 5),
        "threshold": round(model.threshold, 5),
        "indicators": terms,
    }
    # The matrix on one line: it is not for reading.
    text = json.dumps(stored, indent=1)[:-2] + f',\n "embedding": {json.dumps(embedding)}\n}}\n'
    write_atomically(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))
