"""What was measured of each scan, as files."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.utils import ImageMetaKey

from dualtask.files import write_atomically, write_table
from dualtask.measurements import Lesion, ScanMeasurements
from dualtask.notice import NOTICE
from dualtask.scans.writing import case_name


class MeasurementFiles:
    """Writes ``<case>_measurements.json`` for each scan and, on demand, ``measurements.csv`` for all of them.

    The JSON file has ``case``, ``notice``, ``doubt`` in [0, 1] and ``warning`` (null where there is none), and the
    attributes of :class:`dualtask.measurements.ScanMeasurements`. The table has a row for the organ without its lesions
    (``gland``) and for each lesion; it is replaced after each scan.

    Args:
        output_dir: folder of the files.
        scans_root: see ``case_name``.
        table: whether the table is written.
    """

    def __init__(self, output_dir: str, scans_root: str | os.PathLike[str] = "", table: bool = True) -> None:
        self.folder = Path(output_dir)
        self.scans_root = scans_root
        self.table = table
        self.rows: list[list[Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        columns = [field.name for field in fields(Lesion) if field.name != "centre_mm"]
        for scan in engine.state.output:
            case = case_name(scan["image"].meta[ImageMetaKey.FILENAME_OR_OBJ], self.scans_root)
            measured: ScanMeasurements = scan["measurements"]
            doubt = scan.get("doubt", {"score": None, "warning": None})
            content = measured.as_dict()
            self._write(case, {"doubt": doubt["score"], "warning": doubt["warning"], **content})
            if not self.table:
                continue
            regions = {f"lesion {number}": lesion for number, lesion in enumerate(content["lesions"], start=1)}
            if content["gland"]:
                regions = {"gland": content["gland"], **regions}
            self.rows += [[case, name, *(region.get(column) for column in columns)] for name, region in regions.items()]
        if self.table:
            write_table(self.folder / "measurements.csv", ["case", "region", *columns], self.rows)

    def _write(self, case: str, content: dict[str, Any]) -> None:
        text = json.dumps({"case": case, "notice": NOTICE, **content}, indent=2) + "\n"
        path = self.folder / f"{case}_measurements.json"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
