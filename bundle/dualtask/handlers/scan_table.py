"""A table of what inference says about each scan as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import ImageMetaKey

from dualtask.files import write_table
from dualtask.scans.writing import case_name
from dualtask.structures import STRUCTURES


class ScanTable:
    """Writes ``scans.csv``: one row for each scan.

    Its columns are ``case``, ``doubt`` in [0, 1] that the result is wrong (empty without a model of it),
    ``uncertainty_<structure>`` in [0, 1], and the indicators of ``dualtask.doubt``, empty where they are not defined;
    what was measured of the organ and of all lesions together (``pancreas_ml``, ``lesions``, ``lesions_ml``) and the
    longest axial diameter of any (``lesion_mm``, empty without one); the ``warning`` of a doubtful result.

    The file is replaced after each scan, so that an interrupted run leaves the rows of the scans that it finished.

    Args:
        path: the CSV file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, str]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for scan in engine.state.output:
            path = scan["image"].meta[ImageMetaKey.FILENAME_OR_OBJ]
            self.rows.append({"case": case_name(path), **scan_values(scan)})
        write_table(self.path, list(self.rows[0]), (row.values() for row in self.rows))


def scan_values(scan: Mapping[str, Any]) -> dict[str, str]:
    """Column of :class:`ScanTable`, apart from the case -> its text for a scan after the postprocessing."""
    measured = scan["measurements"]
    values = {
        "doubt": scan["doubt"]["score"] if "doubt" in scan else None,
        **{f"uncertainty_{name}": scan["scan_uncertainty"][name] for name in STRUCTURES},
        **scan["indicators"],
        "pancreas_ml": measured.pancreas_ml,
        "lesions": len(measured.lesions),
        "lesions_ml": sum(lesion.volume_ml for lesion in measured.lesions),
        "lesion_mm": max((lesion.axial_diameter_mm for lesion in measured.lesions), default=None),
    }
    warning = scan["doubt"]["warning"] if "doubt" in scan else None
    return {name: _written(value) for name, value in values.items()} | {"warning": warning or ""}


def _written(value: float | None) -> str:
    """A figure of the table; counts are whole."""
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6f}"
