"""Whether an uncertainty tells the bad cases from the good ones (selective prediction)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr


@dataclass(frozen=True)
class RiskCoverage:
    """Mean risk of the cases that are kept when the most uncertain ones are handed to a reader.

    Attributes:
        coverage: shares of cases kept, 1/n, 2/n ... 1.
        risk: their mean risk.
        area: AURC, the mean of ``risk`` over the coverages (Geifman et al. 2019).
        best_area: the same with the cases in the order of their risks; no uncertainty does better.
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float
    best_area: float


def rank_correlation(uncertainty: Sequence[float], risk: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN with fewer than three cases or where one of the two is constant.

    Args:
        uncertainty: of each case.
        risk: of each case, for example 1 - Dice.
    """
    if len(uncertainty) < 3 or len(set(uncertainty)) < 2 or len(set(risk)) < 2:
        return math.nan
    return float(spearmanr(uncertainty, risk).statistic)


def risk_coverage(uncertainty: Sequence[float], risk: Sequence[float]) -> RiskCoverage:
    """Risk-coverage curve.

    Cases with the same uncertainty each count with the mean of their risks: their order would be chance.

    Args:
        uncertainty: of each case, at least one.
        risk: of each case.

    An uncertainty that puts one case wrong:

    >>> curve = risk_coverage(uncertainty=[0.1, 0.2, 0.3], risk=[0.0, 0.6, 0.3])
    >>> curve.risk.round(2).tolist(), round(curve.area, 2), round(curve.best_area, 2)
    ([0.0, 0.3, 0.3], 0.2, 0.15)
    """
    losses = np.asarray(risk, dtype=float)
    _, groups = np.unique(uncertainty, return_inverse=True)
    expected = (np.bincount(groups, weights=losses) / np.bincount(groups))[groups]
    kept = np.arange(1, len(losses) + 1)
    curve = np.cumsum(expected[np.argsort(groups, kind="stable")]) / kept
    best = np.cumsum(np.sort(losses)) / kept
    return RiskCoverage(kept / len(losses), curve, float(curve.mean()), float(best.mean()))
