"""The page about federated training: tables with intervals, and what faulty sites did to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualtask.files import read_table, write_atomically
from dualtask.structures import STRUCTURES
from dualtask_research.federated.comparison import ALONE, COLUMNS, FEDERATED, POOLED
from dualtask_research.federated.plan import Federation
from dualtask_research.report.study import provenance_of
from dualtask_research.report.study_tables import write_interval
from dualtask_research.statistics import Interval, case_means, mean_interval

Rows = Sequence[Mapping[str, str]]

_TEMPLATE = Path(__file__).with_name("page.md.template")


def write_page(federation: Federation, results: Path, faults: Path, table: Path, page: Path) -> None:
    """Write the page, and the scores of each case beside the other results.

    Args:
        federation: what was compared.
        results: folder of the comparison, with ``cases.csv`` and a record of each network.
        faults: JSON file that ``benchmarks/federated_faults.py`` wrote.
        table: CSV file to write.
        page: Markdown file to write.

    Raises:
        InputError: a table is absent.
    """
    rows: Rows = read_table(results / "cases.csv", COLUMNS, dict, "a table of scores", maker="comparison")
    records = [json.loads(record.read_text()) for record in sorted(results.glob("*/done.json"))]
    provenance = provenance_of(f"configs/federated/{federation.name}.json", records)
    fault = json.loads(faults.read_text())
    text = _TEMPLATE.read_text().format(
        description=federation.description,
        answers="\n".join(answers(rows, federation)),
        scores="\n".join(score_table(rows, federation)),
        differences="\n".join(difference_table(rows, federation)),
        faults="\n".join(fault_table(fault["sites"])),
        sentences="\n".join(fault["sentences"]),
        fault_rounds=fault["rounds"],
        provenance="\n".join(f"- {name}: {value}" for name, value in provenance.items()),
    )
    write_atomically(table, lambda temporary: temporary.write_text((results / "cases.csv").read_text()))
    write_atomically(page, lambda temporary: temporary.write_text(text))


def score_table(rows: Rows, federation: Federation) -> list[str]:
    """Markdown: mean Dice of each network with its interval over cases, at the unseen site and at the others.

    The networks that were trained alone are one line each, and one line with the mean of the three for each case.
    """
    groups = [
        (f"{site} alone", [row for row in rows if (row["variant"], row["seed"]) == (ALONE, site)])
        for site in federation.sites
    ]
    groups += [
        (words, [row for row in rows if row["variant"] == variant])
        for words, variant in (("mean of those alone", ALONE), (FEDERATED, FEDERATED), (POOLED, POOLED))
    ]
    lines = _header(rows, federation, "network")
    for words, own in groups:
        cells = [write_interval(mean_interval(list(_dice(own, *column).values()))) for column in _columns(federation)]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def difference_table(rows: Rows, federation: Federation) -> list[str]:
    """Markdown: Dice of the federated network minus that of the others, case by case, with intervals."""
    lines = _header(rows, federation, "federated minus")
    for words, variant in (("mean of those alone", ALONE), (POOLED, POOLED)):
        cells = [write_interval(_difference(rows, variant, column)) for column in _columns(federation)]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def answers(rows: Rows, federation: Federation) -> list[str]:
    """Markdown: what the pancreas at the unseen site says to the questions, in a sentence for each comparison."""
    column = (federation.unseen_site,), STRUCTURES[0]
    lines = []
    for words, variant in (("the networks trained alone (mean of them)", ALONE), ("the pooled network", POOLED)):
        difference = _difference(rows, variant, column)
        sure = difference.low > 0 or difference.high < 0
        verdict = ("better than" if difference.low > 0 else "behind") if sure else "not to be told apart from"
        lines.append(
            f"- At the unseen site the federated network is **{verdict}** {words}: Dice of the pancreas "
            f"{write_interval(difference)} higher, {difference.n} cases."
        )
    return lines


def fault_table(sites: Sequence[tuple[str, str, Sequence[int]]]) -> list[str]:
    """Markdown: name of each site, what it did, and the rounds in whose mean it was."""
    lines = ["| site | what it did | in the mean of the rounds |", "|---|---|---|"]
    return lines + [f"| {name} | {did} | {', '.join(map(str, rounds)) or 'none'} |" for name, did, rounds in sites]


_Column = tuple[tuple[str, ...], str]
"""Sites and structure."""


def _columns(federation: Federation) -> list[_Column]:
    return [(sites, structure) for sites in ((federation.unseen_site,), federation.sites) for structure in STRUCTURES]


def _header(rows: Rows, federation: Federation, first: str) -> list[str]:
    federated = [row for row in rows if row["variant"] == FEDERATED]
    heads = [first]
    for sites, structure in _columns(federation):
        where = federation.unseen_site if sites == (federation.unseen_site,) else "the three sites"
        heads.append(f"{structure}, {where} ({len(_dice(federated, sites, structure))} cases)")
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]


def _dice(rows: Rows, sites: Sequence[str], structure: str) -> dict[tuple[str, str], float]:
    """Dice of each case of some sites that has the structure, mean over the networks in the rows."""
    own = [{**row, "variant": ""} for row in rows if row["test_site"] in sites and row["structure"] == structure]
    return case_means(own, "dice").get("", {})


def _difference(rows: Rows, variant: str, column: _Column) -> Interval:
    federated, other = (
        _dice([row for row in rows if row["variant"] == name], *column) for name in (FEDERATED, variant)
    )
    return mean_interval([federated[case] - other[case] for case in sorted(federated.keys() & other.keys())])
