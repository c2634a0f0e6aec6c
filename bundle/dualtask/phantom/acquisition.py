"""The synthetic scanner: slices of a patient with partial volume, reconstruction kernel and correlated noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from dualtask.phantom.anatomy import Patient
from dualtask.phantom.fields import Axes, Region
from dualtask.phantom.sites import Site
from dualtask.phantom.tissue import LESION, PANCREAS, Structure, Surroundings

AIR_HU = -1000.0
_HU_RANGE = (-1024, 3071)
_SLAB_VOXELS = 1_500_000  # bounds the working memory whatever the matrix
_PROFILE_MM = 1.7  # sub-slices that make up a slice lie at most this far apart


@dataclass(frozen=True)
class Scan:
    """Image (int16 HU) and label (uint8), both [x, y, z] growing towards left, posterior, superior; the geometry."""

    image: np.ndarray
    label: np.ndarray
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]  # centre of voxel [0, 0, 0], LPS


def scan_patient(patient: Patient, site: Site, rng: np.random.Generator, matrix: int) -> Scan:
    """Scan a patient with a site's protocol on `matrix` x `matrix` pixels."""
    width = float(np.clip(2 * patient.half_width_mm + 24.0, *site.field_of_view_mm))
    pixel, thickness = width / matrix, site.slice_thickness_mm
    count = int((patient.top_mm - patient.bottom_mm) // thickness)
    x = (np.arange(matrix) - (matrix - 1) / 2) * pixel + rng.uniform(-4, 4)
    y = (np.arange(matrix) - (matrix - 1) / 2) * pixel + rng.uniform(2, 12)
    z = patient.bottom_mm + thickness * (np.arange(count) + 0.5)

    parts = int(np.ceil(thickness / _PROFILE_MM))
    offsets = ((np.arange(parts) + 0.5) / parts - 0.5) * thickness
    image = np.empty((matrix, matrix, count), np.int16)
    label = np.empty((matrix, matrix, count), np.uint8)
    noise_scale = site.noise_sd_hu * rng.uniform(0.85, 1.2)
    kernel, grain = _transfer_functions(site, matrix, pixel)
    table = _table(x, y, patient.back_mm + rng.uniform(2, 6))
    block = max(1, _SLAB_VOXELS // (matrix * matrix * parts))
    for start in range(0, count, block):
        part = slice(start, min(start + block, count))
        fine = (z[part, None] + offsets).ravel()
        hu, organ, lesion = _render(patient, (x, y, fine), pixel)
        hu, organ, lesion = (_average(volume, parts) for volume in (hu, organ, lesion))
        hu = np.maximum(hu, table[:, :, None])
        label[:, :, part] = np.where(organ + lesion > 0.5, np.where(lesion > 0.5, 2, 1), 0)
        attenuating = float(np.sqrt(np.mean(hu > -300)) / 0.72)
        for k in range(hu.shape[2]):
            image[:, :, start + k] = _reconstruct(hu[:, :, k], kernel, grain, noise_scale * attenuating, rng)
    return Scan(image, label, (pixel, pixel, thickness), (float(x[0]), float(y[0]), float(z[0])))


def _average(volume: np.ndarray, parts: int) -> np.ndarray:
    """Mean over the sub-slices of each slice."""
    return volume.reshape(*volume.shape[:2], -1, parts).mean(axis=3)


def _render(patient: Patient, axes: Axes, pixel: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, and the shares of pancreas without lesion and of lesion, in each voxel."""
    shape = tuple(len(axis) for axis in axes)
    hu = np.full(shape, AIR_HU)
    organ, lesion = np.zeros(shape), np.zeros(shape)
    textures = [noise(axes) for noise in patient.textures]
    for structure in patient.structures:
        region = structure.shape.overlap(axes)
        if region is not None:
            _paint(structure, region, axes, textures, pixel, hu, organ, lesion)
    return hu, organ, lesion


def _paint(
    structure: Structure,
    region: Region,
    axes: Axes,
    textures: Sequence[np.ndarray],
    pixel: float,
    hu: np.ndarray,
    organ: np.ndarray,
    lesion: np.ndarray,
) -> None:
    """Lay one structure over what is there, in place."""
    local = tuple(axis[part] for axis, part in zip(axes, region, strict=True))
    depth = structure.shape.sample(local)
    cover = np.clip(0.5 - depth / (structure.edge_mm + pixel), 0.0, 1.0)
    if not cover.any():
        return
    around = Surroundings(
        local[0][:, None, None], local[1][None, :, None], local[2][None, None, :], *(t[region] for t in textures)
    )
    hu[region] += cover * (structure.paint(depth, around) - hu[region])
    for share, name in ((organ, PANCREAS), (lesion, LESION)):
        if structure.name == name:
            share[region] += cover * (1.0 - share[region])
        else:
            share[region] *= 1.0 - cover


def _table(x: np.ndarray, y: np.ndarray, top_mm: float) -> np.ndarray:
    """HU of the couch, a thin curved shell under the patient, [x, y]; it is deepest at `top_mm`."""
    height = top_mm - (x / 42.0) ** 2
    inside = np.abs(x) < 205
    distance = np.abs(y[None, :] - height[:, None])
    shell = np.clip(1.5 - distance / 2.0, 0.0, 1.0) * inside[:, None]
    return AIR_HU + 720.0 * shell


def _transfer_functions(site: Site, matrix: int, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Transfer functions over the frequencies of `scipy.fft.rfft2`: of the kernel, and of unit-variance noise."""
    fx = fft.fftfreq(matrix, pixel)[:, None]
    fy = fft.rfftfreq(matrix, pixel)[None, :]
    frequency = np.hypot(fx, fy)
    sigma = site.kernel_fwhm_mm / 2.355
    blur = np.exp(-2.0 * (np.pi * sigma * frequency) ** 2)
    kernel = blur * (1.0 + site.kernel_boost * (frequency / 0.18) ** 2 / (1.0 + (frequency / 0.18) ** 2))
    peak = 1.0 / site.noise_grain_mm
    # Filtered back-projection leaves little noise at low frequencies; the kernel takes away the high ones.
    power = (0.05 + frequency / peak) * np.exp(-((frequency / (1.5 * peak)) ** 2))
    full = np.concatenate([power, power[:, 1 : (matrix + 1) // 2]], axis=1)  # the half plane that rfft2 leaves out
    return kernel, power / np.sqrt(np.mean(full**2))


def _reconstruct(
    hu: np.ndarray, kernel: np.ndarray, grain: np.ndarray, noise_sd: float, rng: np.random.Generator
) -> np.ndarray:
    """One slice as the scanner stores it, int16 HU."""
    size = hu.shape
    sharp = fft.irfft2(fft.rfft2(hu) * kernel, s=size)
    noise = fft.irfft2(fft.rfft2(rng.standard_normal(size)) * grain, s=size)
    # Noise is strongest in the middle of the body, where the fewest photons arrive.
    across = np.linspace(-1, 1, size[0])[:, None] ** 2 + np.linspace(-1, 1, size[1])[None, :] ** 2
    noise *= noise_sd * (0.45 + 0.65 * np.exp(-across / 0.45))
    return np.clip(np.rint(sharp + noise), *_HU_RANGE).astype(np.int16)
