"""Figures of a mask that a report states: volumes, diameters, densities, and where along the organ a lesion lies."""

from dualtask.measurements.scan import Lesion, Region, ScanMeasurements, measure_scan, numbered_lesions
from dualtask.measurements.transform import MeasureScan

__all__ = ["Lesion", "MeasureScan", "Region", "ScanMeasurements", "measure_scan", "numbered_lesions"]
