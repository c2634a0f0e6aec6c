"""Maps as DICOM Parametric Map objects (PS3.3, A.75)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from dualtask.dicom_objects.segmentation import Software

_NO_UNITS = Code("1", "UCUM", "no units")

UNITS: Mapping[str, Code] = MappingProxyType(
    {"probability": _NO_UNITS, "distance": Code("mm", "UCUM", "millimeter"), "uncertainty": _NO_UNITS}
)
"""Of the values of each of ``dualtask.maps.MAPS``."""

_NUMBERS = {"probability": 310, "distance": 320, "uncertainty": 330}


def make_parametric_map(
    slices: Sequence[Dataset], values: np.ndarray, name: str, structure: str, software: Software
) -> hd.pm.ParametricMap:
    """A map of one structure as floating-point numbers in the slices in which it says something.

    Args:
        slices: headers of the series, in the order of ``series_slices``.
        values: [columns, rows, slices] on the series' own grid; where a slice holds one value everywhere the map says
            nothing, unless all do.
        name: one of ``UNITS``.
        structure: which the map is of.
        software: what estimated it.
    """
    frames = values.transpose(2, 1, 0).astype(np.float32)
    telling = np.flatnonzero(frames.min(axis=(1, 2)) < frames.max(axis=(1, 2)))
    if not len(telling):
        telling = np.arange(len(frames))
    frames = np.ascontiguousarray(frames[telling])
    low, high = float(frames.min()), float(frames.max())
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=name.upper()[:16],
        lut_explanation=f"{name} of the {structure}"[:64],
        unit=UNITS[name],
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
    )
    parametric_map = hd.pm.ParametricMap(
        source_images=[slices[index] for index in telling],
        pixel_array=frames,
        series_instance_uid=hd.UID(),
        series_number=_NUMBERS[name],
        sop_instance_uid=hd.UID(),
        instance_number=1,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=(low + high) / 2,
        window_width=max(high - low, 1e-3),
        content_label=name.upper()[:16],
        content_description=f"{name} of the {structure}"[:64],
        series_description=f"{software.name}, {name} of the {structure}"[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **software.equipment(),
    )
    (shared,) = parametric_map.SharedFunctionalGroupsSequence
    # A width below 1, as of maps in [0, 1], is allowed with this function alone (PS3.3, C.11.2.1.2).
    shared.FrameVOILUTSequence[0].VOILUTFunction = "LINEAR_EXACT"
    # highdicom leaves it out; dcmqi's reader dies without it.
    anatomy = Dataset()
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [hd.sr.CodedConcept.from_code(codes.SCT.Pancreas)]
    shared.FrameAnatomySequence = [anatomy]
    return parametric_map
