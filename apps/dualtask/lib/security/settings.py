"""What an operator may set, beside MONAI Label's own settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from dualtask.errors import InputError


class SecuritySettings(BaseSettings):
    """Read from the environment (``DUALTASK_OPEN_HOSTS`` and so on) or the file ``.env``, as MONAI Label reads its own.

    Attributes:
        open_hosts: names and addresses under which other machines may reach a server *without* authentication; empty
            means that only this machine may.
        upload_limit_mb: largest request body in MB.
        audit_log: file of the audit trail; by default ``logs/audit.jsonl`` of the app.
        audit_key: file of the key that turns studies into pseudonyms; by default ``logs/audit.key`` of the app, made
            at the first start.
    """

    model_config = SettingsConfigDict(env_prefix="DUALTASK_", env_file=".env", extra="ignore")

    open_hosts: list[str] = []
    upload_limit_mb: int = Field(default=2048, gt=0)
    audit_log: Path | None = None
    audit_key: Path | None = None


def read_settings() -> SecuritySettings:
    """The settings of this process.

    Raises:
        InputError: one of them cannot be used.
    """
    try:
        return SecuritySettings()
    except (ValidationError, SettingsError) as error:
        wrong = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("...",), "msg": str(error)}
        name = f"DUALTASK_{str(wrong['loc'][0]).upper()}"
        raise InputError(f"The setting {name} cannot be used ({wrong['msg']}): see SECURITY.md.") from error
