"""The DICOM server fails: a sentence in time, no label lost, and all goes on when it is back."""

from __future__ import annotations

import re
from pathlib import Path

from battery.dicom_faults import PHASES, TROUBLES, dicom_faults
from lib.bundle import find_bundle

APP = Path(__file__).resolve().parents[2] / "apps" / "dualtask"


def test_nothing_is_lost_when_the_dicom_server_fails(tmp_path: Path):
    faults = list(dicom_faults(find_bundle(str(APP), {}), tmp_path))
    assert [fault.wrong for fault in faults] == [()] * len(TROUBLES)
    assert sum(fault.injected for fault in faults) == len(TROUBLES) * len(PHASES)
    assert not [path for path in tmp_path.rglob("*") if re.search(r"escaped|incoming/.", str(path))]
