"""Run the whole battery and write docs/reference/robustness.md; exit code 1 if anything went wrong."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from battery.attacks import tried_attacks
from battery.dicom_faults import dicom_faults
from battery.fixtures import copied_repository, synthetic_dataset
from battery.page import PAGE, page, tried_faults, tried_inputs
from battery.server_faults import server_faults
from lib.bundle import find_bundle

logging.disable(logging.CRITICAL)  # what libraries say of broken files is not what is asked here
inputs, attacks, faults = tried_inputs(), list(tried_attacks()), tried_faults()
# A request that was given up may still be writing while the folder is removed.
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    site = Path(folder)
    servers = [
        *server_faults(copied_repository(site / "copy"), synthetic_dataset(site / "dataset"), site / "servers"),
        *dicom_faults(find_bundle(str(site / "copy" / "apps" / "dualtask"), {}), site / "dicom"),
    ]
PAGE.write_text(page(inputs, attacks, faults, servers))
wrong = [
    *(outcome.faults for _, outcome in inputs),
    *(each.got_in for each in attacks),
    *(tally.damaged for _, tally in faults),
    *(fault.wrong for fault in servers),
]
sys.exit(int(any(wrong)))
