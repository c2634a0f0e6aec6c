"""Correction of a result by what a person says of single voxels; no second network."""

from dualtask.refinement.evidence import Evidence, NetworkEvidence, Part
from dualtask.refinement.hints import Hints, check_points, hints_of
from dualtask.refinement.refine import refine_label_map, refine_mask
from dualtask.refinement.scan_maps import ScanMaps, keeping_maps
from dualtask.refinement.settings import Settings

__all__ = [
    "Evidence",
    "Hints",
    "NetworkEvidence",
    "Part",
    "ScanMaps",
    "Settings",
    "check_points",
    "hints_of",
    "keeping_maps",
    "refine_label_map",
    "refine_mask",
]
