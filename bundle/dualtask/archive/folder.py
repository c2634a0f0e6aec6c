"""Scans below one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.misc import is_dicom

from dualtask.errors import InputError
from dualtask.scans.headers import NIFTI, NRRD

_DIRECTORY = "DICOMDIR"


class FolderArchive:
    """The NIfTI and NRRD files below a folder, and its folders that hold slices of a DICOM series.

    Hidden files and folders are passed over, and links to folders are not followed.

    Args:
        root: the folder.
        output_dir: where results go.

    Raises:
        InputError: the folder is absent, or results would go into it.
    """

    def __init__(self, root: str | os.PathLike[str], output_dir: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        if not self.root.is_dir():
            raise InputError(f"{root} is no folder: give the one that the scans lie below.")
        # Masks would be taken for scans at the next start.
        if Path(output_dir).resolve().is_relative_to(self.root.resolve()):
            raise InputError(f"The results would go into the archive, {output_dir}: give an output_dir outside of it.")

    def names(self) -> list[str]:
        """The scans as sorted paths relative to the folder, their readability not looked at.

        A folder that may not be listed counts as a scan, so that it is missed in the results.

        Raises:
            InputError: there is none, or slices lie in the folder itself.
        """
        names: list[str] = []

        def note_unreadable(error: OSError) -> None:
            names.append(os.path.relpath(error.filename, self.root))

        for folder, subfolders, files in os.walk(self.root, onerror=note_unreadable):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            visible = [name for name in files if not name.startswith(".")]
            images = [name for name in visible if name.lower().endswith(NIFTI + NRRD)]
            others = sorted(set(visible) - set(images) - {_DIRECTORY})
            found = [os.path.join(folder, name) for name in images]
            if any(_is_slice(os.path.join(folder, name)) for name in others):
                found.append(folder)
            names += [os.path.relpath(path, self.root) for path in found]
        if not names:
            raise InputError(f"{self.root} holds no NIfTI, NRRD or DICOM files: give the folder that scans lie below.")
        if os.curdir in names:
            raise InputError(f"{self.root} holds slices itself: put each DICOM series in a folder of its own below it.")
        return sorted(names)

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """The path of a scan, for as long as it is read."""
        yield self.root / name


def _is_slice(path: str) -> bool:
    try:
        return is_dicom(path)
    except OSError:
        # Reading the folder says what is wrong with it.
        return path.lower().endswith(".dcm")
