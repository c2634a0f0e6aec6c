"""The app in a server process of its own, for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from battery.servers import Server


@contextmanager
def running_server(
    repository: Path, studies: Path | str, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve until the end of the block; gives the server's URL.

    Args:
        repository: with ``apps/dualtask`` and ``bundle``.
        studies: folder, or URL of a DICOM server.
        folder: where it runs and writes ``log.txt``.
        settings: environment variables.
    """
    server = Server(repository, studies, folder, settings)
    try:
        server.wait_until_it_answers()
        yield server.url
    finally:
        # Unlike a kill, this lets the server end its own tasks.
        server.process.terminate()
        server.process.wait(20)
