"""Versions of the weights: the shipped ones and those that training here published."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from dualtask.errors import InputError
from dualtask.files import write_atomically

_KEPT = 5
"""Weights of so many versions stay on disk; the record of every version stays."""


class WeightVersions:
    """Which weights are served, and what can be gone back to.

    One small file names the current version, and it is replaced after the weights are whole: a kill at any moment
    leaves the old or the new version.

    Args:
        folder: of the trained weights and their record ``versions.json``.
        shipped: weights of the bundle, version 0.
        release: version of the bundle.
    """

    def __init__(self, folder: Path, shipped: Path, release: str) -> None:
        self.folder = folder
        self.shipped = shipped
        self.release = release
        self._record = folder / "versions.json"

    @property
    def records(self) -> list[dict[str, Any]]:
        """What is known of each published version, oldest first: ``number``, ``parent``, ``time`` and more."""
        return self._read()["versions"]

    @property
    def current(self) -> int:
        """Number of the version that is served; 0 is the shipped one."""
        return self._read()["current"]

    @property
    def name(self) -> str:
        """As viewers show it: the bundle's version, and for weights trained here their number behind a plus."""
        number = self.current
        return f"{self.release}+{number}" if number else self.release

    @property
    def taught(self) -> set[str]:
        """What taught the current version and those before it, see :func:`lib.cases.stamp`."""
        state = self._read()
        versions = {version["number"]: version for version in state["versions"]}
        number, stamps = state["current"], set()
        while number in versions:
            stamps.update(versions[number]["taught"])
            number = versions[number]["parent"]
        return stamps

    @property
    def path(self) -> Path:
        """File of the current weights.

        Raises:
            InputError: it is absent, or not the file that was published.
        """
        state = self._read()
        return self._verified(state["current"], state)

    @property
    def digest(self) -> str:
        """Digest of the current weights' content."""
        return _sha256(self.path)[:16]

    def publish(self, weights: Path, facts: Mapping[str, Any]) -> int:
        """Serve these weights from now on.

        Args:
            weights: file to copy.
            facts: to be kept with the version, plain values; ``taught`` among them.

        Returns:
            the number of the new version.
        """
        state = self._read()
        number = max((version["number"] for version in state["versions"]), default=0) + 1
        write_atomically(self._path(number), lambda temporary: shutil.copyfile(weights, temporary))
        made = {"number": number, "parent": state["current"], "time": _now(), "sha256": _sha256(weights)}
        state["versions"].append({**made, **facts})
        state["current"] = number
        self._write(state)
        for old in sorted(version["number"] for version in state["versions"])[:-_KEPT]:
            self._path(old).unlink(missing_ok=True)
        return number

    def go_back(self) -> int:
        """Serve again the version that the current one was trained from; returns its number.

        Raises:
            InputError: the current version is the shipped one, or the earlier weights are no longer kept or not the
                file that was published.
        """
        state = self._read()
        parents = {version["number"]: version["parent"] for version in state["versions"]}
        if state["current"] not in parents:
            raise InputError("The shipped weights are served already: there is no earlier version to go back to.")
        previous = parents[state["current"]]
        if not self._path(previous).is_file():
            raise InputError(f"The weights of version {previous} are no longer kept: train anew instead of going back.")
        self._verified(previous, state)
        state["current"] = previous
        self._write(state)
        return previous

    def _verified(self, number: int, state: Mapping[str, Any]) -> Path:
        path = self._path(number)
        # Shipped weights are in the bundle's manifest; versions of before checksums were kept have none.
        published = {version["number"]: version.get("sha256") for version in state["versions"]}.get(number)
        if published is not None and (not path.is_file() or _sha256(path) != published):
            raise InputError(
                f"{path} is not the file that was published (its checksum differs from {self._record.name}): copy it "
                f'back from a backup, or set "current" in {self._record.name} to 0 for the shipped weights.'
            )
        return path

    def _path(self, number: int) -> Path:
        return self.folder / f"version_{number}.pt" if number else self.shipped

    def _read(self) -> dict[str, Any]:
        if not self._record.exists():
            return {"current": 0, "versions": []}
        return json.loads(self._record.read_text())

    def _write(self, state: Mapping[str, Any]) -> None:
        write_atomically(self._record, lambda temporary: temporary.write_text(json.dumps(state, indent=1)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sha256(path: Path) -> str:
    state = path.stat()
    return _sha256_of_state(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _sha256_of_state(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
