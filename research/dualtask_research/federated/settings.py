"""What a server may tell a site to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dualtask_research
from dualtask import bundle_root
from dualtask.errors import InputError

_CONFIGS = Path(dualtask_research.__file__).resolve().parents[2] / "configs"


def training_configs(overlays: Sequence[str]) -> list[Path]:
    """The bundle's ``train.json`` and overlays, all of them this machine's own files.

    MONAI runs what a config says, so a site runs none that it was sent.

    Args:
        overlays: paths relative to the repository's ``configs``.

    Raises:
        InputError: an overlay is not there.
    """
    found = [(_CONFIGS / overlay).resolve() for overlay in overlays]
    for path in found:
        if not path.is_relative_to(_CONFIGS) or path.suffix != ".json" or not path.is_file():
            raise InputError(
                f"{path.name} is no config of this site: name overlays that lie in its own folder configs."
            )
    return [Path(bundle_root()) / "configs" / "train.json", *found]


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that hold numbers and words only, and nothing that MONAI would evaluate or build.

    Raises:
        InputError: one of them would be run.
    """
    for name, value in settings.items():
        if not isinstance(value, bool | int | float | str | None) or str(value).startswith(("$", "@", "%")):
            raise InputError(f"The setting {name} = {value!r} is not a plain number or word: put it into an overlay.")
        if name.startswith("+") or "_target_" in name or not name.replace("#", "").replace("_", "").isalnum():
            raise InputError(f"{name} is not the name of a setting: give the id of a number or word of train.json.")
    return dict(settings)
