"""Repairs of MONAI Label 0.8.5 that no subclass of its tasks can make: one module per fault."""

from lib.bundle import Bundle
from lib.repairs import (
    datastores,
    dcmqi,
    dicom_proxy,
    doubtful_results,
    event_loop,
    refused_tasks,
    segmentation_objects,
    viewer,
)


def apply_repairs(bundle: Bundle) -> None:
    """Apply all repairs; applying them again, as POST /reload does, changes nothing."""
    datastores.apply(bundle)
    dcmqi.apply()
    dicom_proxy.apply()
    event_loop.apply()
    segmentation_objects.apply(bundle)
    doubtful_results.apply()  # around what the one before it exchanged
    refused_tasks.apply()
    viewer.apply()
