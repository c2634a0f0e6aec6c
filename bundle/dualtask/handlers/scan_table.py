"""A table of what inference says about each scan as a whole."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from monai.utils import ImageMetaKey

from dualtask.evaluation.label_maps import case_name
from dualtask.files import write_table
from dualtask.structures import STRUCTURES


class ScanTable:
    """Writes ``scans.csv``: one row for each scan.

    Its columns are ``case``, ``doubt`` in [0, 1] that the result is wrong (empty without a model of it),
    ``uncertainty_<structure>`` in [0, 1], and the indicators of ``dualtask.doubt``, empty where they are not defined.

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
            values = {
                "doubt": scan["doubt"]["score"] if "doubt" in scan else None,
                **{f"uncertainty_{name}": scan["scan_uncertainty"][name] for name in STRUCTURES},
                **scan["indicators"],
            }
            path = scan["image"].meta[ImageMetaKey.FILENAME_OR_OBJ]
            written = {name: "" if value is None else f"{value:.6f}" for name, value in values.items()}
            self.rows.append({"case": case_name(path), **written})
        write_table(self.path, list(self.rows[0]), (row.values() for row in self.rows))
