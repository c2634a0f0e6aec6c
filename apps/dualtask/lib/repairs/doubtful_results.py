"""A mask that is doubtful says so in its own answer.

MONAI Label 0.8.5 sends a viewer that asks for the mask nothing beside it; the sentence goes into a header, percent-
encoded, since a study may have any name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi.responses import Response
from monailabel.endpoints import infer

HEADER = "X-Doubt"


def apply() -> None:
    """Exchange the function that answers an inference."""
    if not hasattr(infer.send_response, "tells_doubt"):
        infer.send_response = telling_doubt(infer.send_response)


def telling_doubt(send: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the sentence in the header of each answer but JSON, which holds it anyway."""

    @functools.wraps(send)
    def send_response(datastore: Any, result: dict[str, Any], *others: Any) -> Any:
        answer = send(datastore, result, *others)
        warning = (result.get("params") or {}).get("doubt", {}).get("warning")
        if warning and isinstance(answer, Response):
            answer.headers[HEADER] = quote(warning)
        return answer

    send_response.tells_doubt = True  # type: ignore[attr-defined]
    return send_response
