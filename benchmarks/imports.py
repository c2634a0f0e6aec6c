"""What the bundle's command imports before any code of ours runs, package by package.

``python -m monai.bundle`` imports MONAI, and MONAI every package that it can use and finds. What of this inference does
not need can only be left out by not installing it: the last line hides those packages from the import.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import report

_IMPORT = "import monai.bundle"
NOT_NEEDED = ("itk", "lmdb", "matplotlib", "mlflow", "pandas", "sklearn", "tensorboard", "torchvision")
"""Packages that MONAI imports where it finds them, and inference never uses."""

_HIDING = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ImportError(name)

sys.meta_path.insert(0, Hidden())
"""
_MEASURE = "import time; started = time.process_time(); {imported}; print(time.process_time() - started)"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


def seconds_by_package() -> dict[str, float]:
    """Seconds that the modules of each package take themselves, without those that they import."""
    found: Counter[str] = Counter()
    for line in _python("-X", "importtime", "-c", _IMPORT).stderr.splitlines():
        if match := _LINE.match(line):
            microseconds, module = match.groups()
            package = module.split(".")[0]
            found["standard library" if package in sys.stdlib_module_names else package] += int(microseconds) / 1e6
    return dict(found.most_common())


def cpu_seconds(imported: str, hidden: Sequence[str] = ()) -> float:
    """CPU seconds of an import in a new process, with some packages hidden from it."""
    program = _HIDING.format(names=set(hidden)) if hidden else ""
    return float(_python("-c", program + _MEASURE.format(imported=imported)).stdout.splitlines()[-1])


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def measure(rounds: int) -> dict[str, Any]:
    """All figures; medians of rounds."""
    ways = {
        "import torch": lambda: cpu_seconds("import torch"),
        _IMPORT: lambda: cpu_seconds(_IMPORT),
        f"{_IMPORT} without {', '.join(NOT_NEEDED)}": lambda: cpu_seconds(_IMPORT, NOT_NEEDED),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    packages: list[dict[str, float]] = []
    for _ in range(rounds):
        packages.append(seconds_by_package())
        for name, way in ways.items():
            times[name].append(way())
    return {
        "rounds": rounds,
        "cpu": {name: statistics.median(found) for name, found in times.items()},
        "packages": {name: statistics.median(found.get(name, 0.0) for found in packages) for name in packages[0]},
    }


def _lines(result: Mapping[str, Any], shown: int = 12) -> list[str]:
    whole = result["cpu"][_IMPORT]
    packages = sorted(result["packages"].items(), key=lambda item: -item[1])
    total = sum(seconds for _, seconds in packages)
    return [
        f"Median of {result['rounds']} rounds.",
        "",
        "| import | CPU time relative to that of monai.bundle |",
        "|---|---|",
        *(f"| `{name}` | {seconds / whole:.2f} |" for name, seconds in result["cpu"].items()),
        "",
        f"| package, of {len(packages)} | share of the import of monai.bundle |",
        "|---|---|",
        *(f"| {name} | {100 * seconds / total:.0f} % |" for name, seconds in packages[:shown]),
    ]


def main() -> None:
    """Measure the imports and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    result = measure(arguments.rounds)
    report("imports", result, _lines(result), arguments.output)


if __name__ == "__main__":
    main()
