"""Fingerprints of the sites that were checked, kept beside the pages of the checks."""

from __future__ import annotations

import json
from pathlib import Path

from dualtask.errors import InputError
from dualtask.files import write_atomically
from dualtask_research.sites.duplicates import Fingerprint
from dualtask_research.sites.inspection import SiteCheck

_SUFFIX = ".fingerprints.json"


def write_fingerprints(folder: Path, check: SiteCheck) -> None:
    """Keep the fingerprints of a site for the checks of others."""
    content = {case.name: case.fingerprint for case in check.cases}
    write_atomically(
        folder / f"{check.site.name}{_SUFFIX}", lambda temporary: temporary.write_text(json.dumps(content))
    )


def read_fingerprints(folder: Path) -> dict[str, dict[str, Fingerprint]]:
    """Site -> case -> fingerprint of every site that was checked into the folder.

    Raises:
        InputError: a file there is damaged.
    """
    found = {}
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            found[path.name.removesuffix(_SUFFIX)] = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} is damaged: check that site again.") from error
    return found
