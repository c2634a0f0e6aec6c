"""Four imaginary hospitals that differ as hospitals do: scanner, protocol, storage and patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Range = tuple[float, float]


@dataclass(frozen=True)
class Site:
    """One hospital. Ranges are uniform, mappings are probabilities that add up to one."""

    name: str
    matrix: int  # default pixels per side
    field_of_view_mm: Range  # follows the patient's width within this range
    slice_thickness_mm: float  # slices are contiguous
    orientation: str  # direction in which the stored array's indices grow, as nibabel's axis codes
    kernel_fwhm_mm: float  # blur of the reconstruction kernel
    kernel_boost: float  # edge enhancement: gain at middle frequencies, 0 for a soft kernel
    noise_sd_hu: float  # in the middle of an average body
    noise_grain_mm: float  # period at which the noise is strongest
    phases: Mapping[str, float]  # contrast phase
    oral_contrast: float  # share of patients with positive contrast in stomach and bowel
    cavity_scale: Range  # size of the patients' frame
    subcutaneous_fat_mm: Range
    lesion_rate: float
    lesions: Mapping[str, float]  # kind of lesion, given that there is one


def _mix(**shares: float) -> Mapping[str, float]:
    return MappingProxyType(shares)


_ALL = (
    Site(
        name="coastal",
        matrix=208,
        field_of_view_mm=(345.0, 400.0),
        slice_thickness_mm=2.5,
        orientation="LPS",
        kernel_fwhm_mm=1.6,
        kernel_boost=0.0,
        noise_sd_hu=11.0,
        noise_grain_mm=7.0,
        phases=_mix(portal=0.9, late=0.1),
        oral_contrast=0.1,
        cavity_scale=(0.94, 1.08),
        subcutaneous_fat_mm=(12.0, 32.0),
        lesion_rate=0.7,
        lesions=_mix(solid=0.7, cyst=0.2, neuroendocrine=0.1),
    ),
    Site(
        name="valley",
        matrix=192,
        field_of_view_mm=(360.0, 410.0),
        slice_thickness_mm=5.0,
        orientation="RAS",
        kernel_fwhm_mm=2.4,
        kernel_boost=0.0,
        noise_sd_hu=8.0,
        noise_grain_mm=10.0,
        phases=_mix(native=0.4, portal=0.6),
        oral_contrast=0.6,
        cavity_scale=(0.98, 1.13),
        subcutaneous_fat_mm=(20.0, 44.0),
        lesion_rate=0.6,
        lesions=_mix(solid=0.5, cyst=0.45, neuroendocrine=0.05),
    ),
    Site(
        name="alpine",
        matrix=240,
        field_of_view_mm=(336.0, 384.0),
        slice_thickness_mm=2.0,
        orientation="LAS",
        kernel_fwhm_mm=0.8,
        kernel_boost=0.55,
        noise_sd_hu=22.0,
        noise_grain_mm=4.0,
        phases=_mix(pancreatic=0.85, portal=0.15),
        oral_contrast=0.0,
        cavity_scale=(0.9, 1.04),
        subcutaneous_fat_mm=(6.0, 22.0),
        lesion_rate=0.75,
        lesions=_mix(solid=0.45, cyst=0.2, neuroendocrine=0.35),
    ),
    Site(
        name="metro",
        matrix=200,
        field_of_view_mm=(350.0, 400.0),
        slice_thickness_mm=3.0,
        orientation="LPI",
        kernel_fwhm_mm=1.2,
        kernel_boost=0.25,
        noise_sd_hu=16.0,
        noise_grain_mm=5.5,
        phases=_mix(native=0.15, pancreatic=0.25, portal=0.3, late=0.3),
        oral_contrast=0.3,
        cavity_scale=(0.92, 1.12),
        subcutaneous_fat_mm=(8.0, 40.0),
        lesion_rate=0.55,
        lesions=_mix(solid=0.6, cyst=0.25, neuroendocrine=0.15),
    ),
)

SITES: Mapping[str, Site] = MappingProxyType({site.name: site for site in _ALL})
