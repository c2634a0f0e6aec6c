"""From where the server may be reached."""

from __future__ import annotations

import gc
import ipaddress
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

import uvicorn
from monailabel.main import Main
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from dualtask.errors import InputError
from lib.security.settings import SecuritySettings

_LOOPBACK = "127.0.0.1"


def check_bind_host(arguments: Sequence[str], authenticated: bool, settings: SecuritySettings) -> None:
    """Listen to this machine alone unless told otherwise, and refuse to be told so without authentication.

    MONAI Label 0.8.5 binds 0.0.0.0 by default. A server that was started by other means than its command answers other
    machines with 403 (see :func:`check_peer`).

    Args:
        arguments: of the command line, without the program.
        authenticated: authentication is on.

    Raises:
        InputError: other machines could use the server without authentication.
    """
    if authenticated or settings.open_hosts or "start_server" not in arguments:
        return
    # argparse takes any unambiguous beginning of an option's name.
    if not any(argument.startswith(("--ho", "-i")) for argument in arguments):
        _listen_on_loopback()
        return
    host = Main().args_parser().parse_known_args(list(arguments))[0].host
    if not is_loopback(host):
        raise InputError(
            f"Without authentication the server does not listen on {host}, where any machine could reach it: start it "
            "with --host 127.0.0.1, or turn authentication on (SECURITY.md)."
        )


def _listen_on_loopback() -> None:
    # uvicorn binds when the app has started, that is after this, and hands its configuration to nobody.
    for found in gc.get_objects():
        if isinstance(found, uvicorn.Config):
            found.host = _LOOPBACK


def check_peer(
    client: tuple[str, int] | None,
    headers: Headers,
    origins: Collection[str],
    authenticated: bool,
    settings: SecuritySettings,
) -> None:
    """Refuse other machines while authentication is off, and other sites' pages always.

    A page of another site that runs in the browser on this machine reaches the server from this machine: it betrays
    itself by ``Origin``, or by ``Host`` when it made its own name point here (DNS rebinding).

    Args:
        client: address and port; None for a local socket.
        origins: from which pages of other sites are allowed.

    Raises:
        HTTPException: 403.
    """
    host = _host_name(headers.get("host", ""))
    if not authenticated:
        if not settings.open_hosts and client is not None and not is_loopback(client[0]):
            raise HTTPException(403, "Without authentication the server answers its own machine alone (SECURITY.md).")
        if not is_loopback(host) and host not in settings.open_hosts:
            raise HTTPException(403, "The server is not known by this name: use 127.0.0.1, or see SECURITY.md.")
    origin = headers.get("origin")
    if origin is not None and origin not in origins and urlsplit(origin).netloc != headers.get("host"):
        raise HTTPException(403, "Pages of another site may not use the server (MONAI_LABEL_CORS_ORIGINS allows them).")


def is_loopback(host: str) -> bool:
    """Whether an address or name can mean nothing but this machine."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host_name(header: str) -> str:
    """``Host`` without the port, and without the brackets of an IPv6 address."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
