"""From the scores of a study's runs to the tables of its report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from dualtask.evaluation.detection import DETECTION
from dualtask.evaluation.presence import ScanCounts, count_scans, with_reference
from dualtask.evaluation.selective import RiskCoverage, rank_correlation, risk_coverage
from dualtask.files import read_table
from dualtask.report.rendering import number
from dualtask_research.statistics import Comparison, Interval, case_means, compare, mean_interval, on_shared_runs

Rows = Sequence[Mapping[str, str]]
"""Of ``cases.csv``: ``variant``, ``test_site``, ``seed``, ``case``, ``structure`` and scores."""

SIGNIFICANCE = 0.05

_MANY_PATIENTS = 100


@dataclass(frozen=True)
class Table:
    """A table of text: a header, and for each variant its name and its cells."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> list[str]:
        """Lines of the table in Markdown."""
        lines = [f"{self.title}:", "", f"| {' | '.join(self.header)} |", "|---" * len(self.header) + "|"]
        return [*lines, *(f"| {' | '.join(row)} |" for row in self.rows), ""]


def read_cases(cases: Path) -> Rows:
    """Read ``cases.csv`` of a study.

    Raises:
        InputError: it is absent or is not such a table.
    """
    return read_table(cases, ["variant", "case", "structure"], dict, "a table of cases", maker="study")


def introduction(description: str, synthetic: bool) -> list[str]:
    """First lines of a study's tables in Markdown, which say where the scans are computed."""
    return [description, "", *(["**Synthetic scans; no statement about patients.**", ""] if synthetic else [])]


def patients(rows: Rows) -> str:
    """How many patients a study on real scans has, in a sentence that says whether they are few.

    Args:
        rows: of all structures.
    """
    count = len({(row["site"], row["case"]) for row in rows})
    few = ", which are few: another choice of them may turn a difference round" if count < _MANY_PATIENTS else ""
    return f"Scans of {count} patients{few}. Research only, not a medical device."


def score_table(rows: Rows, variants: Sequence[str]) -> Table:
    """Means with intervals of a structure's scores over all sites and the cases whose reference holds it.

    A variant that invents a lesion in a healthy scan would otherwise be averaged over other cases than one that does
    not; what it invents is counted by :func:`trust_table`.

    Where the rows have it, the error of the volume stands beside the Dice, which hides it: a mask that is half as large
    again as its structure, around it on all sides, may have the best Dice that an unsure network can get.

    Args:
        rows: of one structure.
        variants: names, in the order of the table.
    """
    scored = with_reference(rows)
    metrics = {"Dice": "dice", "surface Dice 2 mm": "surface_dice", "HD95 mm": "hausdorff95_mm"}
    means = [case_means(scored, metric) for metric in metrics.values()]
    measured = all("relative_volume_error" in row for row in scored)
    volumes = case_means(scored, "relative_volume_error") if measured else {}
    body = []
    for variant in variants:
        seeds = {row["seed"] for row in rows if row["variant"] == variant}
        intervals = [mean_interval(list(cases.get(variant, {}).values())) for cases in means]
        written = [write_interval(interval, digits) for interval, digits in zip(intervals, (3, 3, 1), strict=True)]
        volume = [_write_volume_error(list(volumes.get(variant, {}).values()))] if measured else []
        body.append((variant, str(len(seeds)), str(intervals[0].n), *written, str(intervals[-1].n), *volume))
    volume_header = ("volume error, median (of its size)",) if measured else ()
    header = ("variant", "seeds", "cases with it", *metrics, "cases with HD95", *volume_header)
    return Table("Means over all unseen sites", header, tuple(body))


def _write_volume_error(errors: Sequence[float]) -> str:
    if not errors:
        return number(None, 2)
    return f"{median(errors):+.0%} ({median(map(abs, errors)):.0%})"


def comparison_table(comparisons: Sequence[Comparison], reference: str) -> Table:
    """Each variant's Dice minus that of the reference variant, case by case.

    Args:
        comparisons: from :func:`compare_dice`.
        reference: variant that the others are compared with.
    """
    body = [
        (
            comparison.variant,
            str(comparison.difference.n),
            write_interval(comparison.difference),
            _write_p(comparison.p),
            _write_p(comparison.p_holm),
            number(comparison.effect, 2),
        )
        for comparison in comparisons
    ]
    header = ("variant", "cases", f"Dice, difference to {reference}", "p", "p (Holm)", "rank-biserial effect")
    return Table(f"Paired comparison with {reference}", header, tuple(body))


def compare_dice(rows: Rows, reference: str) -> list[Comparison]:
    """Dice of each variant against the reference variant, over the cases whose reference holds the structure.

    Args:
        rows: of one structure.
        reference: variant that the others are compared with.
    """
    return compare(with_reference(rows), "dice", reference)


def site_table(rows: Rows, variants: Sequence[str]) -> Table:
    """Mean Dice with its interval at each site.

    Args:
        rows: of one structure.
        variants: names, in the order of the table.
    """
    sites = sorted({row["test_site"] for row in rows})
    means = [case_means([row for row in with_reference(rows) if row["test_site"] == site], "dice") for site in sites]
    return Table("Dice at each unseen site", ("variant", *sites), _mean_of_each(variants, means))


def group_table(rows: Rows, variants: Sequence[str], groups: Mapping[str, str]) -> Table:
    """Mean Dice with its interval in each group of cases.

    Args:
        rows: of one structure.
        variants: names, in the order of the table.
        groups: case -> group; cases of no group are left out.
    """
    scored = [row for row in with_reference(rows) if row["case"] in groups]
    present = {row["case"]: groups[row["case"]] for row in scored}
    # In the order in which the table of the groups first names them.
    names = [name for name in dict.fromkeys(groups.values()) if name in present.values()]
    means = [case_means([row for row in scored if groups[row["case"]] == name], "dice") for name in names]
    header = ("variant", *(f"{name} (n = {list(present.values()).count(name)})" for name in names))
    return Table("Dice by group of cases", header, _mean_of_each(variants, means))


def _mean_of_each(
    variants: Sequence[str], columns: Sequence[Mapping[str, Mapping[tuple[str, str], float]]]
) -> tuple[tuple[str, ...], ...]:
    """Rows of the mean and interval of a variant's cases in each column."""
    return tuple(
        (variant, *(write_interval(mean_interval(list(cases.get(variant, {}).values()))) for cases in columns))
        for variant in variants
    )


def seed_means(rows: Rows) -> dict[str, dict[str, float]]:
    """Mean Dice of each variant over the cases of a seed: seed -> variant -> mean, seeds in their order.

    Args:
        rows: of one structure.
    """
    seeds = sorted({row["seed"] for row in rows}, key=int)
    of_seeds = {seed: [row for row in with_reference(rows) if row["seed"] == seed] for seed in seeds}
    return {
        seed: {variant: fmean(cases.values()) for variant, cases in case_means(own, "dice").items()}
        for seed, own in of_seeds.items()
    }


def seed_table(rows: Rows, variants: Sequence[str]) -> Table:
    """Mean Dice of each seed over the cases, and how far the seeds lie apart.

    Args:
        rows: of one structure; of a variant only those of the folds that all its seeds were trained for count, since
            sites differ by more than seeds.
        variants: names, in the order of the table.
    """
    compared = [row for variant in variants for row in _on_folds_of_all_seeds(rows, variant)]
    seeds = sorted({row["seed"] for row in rows}, key=int)
    means = seed_means(compared)
    body = []
    for variant in variants:
        of_seeds = [means.get(seed, {}).get(variant, math.nan) for seed in seeds]
        finished = [mean for mean in of_seeds if not math.isnan(mean)]
        spread = max(finished) - min(finished) if len(finished) > 1 else None
        body.append((variant, *(number(mean, 3) for mean in of_seeds), number(spread, 3)))
    columns = ("variant", *(f"seed {seed}" for seed in seeds), "range")
    return Table("Dice of each seed, at the sites that all seeds of a variant have", columns, tuple(body))


def _on_folds_of_all_seeds(rows: Rows, variant: str) -> Rows:
    own = [row for row in rows if row["variant"] == variant]
    folds: dict[str, set[str]] = {}
    for row in own:
        folds.setdefault(row["seed"], set()).add(row["test_site"])
    shared = set.intersection(*folds.values()) if folds else set()
    return [row for row in own if row["test_site"] in shared]


def trust_table(rows: Rows, variants: Sequence[str]) -> Table:
    """Detection in scans and of components, calibration of the probabilities and ranking by the uncertainty.

    Scans count once for each seed. Columns of scores that no run has are left out.

    Args:
        rows: of one structure.
        variants: names, in the order of the table.
    """
    known = {name for row in rows for name in row}
    columns: dict[str, list[str]] = {}
    by_variant = [[row for row in rows if row["variant"] == variant] for variant in variants]
    if known.issuperset(DETECTION):
        scans = [count_scans(own) for own in by_variant]
        columns["found"] = [f"{each.found} of {each.with_reference}" for each in scans]
        columns["false alarms in scans without it"] = [_write_false_alarms(each) for each in scans]
        counts = [[sum(float(row[name]) for row in own) for name in DETECTION] for own in by_variant]
        columns["sensitivity"] = [number(found / true if true else None, 2) for true, found, _ in counts]
        columns["false positives per scan"] = [
            number(false / len(own) if own else None, 2) for (_, _, false), own in zip(counts, by_variant, strict=True)
        ]
    present = with_reference(rows)
    for words, score in (("lesion AUC", "lesion_auc"), ("calibration error", "calibration_error")):
        if any(not math.isnan(float(row.get(score, "nan"))) for row in present):
            means = case_means(present, score)
            intervals = [mean_interval(list(means.get(variant, {}).values())) for variant in variants]
            columns[words] = [write_interval(interval) for interval in intervals]
    if "uncertainty" in known:
        pairs = [uncertainty_and_risk(rows, variant) for variant in variants]
        curves = [risk_coverage(*pair) if pair[0] else None for pair in pairs]
        columns["rank correlation"] = [number(rank_correlation(*pair), 2) for pair in pairs]
        columns["AURC (best)"] = [_write_areas(curve) for curve in curves]
    body = [(variant, *(cells[index] for cells in columns.values())) for index, variant in enumerate(variants)]
    return Table("Detection, calibration and uncertainty", ("variant", *columns), tuple(body))


def uncertainty_and_risk(rows: Rows, variant: str) -> tuple[list[float], list[float]]:
    """Uncertainty and 1 - Dice of each case that has both, means over the seeds of a variant.

    These are the cases with the structure in reference or prediction: a false alarm is an error of 1.

    Args:
        rows: of one structure.
        variant: name.
    """
    dice, uncertainty = (case_means(rows, column).get(variant, {}) for column in ("dice", "uncertainty"))
    cases = sorted(dice.keys() & uncertainty.keys())
    return [uncertainty[case] for case in cases], [1 - dice[case] for case in cases]


def seed_differences(rows: Rows, reference: str) -> dict[str, list[float]]:
    """Variant -> its mean Dice minus that of the reference variant, in each seed, over the folds that both have there.

    Cases of one training share its luck: an interval over cases does not see that another training would differ.

    Args:
        rows: of one structure.
        reference: variant that the others are compared with.
    """
    differences: defaultdict[str, list[float]] = defaultdict(list)
    for name in dict.fromkeys(row["variant"] for row in rows if row["variant"] != reference):
        for means in seed_means(on_shared_runs(rows, name, reference)).values():
            differences[name].append(means[name] - means[reference])
    return dict(differences)


def seeds_ahead(rows: Rows, reference: str) -> dict[str, tuple[int, int]]:
    """Variant -> seeds in which the mean Dice of the reference variant is above its own, and seeds that both have.

    Args:
        rows: of one structure.
        reference: variant that the others are compared with.
    """
    differences = seed_differences(rows, reference)
    return {name: (sum(each < 0 for each in of_seeds), len(of_seeds)) for name, of_seeds in differences.items()}


def verdicts(comparisons: Sequence[Comparison], reference: str, ahead: Mapping[str, tuple[int, int]]) -> list[str]:
    """One sentence for each comparison: by how much the reference variant has more or less Dice, and how surely.

    Args:
        comparisons: from :func:`compare_dice`.
        reference: variant that the others are compared with.
        ahead: from :func:`seeds_ahead`.
    """
    sentences = []
    for comparison in comparisons:
        difference = comparison.difference
        gain = Interval(difference.n, -difference.mean, -difference.high, -difference.low)
        if math.isnan(comparison.p_holm):
            surely = "too few differing cases for a test"
        else:
            sure = comparison.p_holm < SIGNIFICANCE
            surely = f"{'significant' if sure else 'not significant'} over the cases, p {_write_p(comparison.p_holm)}"
        if comparison.variant in ahead:
            seeds, of = ahead[comparison.variant]
            surely += f"; ahead in {seeds} of {of} seed{'s' if of > 1 else ''}"
        sentences.append(
            f"{reference} minus {comparison.variant}: {write_interval(gain)} Dice over {gain.n} cases ({surely})."
        )
    return sentences


def write_interval(interval: Interval, digits: int = 3) -> str:
    """``mean [low, high]``, a dash where there is no value."""
    if math.isnan(interval.mean):
        return number(None, digits)
    mean, low, high = (number(value, digits) for value in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def _write_false_alarms(scans: ScanCounts) -> str:
    volume = "" if scans.false_alarm_ml is None else f" (mean {number(scans.false_alarm_ml, 1)} ml)"
    return f"{scans.false_alarms} of {scans.without_reference}{volume}"


def _write_areas(curve: RiskCoverage | None) -> str:
    return number(None, 3) if curve is None else f"{number(curve.area, 3)} ({number(curve.best_area, 3)})"


def _write_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else number(p, 3)
