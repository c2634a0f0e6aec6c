"""The studies' records survive threads and kills, see ``lib.datastore``."""

from __future__ import annotations

from monailabel.interfaces import app


def apply() -> None:
    """Let MONAI Label make datastores of this app's classes, from the settings that it reads for its own."""
    from lib.datastore import StudyArchive, StudyFolder  # they need the bundle's package, which is found by now

    app.LocalDatastore, app.DICOMWebDatastore = StudyFolder, StudyArchive
