"""docs/reference/robustness.md: what was tried and what came of it, generated."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from battery.attacks import Attacks
from battery.faults import Tally, fill_the_disk, kill_at_every_step
from battery.given import Accepted, Input
from battery.interrupted import WORK
from battery.server_faults import ServerFault
from battery.trial import INPUTS, Outcome, try_input

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "robustness.md"

_COLUMNS = ("kind", "input", "expected", "outcome", "upload", "sentence")

_INTRODUCTION = """\
# Damaged inputs, attacks, faults and what came of them

Written by `PYTHONPATH=bundle:apps/dualtask:tests python -m battery`; all scans are synthetic. The tests of
`tests/battery` and `tests/app/security` try the same.
"""

_INPUTS = """\
## Damaged and odd inputs

Each is read as training, inference and the app read it. *As expected* means for what is accepted: each voxel
has its value at its place in space; for what is refused: one sentence with the file's name and a remedy, and nothing
written. *Upload* is what the app's gate does with the file; it keeps what can be read, also a file that is no CT, since
labels come the same way, and the CT is refused when it is used.
"""

_ATTACKS = """\
## Attacks

Against the server as the app starts it; SECURITY.md says what is defended and what is not. The first row shows each
hole on the server that MONAI Label ships, too. A test of fuzzing sends a hundred requests and more, and counts once.
"""

_FAULTS = """\
## Faults

A process is killed (`kill -9`) before each step that it takes on the disk, and again on a disk that is full at 0, 1,
2, 4, ... bytes of a file. Then a new process looks: the old or the new state is there and whole, and the work can be
done. Below, real servers are treated so, and a stand-in for the DICOM server fails while the app lists series, fetches
one, and saves a final label: a sentence within seconds, and all goes on when it is back. Power failures are not tried.
"""


def tried_inputs() -> list[tuple[Input, Outcome]]:
    """Try every input, each in a folder of its own."""
    tried = []
    for given in INPUTS:
        with tempfile.TemporaryDirectory() as folder:
            tried.append((given, try_input(given, Path(folder))))
    return tried


def tried_faults() -> list[tuple[str, Tally]]:
    """Inject every fault into every kind of work."""
    tried = []
    for work in WORK:
        for name, inject in (("kill -9", kill_at_every_step), ("disk full", fill_the_disk)):
            with tempfile.TemporaryDirectory() as folder:
                tried.append((f"{name} while {work.name}", inject(work, Path(folder))))
    return tried


def page(
    inputs: Sequence[tuple[Input, Outcome]],
    attacks: Sequence[Attacks],
    faults: Sequence[tuple[str, Tally]],
    servers: Sequence[ServerFault],
) -> str:
    """The page in Markdown."""
    parts = (
        (_INTRODUCTION, _summary_lines(inputs, attacks, faults, servers)),
        (_ATTACKS, _attack_lines(attacks)),
        (_FAULTS, _fault_lines(faults, servers)),
        (_INPUTS, _input_lines(inputs)),
    )
    return "\n".join(line for text, lines in parts for line in (text, *lines, ""))


def listed_inputs() -> list[str]:
    """Names of the inputs that the committed page lists, in its order."""
    rows = (line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| "))
    kinds = {given.kind for given in INPUTS}
    return [row[1] for row in rows if row[0] in kinds]


def _summary_lines(
    inputs: Sequence[tuple[Input, Outcome]],
    attacks: Sequence[Attacks],
    faults: Sequence[tuple[str, Tally]],
    servers: Sequence[ServerFault],
) -> Iterator[str]:
    injected = sum(tally.injected for _, tally in faults) + sum(fault.injected for fault in servers)
    damaged = sum(len(tally.damaged) for _, tally in faults) + sum(len(fault.wrong) for fault in servers)
    yield _row(("what", "tried", "went wrong"))
    yield "|---|---|---|"
    yield _row(("damaged and odd inputs", str(len(inputs)), str(sum(bool(outcome.faults) for _, outcome in inputs))))
    yield _row(("attacks", str(sum(each.tried for each in attacks)), str(sum(len(each.got_in) for each in attacks))))
    yield _row(("faults (killed, disk full, DICOM server failing)", str(injected), str(damaged)))


def _attack_lines(attacks: Sequence[Attacks]) -> Iterator[str]:
    yield _row(("attack", "tests", "got in"))
    yield "|---|---|---|"
    for each in attacks:
        yield _row((each.name, str(each.tried), "; ".join(each.got_in) or "0"))


def _input_lines(tried: Sequence[tuple[Input, Outcome]]) -> Iterator[str]:
    count = Counter(isinstance(given.expected, Accepted) for given, _ in tried)
    uploads = Counter(outcome.upload for _, outcome in tried)
    yield f"{count[True]} must be accepted, {count[False]} refused."
    yield f"At the upload {uploads['kept']} were kept and {uploads['refused']} refused."
    yield ""
    yield _row(_COLUMNS)
    yield "|---" * len(_COLUMNS) + "|"
    for given, outcome in tried:
        expected = "accepted" if isinstance(given.expected, Accepted) else "refused"
        actual = "; ".join(outcome.faults) or "as expected"
        yield _row((given.kind, given.name, expected, actual, outcome.upload, outcome.sentence))


def _fault_lines(faults: Sequence[tuple[str, Tally]], servers: Sequence[ServerFault]) -> Iterator[str]:
    yield _row(("fault", "injected", "labels looked for", "lost or damaged"))
    yield "|---|---|---|---|"
    for name, tally in faults:
        yield _row((name, str(tally.injected), "", "; ".join(tally.damaged) or "0"))
    for fault in servers:
        yield _row((fault.name, str(fault.injected), str(fault.labels), "; ".join(fault.wrong) or "0"))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
