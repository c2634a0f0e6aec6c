"""Attacks on the server: the tests of ``tests/app/security``, run and counted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_REPOSITORY = Path(__file__).resolve().parents[2]
_SECURITY = _REPOSITORY / "tests" / "app" / "security"


@dataclass(frozen=True)
class Attacks:
    """A module of attacks.

    Attributes:
        name: the first line of the module.
        tried: tests that ran; those of fuzzing send many requests each.
        got_in: names of the tests that failed.
    """

    name: str
    tried: int
    got_in: tuple[str, ...]


def tried_attacks() -> Iterator[Attacks]:
    """Run the tests, module by module in the order of their names."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        subprocess.run([*command, str(_SECURITY)], cwd=_REPOSITORY, stdout=subprocess.DEVNULL, check=False)
        cases = list(ElementTree.parse(report).iter("testcase"))
    for module in sorted(_SECURITY.glob("test_*.py")):
        name = module.read_text().splitlines()[0].strip('"').rstrip(".")
        ran = [
            case
            for case in cases
            if module.stem in case.get("classname", "").split(".") and case.find("skipped") is None
        ]
        failed = (case for case in ran if case.find("failure") is not None or case.find("error") is not None)
        yield Attacks(name, len(ran), tuple(case.get("name", "") for case in failed))
