"""docs/robustness.md: what was tried and what came of it, generated."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from battery.given import Accepted, Input
from battery.trial import INPUTS, Outcome, try_input

PAGE = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"

_BEGIN, _END = "<!-- inputs: written by python -m battery -->", "<!-- end of inputs -->"


def run() -> list[tuple[Input, Outcome]]:
    """Try every input, each in a folder of its own."""
    tried = []
    for given in INPUTS:
        with tempfile.TemporaryDirectory() as folder:
            tried.append((given, try_input(given, Path(folder))))
    return tried


def write(tried: Sequence[tuple[Input, Outcome]]) -> None:
    """Replace the part of the page that lists the inputs."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text("\n".join([before + _BEGIN, "", *_lines(tried), "", _END]) + after)


def listed() -> list[str]:
    """Names of the inputs that the page lists, in its order."""
    part = PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]
    rows = [line.split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [row[1] for row in rows if len(row) == len(_COLUMNS) and row[1] != _COLUMNS[1]]


_COLUMNS = ("kind", "input", "expected", "outcome", "upload", "sentence")


def _lines(tried: Sequence[tuple[Input, Outcome]]) -> Iterator[str]:
    count = Counter(isinstance(given.expected, Accepted) for given, _ in tried)
    wrong = sum(bool(outcome.faults) for _, outcome in tried)
    uploads = Counter(outcome.upload for _, outcome in tried)
    yield f"**{len(tried)} inputs**: {count[True]} to be accepted, {count[False]} to be refused; **{wrong} went wrong**."
    yield f"Of the files {uploads['kept'] + uploads['refused']} were uploaded too: {uploads['kept']} could be read and were kept, {uploads['refused']} were refused."
    yield ""
    yield _row(_COLUMNS)
    yield "|---" * len(_COLUMNS) + "|"
    for given, outcome in tried:
        expected = "accepted, same volume" if isinstance(given.expected, Accepted) else "refused"
        actual = "; ".join(outcome.faults) or ("as expected")
        yield _row((given.kind, given.name, expected, actual, outcome.upload, outcome.sentence))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
