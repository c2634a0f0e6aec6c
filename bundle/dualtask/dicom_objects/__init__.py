"""Results as DICOM objects of their series: segmentation, report, parametric maps, contours.

Nothing else of the bundle imports this room, which needs highdicom: whoever writes no DICOM does without it.
"""

from dualtask.dicom_objects.segmentation import Segment, Software, make_segmentation
from dualtask.dicom_objects.transform import SaveDicomObjects, check_series

__all__ = [
    "SaveDicomObjects",
    "Segment",
    "Software",
    "check_series",
    "make_segmentation",
]
