"""Where the bundle is, and what it says about itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path


class BundleNotFoundError(FileNotFoundError):
    """There is no bundle where the app looks for it, or only a part of one."""


class Bundle:
    """A MONAI bundle on disk.

    Args:
        root: folder that holds ``configs`` and ``models``.

    Attributes:
        root: the folder, absolute.
        name, description, version: as in ``metadata.json``.
        labels: name -> value in a label map, without the background.

    Raises:
        BundleNotFoundError: it does not say so.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        description = root / "configs" / "metadata.json"
        try:
            metadata = json.loads(description.read_text())
            prediction = next(iter(metadata["network_data_format"]["outputs"].values()))
            channels: dict[str, str] = prediction["channel_def"]
            self.name, self.description, self.version = (metadata[key] for key in ("name", "description", "version"))
        except (OSError, ValueError, LookupError) as error:
            raise BundleNotFoundError(f"{description} cannot be read: copy the bundle to {root} again.") from error
        self.labels = {name: int(value) for value, name in channels.items() if name != "background"}


def find_bundle(app_dir: str, conf: Mapping[str, str]) -> Bundle:
    """The bundle of ``--conf bundle <folder>``, or else the ``bundle`` folder beside ``apps``; makes it importable.

    Raises:
        BundleNotFoundError: there is no bundle in that folder.
    """
    root = Path(conf.get("bundle") or Path(app_dir).resolve().parents[1] / "bundle").resolve()
    if not (root / "configs" / "inference.json").is_file():
        raise BundleNotFoundError(f"There is no bundle in {root}: start the server with --conf bundle <its folder>.")
    if str(root) not in sys.path:
        sys.path.append(str(root))
    return Bundle(root)
