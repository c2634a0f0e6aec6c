"""Peak memory of a process; standard library only, for the environments of others too."""

from __future__ import annotations

from pathlib import Path


def peak_gib() -> float:
    """Largest resident size of this program, GiB, as Linux counts it.

    Not ``ru_maxrss``: that one also holds the size of the program that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def reset_peak() -> None:
    """Let :func:`peak_gib` count from now on."""
    Path("/proc/self/clear_refs").write_text("5")
