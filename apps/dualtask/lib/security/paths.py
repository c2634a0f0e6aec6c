"""Where a request may read and write."""

from __future__ import annotations

from pathlib import Path

from dualtask.errors import InputError


def check_inside(folder: Path, relative: str) -> None:
    """Check that ``folder/relative`` lies in ``folder`` once all links of its folders are followed.

    A file of an operator's own may be a link to elsewhere (studies often are) as long as nothing is written to it:
    :func:`check_writable` refuses that.

    Raises:
        InputError: it does not.
    """
    root = folder.resolve()
    if not (root / relative).parent.resolve().is_relative_to(root):
        raise InputError(f"{Path(relative).name!r} does not lie in its folder: name a study and tag of this server.")


def check_writable(folder: Path, relative: str) -> None:
    """Check that writing to ``folder/relative`` changes nothing outside ``folder``.

    Raises:
        InputError: it would.
    """
    check_inside(folder, relative)
    if (folder / relative).is_symlink():
        raise InputError(f"{Path(relative).name!r} is a link to another file, which is not written to: remove it.")
