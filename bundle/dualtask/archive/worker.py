"""One worker of several, each with its own share of an archive."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from tqdm import tqdm

from dualtask.archive.records import Outcome, Record, Records
from dualtask.errors import InputError, find_input_error
from dualtask.handlers.scan_table import scan_values
from dualtask.scans.writing import without_suffix

logger = logging.getLogger(__name__)

_MOST_ATTEMPTS = 3
"""How often a scan may end its worker, such as by taking all memory, before it is left out."""

_MOST_FAILURES = 5
"""Failures without a result between them that count as those of the machine."""

_LONGEST_REASON = 500


class Archive(Protocol):
    """Where scans come from.

    Attributes:
        root: folder that they lie below while they are read.
    """

    root: Path

    def names(self) -> list[str]:
        """The scans as sorted paths below ``root``."""

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """The path of a scan, for as long as it is read."""


def segment_shard(
    evaluator: SupervisedEvaluator,
    archive: Archive,
    output_dir: str | os.PathLike[str],
    shard: int,
    shards: int,
    unknown: float | None = None,
    again: Collection[str] = (Outcome.FAILED,),
) -> None:
    """Segment the scans of one shard that have no result yet, one after the other, and write the table of all.

    Which shard a scan belongs to depends on its name alone, so that workers agree while scans are added to the archive.
    A scan counts as done once its record says so, which is written after its mask; a worker that was killed repeats the
    one that it was at. A scan that cannot be used becomes a record with the reason.

    Args:
        evaluator: segments and writes what its data set holds.
        archive: the scans.
        output_dir: where the evaluator writes, and where the records go.
        shard: number of this one, from 0.
        shards: number of all of them.
        unknown: value of voxels that are not known (HU), in all scans.
        again: outcomes that are not final, of "failed" and "refused"; the scans with them are tried anew.

    Raises:
        InputError: the numbers of shards or an outcome cannot be, the archive has no scan, another process is at the
            shard, or many scans fail one after the other.
        StorageError: a record or the table cannot be written.
    """
    if not 0 <= shard < shards:
        raise InputError(f"The shard {shard} of {shards} does not exist: give a shard from 0 to shards - 1.")
    if strange := sorted(set(again) - {Outcome.FAILED, Outcome.REFUSED}):
        raise InputError(f"{strange[0]!r} is no outcome to try again: name 'failed', 'refused' or both.")
    records, engine = Records(output_dir), _ScanByScan(evaluator)
    with _held(records, shard, shards):
        names = archive.names()
        twins = _twins(names)
        mine = [name for name in names if shard_of(name, shards) == shard]
        pending = [name for name in mine if records.read(name).get("outcome", Outcome.BEGUN) in {Outcome.BEGUN, *again}]
        title, failures = f"shard {shard} of {shards}", 0
        logger.info("%s: %d scans of %d in the archive, %d of them to do", title, len(mine), len(names), len(pending))
        outcomes: Counter[str] = Counter()
        for name in tqdm(pending, desc=title, unit="scan", initial=len(mine) - len(pending), total=len(mine)):
            attempts = _attempts(records.read(name))
            if attempts == _MOST_ATTEMPTS:
                record = _refusal(
                    f"It ended its worker {attempts} times, perhaps for want of memory: segment it alone."
                )
            elif name in twins:
                record = _refusal(f"{name} would share its mask with {twins[name]}: rename one of them.")
            else:
                record = _attempt(engine, archive, records, name, attempts + 1, unknown)
            records.write(name, record)
            outcomes[record["outcome"]] += 1
            logger.info("%s: %s %s", name, record["outcome"], record["reason"])
            # A scan that is refused says nothing of the machine.
            failures = 0 if record["outcome"] == Outcome.DONE else failures + (record["outcome"] == Outcome.FAILED)
            if failures == _MOST_FAILURES:
                raise InputError(
                    f"The last {failures} scans failed, the last with: {record['reason']!r}; mend that and start "
                    "again, which tries them anew."
                )
        records.collect()
    counted = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in Outcome if outcomes[outcome])
    logger.info("%s: %s", title, counted or "nothing to do")


def shard_of(name: str, shards: int) -> int:
    """Number of the shard of a scan, from 0."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) % shards


@contextmanager
def _held(records: Records, shard: int, shards: int) -> Iterator[None]:
    """Keep other processes from the same shard; the system lets go of it when this one is killed."""
    records.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(records.folder / f".shard_{shard}_of_{shards}.lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"Another process is at the shard {shard} of {shards}: give this one another.") from error


def _twins(names: Sequence[str]) -> dict[str, str]:
    """Scan -> another one whose results would have the same name."""
    named: dict[str, list[str]] = {}
    for name in names:
        named.setdefault(without_suffix(name), []).append(name)
    return {
        name: next(other for other in alike if other != name)
        for alike in named.values()
        if len(alike) > 1
        for name in alike
    }


def _attempts(record: Mapping[str, Any]) -> int:
    """How many workers in succession were killed at a scan."""
    return int(record.get("attempts", 0)) if record.get("outcome") == Outcome.BEGUN else 0


def _refusal(reason: str) -> Record:
    return {"outcome": Outcome.REFUSED, "reason": reason}


def _attempt(
    engine: _ScanByScan, archive: Archive, records: Records, name: str, attempts: int, unknown: float | None
) -> Record:
    """Segment a scan; returns its record."""
    records.write(name, {"outcome": Outcome.BEGUN, "reason": "", "attempts": attempts})
    start = time.perf_counter()
    try:
        with archive.opened(name) as path:
            values = engine.run({"image": str(path), "unknown": unknown})
    except Exception as error:
        if (known := find_input_error(error)) is not None:
            return _refusal(str(known))
        logger.exception("%s: failed", name)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return {"outcome": Outcome.FAILED, "reason": reason[:_LONGEST_REASON]}
    except BaseException:
        # Whoever stops the worker by hand says nothing about the scan.
        records.remove(name)
        raise
    seconds = f"{time.perf_counter() - start:.3f}"
    return {"outcome": Outcome.DONE, "reason": "", "seconds": seconds, **values}


class _ScanByScan:
    """Runs an evaluator on one scan after the other; an error ends the scan and not the evaluator.

    Ignite's engine passes over the run after one that an exception left; with a handler of exceptions none leaves it.
    """

    def __init__(self, evaluator: SupervisedEvaluator) -> None:
        self.evaluator = evaluator
        self.error: Exception | None = None
        evaluator.add_event_handler(Events.EXCEPTION_RAISED, self._keep)
        # It reports the start and end of each run, and errors that end in the records.
        evaluator.logger.setLevel(logging.CRITICAL)

    def run(self, case: Mapping[str, Any]) -> dict[str, str]:
        """Segment a scan and write its masks; returns the columns of ``scans.csv``."""
        self.evaluator.data_loader.dataset.data = [case]
        state = self.evaluator.state
        try:
            self.evaluator.run()
            if self.error is not None:
                raise self.error
            (scan,) = state.output
            return scan_values(scan)
        finally:
            # The next scan is read without this one in memory.
            self.error = state.batch = state.output = None

    def _keep(self, engine: Engine, error: BaseException) -> None:
        if not isinstance(error, Exception):
            raise error
        self.error = error
