"""Statistics over cases: intervals of means, paired comparisons of variants, effect sizes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap, rankdata, wilcoxon

Case = tuple[str, str]
"""Test site and name: two hospitals may use the same names."""

_RESAMPLES = 5000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` cases with its 95 % bootstrap interval; NaN where there is nothing to take it of."""

    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A variant against the reference variant, on the cases, folds and seeds that both have.

    Attributes:
        difference: variant minus reference, mean over cases with its interval.
        p: of the two-sided Wilcoxon signed-rank test, NaN with fewer than 6 differing cases, which cannot reach 5 %.
        p_holm: the same, corrected for all comparisons made together (Holm 1979).
        effect: matched-pairs rank-biserial correlation in [-1, 1], 1 where the variant is better in every case.
    """

    variant: str
    difference: Interval
    p: float
    p_holm: float
    effect: float


def case_means(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, dict[Case, float]]:
    """Mean of a metric over the seeds of each case, so that a case counts once however often it was trained for.

    Args:
        rows: with ``variant``, ``test_site``, ``case`` and the metric (text or number; NaN is left out).

    Returns:
        variant -> case -> mean over seeds.
    """
    values: dict[str, dict[Case, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if not math.isnan(value := float(row[metric])):
            values[row["variant"]][row["test_site"], row["case"]].append(value)
    return {
        variant: {case: sum(seeds) / len(seeds) for case, seeds in cases.items()} for variant, cases in values.items()
    }


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean with its 95 % percentile bootstrap interval, resampling cases.

    Args:
        values: one for each case.
        seed: of the resampling.
    """
    if not values:
        return Interval(0, math.nan, math.nan, math.nan)
    mean = float(np.mean(values))
    if len(set(values)) < 2:
        return Interval(len(values), mean, mean, mean)
    result = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Interval(len(values), mean, *map(float, result.confidence_interval))


def compare(rows: Sequence[Mapping[str, Any]], metric: str, reference: str) -> list[Comparison]:
    """Compare every variant with the reference, case by case, on the trainings that both have.

    Args:
        rows: with ``variant``, ``test_site``, ``seed``, ``case`` and the metric.
        metric: column to compare.
        reference: a variant in the rows.
    """
    compared = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        if variant == reference:
            continue
        means = case_means(on_shared_runs(rows, variant, reference), metric)
        cases, others = means.get(variant, {}), means.get(reference, {})
        differences = np.array([cases[case] - others[case] for case in sorted(cases.keys() & others.keys())])
        compared.append((variant, differences))
    p_values = [_signed_rank_p(differences) for _, differences in compared]
    return [
        Comparison(variant, mean_interval(differences.tolist()), p, corrected, rank_biserial(differences))
        for (variant, differences), p, corrected in zip(compared, p_values, holm(p_values), strict=True)
    ]


def on_shared_runs(rows: Sequence[Mapping[str, Any]], *variants: str) -> list[Mapping[str, Any]]:
    """Rows of the variants from the folds and seeds that all of them were trained for.

    Args:
        rows: with ``variant``, ``test_site`` and ``seed``.
        variants: names.
    """
    runs: dict[str, set[tuple[Any, Any]]] = {variant: set() for variant in variants}
    for row in rows:
        if row["variant"] in runs:
            runs[row["variant"]].add((row["test_site"], row["seed"]))
    shared = set.intersection(*runs.values())
    return [row for row in rows if row["variant"] in runs and (row["test_site"], row["seed"]) in shared]


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): share of favourable minus unfavourable rank sum.

    Args:
        differences: one for each pair; zeros are left out.
    """
    differences = differences[differences != 0]
    if not len(differences):
        return 0.0
    ranks = rankdata(np.abs(differences))
    return float((ranks * np.sign(differences)).sum() / ranks.sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction; NaN, where there was no test, stays NaN and does not count as one.

    >>> holm([0.03, 0.01, math.nan])
    [0.03, 0.02, nan]
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(p * (len(tested) - rank), 1.0))
        corrected[index] = largest
    return corrected


def _signed_rank_p(differences: np.ndarray) -> float:
    if np.count_nonzero(differences) < 6:
        return math.nan
    return float(wilcoxon(differences).pvalue)
