"""The audit trail: who did what to which study, and when."""

from __future__ import annotations

import errno
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from dualtask.errors import InputError
from lib.security.settings import SecuritySettings


class AuditTrail:
    """Appends one JSON line a request to a file that nobody but the server's account can read.

    Studies appear as keyed hashes: the same study has the same hash, and nobody without the key can tell which one it
    is, nor try out names.

    Args:
        log: the file.
        key: file of the key; made if absent.

    Raises:
        OSError, ValueError: one of them cannot be made or read.
    """

    def __init__(self, log: Path, key: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        key.parent.mkdir(parents=True, exist_ok=True)
        self._key = _read_or_make(key)

    def pseudonym(self, study: str) -> str:
        """The keyed hash (HMAC-SHA256, 128 bits of it) under which a study appears."""
        return hmac.digest(self._key, study.encode(), "sha256").hex()[:32]

    def record(self, user: str, action: str, studies: Sequence[str], status: int, client: str) -> None:
        """Append one line.

        Args:
            user: who, as the OpenID provider names the account.
            action: what, a route.
            studies: on which studies, by id.
            status: how it was answered.
            client: address.

        Raises:
            OSError: the line could not be written.
        """
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "user": user,
            "action": action,
            "studies": [self.pseudonym(study) for study in studies],
            "status": status,
            "client": client,
        }
        # One write to a file opened for appending: lines of several workers do not mix.
        file = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before, content = os.fstat(file).st_size, (json.dumps(line) + "\n").encode()
            if os.write(file, content) < len(content):
                os.ftruncate(file, before)  # or the next line would continue this part of one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)


def open_audit_trail(folder: Path, settings: SecuritySettings) -> AuditTrail:
    """The audit trail where the settings say, or else in that folder.

    Raises:
        InputError: it cannot be kept there.
    """
    log, key = settings.audit_log or folder / "audit.jsonl", settings.audit_key or folder / "audit.key"
    try:
        return AuditTrail(log, key)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The audit trail {log} cannot be kept with the key {key}: let the server's account write to both folders, "
            "or name others (SECURITY.md)."
        ) from error


def _read_or_make(path: Path) -> bytes:
    """The key in a file, which is linked into place whole: workers that start together agree on one."""
    if not path.exists():
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return bytes.fromhex(path.read_text())
