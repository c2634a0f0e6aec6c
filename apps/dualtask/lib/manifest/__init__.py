"""Checksums of what the app loads from a bundle, in the format of ``sha256sum``.

Nothing here may import the bundle's package: its modules are checked before the first of them runs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

MANIFEST = "manifest.sha256"

_LOADED = {"configs": {".json", ".conf"}, "dualtask": {".py", ".jinja"}, "models": {".pt", ".json"}}
"""Folder of a bundle -> suffixes of the files in it that are loaded."""

_LEFT_BY_TRAINING = ("_previous.pt", "_last.pt")

_REMEDY = "copy the bundle again, or run `make manifest` if the change is yours"


class BundleChangedError(ValueError):
    """A file of the bundle is not the one that the manifest names."""


def checksums(root: Path) -> dict[str, str]:
    """Path relative to ``root`` -> SHA-256 in hexadecimal, of every file of the bundle that the app may load."""
    return {
        path.relative_to(root).as_posix(): _sha256(path)
        for folder, suffixes in _LOADED.items()
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in suffixes and path.is_file() and not path.name.endswith(_LEFT_BY_TRAINING)
    }


def written(sums: dict[str, str]) -> str:
    """The manifest as text, which ``sha256sum --check`` reads too."""
    return "".join(f"{checksum}  {name}\n" for name, checksum in sums.items())


def check_manifest(root: Path) -> None:
    """Compare a bundle with its manifest.

    Raises:
        BundleChangedError: there is no manifest, or a file is absent, changed or not named in it.
    """
    manifest = root / MANIFEST
    try:
        lines = manifest.read_text().splitlines()
        named = {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise BundleChangedError(f"The manifest {manifest} is absent or cannot be read: {_REMEDY}.") from error
    found = checksums(root)
    for name in sorted(named.keys() | found.keys()):
        if found.get(name) != named.get(name):
            raise BundleChangedError(f"{root / name} {_difference(name, named, found)}: {_REMEDY}.")


def _difference(name: str, named: dict[str, str], found: dict[str, str]) -> str:
    if name not in found:
        return f"is in the bundle's {MANIFEST} and not on disk"
    if name not in named:
        return f"is not in the bundle's {MANIFEST}"
    return f"is not the file that the bundle's {MANIFEST} names (its checksum differs)"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
