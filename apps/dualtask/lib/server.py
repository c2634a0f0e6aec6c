"""Whether this process is the server."""

from __future__ import annotations

import sys


def is_server() -> bool:
    """True in the process that answers requests, False in the one that a training or batch inference runs in.

    MONAI Label 0.8.5 tells only the first app of a server that it is one. The app that follows after POST /reload then
    starts its tasks by an HTTP request to its own server, which cannot answer while it waits for itself. The other
    processes do have to ask the server.
    """
    return "monailabel.app" in sys.modules
