"""Label maps as DICOM Segmentation objects (PS3.3, A.51)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian
from skimage.color import rgb2lab

CATEGORIES: Mapping[str, Code] = MappingProxyType(
    {
        "pancreas": Code("123037004", "SCT", "Anatomical Structure"),
        "lesion": Code("49755003", "SCT", "Morphologically Abnormal Structure"),
    }
)
"""Category of each structure."""

TYPES: Mapping[str, Code] = MappingProxyType({"pancreas": codes.SCT.Pancreas, "lesion": codes.SCT.Lesion})
"""What each structure is."""

COLOURS = {"pancreas": (249, 180, 111), "lesion": (68, 230, 42)}
"""Red, green, blue; those that OHIF's panel draws proposals in."""


@dataclass(frozen=True)
class Software:
    """What made an object.

    Attributes:
        name, version: of the bundle, as in its ``metadata.json``.
    """

    name: str
    version: str

    def algorithm(self) -> hd.AlgorithmIdentificationSequence:
        """As DICOM identifies an algorithm."""
        return hd.AlgorithmIdentificationSequence(self.name, codes.DCM.ArtificialIntelligence, self.version)

    def equipment(self) -> dict[str, Any]:
        """Arguments by which highdicom describes the equipment of any object."""
        return dict(
            manufacturer=self.name,
            manufacturer_model_name=self.name,
            software_versions=self.version,
            device_serial_number="0",
        )


@dataclass(frozen=True)
class Segment:
    """A segment of a label map.

    Attributes:
        label: its name, also that by which it is tracked.
        structure: one of ``TYPES``.
        uid: by which it is tracked from object to object.
    """

    label: str
    structure: str
    uid: str = field(default_factory=hd.UID)


def make_segmentation(
    slices: Sequence[Dataset],
    mask: np.ndarray,
    segments: Sequence[Segment],
    software: Software,
    annotator: str | None = None,
) -> hd.seg.Segmentation:
    """A label map as a segmentation of its series, with all its segments, present or not.

    Args:
        slices: headers of the series, in the order of ``series_slices``.
        mask: integer [columns, rows, slices] on the series' own grid; 0 background, n the n-th segment.
        segments: what the values mean.
        software: what made it, alone or before the annotator.
        annotator: who corrected it; None for an automatic one.
    """
    segmentation = hd.seg.Segmentation(
        source_images=slices,
        pixel_array=mask.transpose(2, 1, 0).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, segment, software, annotator) for number, segment in enumerate(segments, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=300,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        content_label="SEGMENTATION",
        content_creator_name=_person_name(annotator) if annotator else None,
        series_description=f"{software.name}, {'corrected' if annotator else 'automatic'}"[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **software.equipment(),
    )
    segmentation.TimezoneOffsetFromUTC = datetime.now().astimezone().strftime("%z")
    return segmentation


def _person_name(annotator: str) -> str:
    """One component, which the caret ends (PS3.5, 6.2.1)."""
    return re.sub(r"[\\^=]", " ", annotator)[:64].strip() + "^"


def _description(number: int, segment: Segment, software: Software, annotator: str | None) -> hd.seg.SegmentDescription:
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=CATEGORIES[segment.structure],
        segmented_property_type=TYPES[segment.structure],
        algorithm_type="SEMIAUTOMATIC" if annotator else "AUTOMATIC",
        algorithm_identification=software.algorithm(),
        tracking_uid=segment.uid,
        tracking_id=segment.label,
        anatomic_regions=[codes.SCT.Pancreas],
    )
    lab = rgb2lab(np.array(COLOURS[segment.structure]) / 255)
    # PS3.3, C.10.7.1.1: L in [0, 100], a and b in [-128, 127], each as an unsigned 16-bit number.
    shares = (lab + np.array([0, 128, 128])) / [100, 255, 255]
    description.RecommendedDisplayCIELabValue = np.rint(shares * 65535).astype(int).tolist()
    return description
