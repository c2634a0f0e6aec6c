"""Studies that somebody is labelling."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from dualtask.files import write_atomically

Choice = Callable[[list[str]], str]


class Reservations:
    """Gives a study to one annotator at a time, for a while; outlives a restart of the server.

    Args:
        path: of the record.
        minutes: how long a study is reserved.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.seconds = 60 * minutes
        self._lock = Lock()

    def reserve(
        self, studies: list[str], annotator: str, choose: Choice, waiting_since: Mapping[str, float] | None = None
    ) -> str | None:
        """Choose a study that nobody is labelling, and reserve it.

        An annotator who was given all that are left gets one of their own again.

        Args:
            studies: those that may be given.
            annotator: who asks.
            choose: from those that are free.
            waiting_since: when there was something to do again with a study, in seconds since 1970; who reserved it
                before has done that work.

        Returns:
            the study, or None: all are being labelled by others, or there is none.
        """
        with self._lock:
            again = waiting_since or {}
            reserved = {
                study: entry
                for study, entry in self._read().items()
                if entry["until"] > max(time.time(), again.get(study, 0) + self.seconds)
            }
            free = [study for study in studies if study not in reserved]
            own = [study for study in studies if reserved.get(study, {}).get("annotator") == annotator]
            chosen = choose(free) if free else None
            if chosen is None and own:
                chosen = min(own, key=lambda study: reserved[study]["until"])
            if chosen is not None:
                reserved[chosen] = {"annotator": annotator, "until": time.time() + self.seconds}
                self._write(reserved)
            return chosen

    def _write(self, reserved: dict[str, dict]) -> None:
        text = json.dumps(reserved, indent=1)
        write_atomically(self.path, lambda temporary: temporary.write_text(text))

    def _read(self) -> dict[str, dict]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}
