"""Measurements as a structured report: a Comprehensive 3D SR by the template TID 1500 (PS3.16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import highdicom as hd
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from dualtask.dicom_objects.segmentation import CATEGORIES, TYPES, Segment, Software
from dualtask.measurements import Lesion, Region, ScanMeasurements
from dualtask.notice import NOTICE

PARTS: Mapping[str, Code] = MappingProxyType(
    {
        "head": Code("64163001", "SCT", "Structure of head of pancreas"),
        "body": Code("40133006", "SCT", "Structure of body of pancreas"),
        "tail": Code("73239005", "SCT", "Structure of tail of pancreas"),
    }
)
"""Sites of findings; a lesion of the neck counts as one of the pancreas, and the comment says where it lies."""

_CT_ABDOMEN = Code("41806-1", "LN", "CT Abdomen")
_LONGEST_3D = Code("L0JK", "IBSI", "Maximum 3D Diameter of a Mesh")
_MILLILITRE = Code("ml", "UCUM", "milliliter")
_MILLIMETRE = Code("mm", "UCUM", "millimeter")
_HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield Unit")


def make_measurement_report(
    slices: Sequence[Dataset],
    segmentation: hd.seg.Segmentation,
    segments: Sequence[Segment],
    measurements: ScanMeasurements,
    software: Software,
    warning: str | None = None,
) -> sr.Comprehensive3DSR:
    """What was measured of a series, with a group for the organ without its lesions and one for each lesion.

    Each group (TID 1411) refers to its segment. The observer is the software; nobody has verified the report. Comments
    at its end say what it is, how large the whole organ is, where lesions lie, and why the result is doubtful.

    Args:
        slices: headers of the series.
        segmentation: of the measured regions.
        segments: those of the segmentation: the organ without its lesions, then the lesions in the order of the
            measurements.
        measurements: of the series.
        software: what segmented and measured.
        warning: the sentence about a doubtful result, or None.
    """
    regions: list[Region | None] = [measurements.gland, *measurements.lesions]
    groups = [
        _group(number, segment, region, segmentation, software)
        for number, (segment, region) in enumerate(zip(segments, regions, strict=True), start=1)
        if region is not None
    ]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[software.name, software.version]),
        name=software.name,
        manufacturer_name=software.name,
        model_name=f"{software.name} {software.version}",
    )
    observer = sr.ObserverContext(codes.DCM.Device, observer_identifying_attributes=device)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_CT_ABDOMEN,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    for comment in _comments(measurements, warning):
        item = sr.TextContentItem(codes.DCM.Comment, comment, sr.RelationshipTypeValues.CONTAINS)
        report[0].ContentSequence.append(item)
    return sr.Comprehensive3DSR(
        evidence=[*slices, segmentation],
        content=report[0],
        series_instance_uid=hd.UID(),
        series_number=301,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=software.name,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=f"{software.name}, measurements"[:64],
        transfer_syntax_uid=segmentation.file_meta.TransferSyntaxUID,
    )


def _comments(measurements: ScanMeasurements, warning: str | None) -> list[str]:
    lesions = [
        f"Lesion {number} lies in the {lesion.part}, at {lesion.share:.0%} of the organ's length from the head's end."
        for number, lesion in enumerate(measurements.lesions, start=1)
        if lesion.share is not None
    ]
    organ = f"Volume of the whole pancreas, lesions included: {measurements.pancreas_ml:.1f} ml."
    return [f"{NOTICE}.", *([warning] if warning else []), organ, *lesions]


def _group(
    number: int, segment: Segment, region: Region, segmentation: hd.seg.Segmentation, software: Software
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    site = codes.SCT.Pancreas
    if isinstance(region, Lesion) and region.part is not None:
        site = PARTS.get(region.part, site)
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=segment.uid, identifier=segment.label),
        referenced_segment=sr.ReferencedSegment.from_segmentation(segmentation, segment_number=number),
        finding_category=CATEGORIES[segment.structure],
        finding_type=TYPES[segment.structure],
        finding_sites=[sr.FindingSite(anatomic_location=site)],
        algorithm_id=sr.AlgorithmIdentification(name=software.name, version=software.version),
        measurements=[
            sr.Measurement(name=name, value=round(value, 3), unit=unit, derivation=derivation)
            for name, value, unit, derivation in (
                (codes.SCT.Volume, region.volume_ml, _MILLILITRE, None),
                (codes.SCT.LongAxis, region.axial_diameter_mm, _MILLIMETRE, None),
                (codes.SCT.ShortAxis, region.perpendicular_diameter_mm, _MILLIMETRE, None),
                (_LONGEST_3D, region.diameter_3d_mm, _MILLIMETRE, None),
                (codes.DCM.AttenuationCoefficient, region.mean_hu, _HOUNSFIELD, codes.SCT.Mean),
                (codes.DCM.AttenuationCoefficient, region.sd_hu, _HOUNSFIELD, codes.SCT.StandardDeviation),
            )
            if value is not None
        ],
    )
