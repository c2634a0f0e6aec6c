"""The studies' records survive threads and kills, see ``lib.datastore`` and ``lib.archive``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomweb_client import DICOMwebClient
from monailabel.interfaces import app

from lib.bundle import Bundle

if TYPE_CHECKING:
    from lib.archive import StudyArchive


def apply(bundle: Bundle) -> None:
    """Let MONAI Label make datastores of this app's classes, from the settings that it reads for its own."""
    from dualtask.archive.dicomweb import give_up_in_time
    from lib.archive import StudyArchive  # they need the bundle's package, which is found by now
    from lib.datastore import StudyFolder

    def archive(client: DICOMwebClient, **options: Any) -> StudyArchive:
        return StudyArchive(bundle, give_up_in_time(client), **options)

    app.LocalDatastore, app.DICOMWebDatastore = StudyFolder, archive
