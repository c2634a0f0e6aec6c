"""The studies' records survive threads and kills, see ``lib.datastore`` and ``lib.archive``."""

from __future__ import annotations

import functools

from monailabel.interfaces import app

from lib.bundle import Bundle


def apply(bundle: Bundle) -> None:
    """Let MONAI Label make datastores of this app's classes, from the settings that it reads for its own."""
    from lib.archive import StudyArchive  # they need the bundle's package, which is found by now
    from lib.datastore import StudyFolder

    app.LocalDatastore, app.DICOMWebDatastore = StudyFolder, functools.partial(StudyArchive, bundle)
