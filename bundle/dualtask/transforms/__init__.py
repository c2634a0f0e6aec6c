"""Transforms of the method itself; everything else comes from MONAI."""

from dualtask.transforms.annotated import AnnotatedStructures
from dualtask.transforms.confirmed_lesion import ConfirmedLesion
from dualtask.transforms.contrast_sites import ContrastSitesd
from dualtask.transforms.downsample import Downsampled
from dualtask.transforms.free_form import RandFreeFormd
from dualtask.transforms.hide_surroundings import RandHideSurroundings
from dualtask.transforms.known import FillUnknown, KnownVoxels, OnlySupervisedd
from dualtask.transforms.lesion_components import LesionComponentsd
from dualtask.transforms.maps import LabelMapd, SplitMapsd
from dualtask.transforms.resample import ResampleToSpacingd
from dualtask.transforms.scan_grid import BoxIntoScand, BoxToScanGridd
from dualtask.transforms.signed_distance import SignedDistanced
from dualtask.transforms.structure_masks import StructureMasksd
from dualtask.transforms.transplant_lesion import RandTransplantLesion

__all__ = [
    "AnnotatedStructures",
    "BoxIntoScand",
    "BoxToScanGridd",
    "ConfirmedLesion",
    "ContrastSitesd",
    "Downsampled",
    "FillUnknown",
    "KnownVoxels",
    "LabelMapd",
    "LesionComponentsd",
    "OnlySupervisedd",
    "RandFreeFormd",
    "RandHideSurroundings",
    "RandTransplantLesion",
    "ResampleToSpacingd",
    "SignedDistanced",
    "SplitMapsd",
    "StructureMasksd",
]
