"""Killed at any step or stopped by a full disk, whoever comes next finds the old or the new state and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from battery.faults import fill_the_disk, kill_at_every_step
from battery.interrupted import WORK


@pytest.mark.parametrize("inject", [kill_at_every_step, fill_the_disk])
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.name)
def test_nothing_is_lost_and_nothing_half_written(work, inject, tmp_path: Path):
    tally = inject(work, tmp_path)
    assert tally.damaged == ()
    assert tally.injected >= 3
