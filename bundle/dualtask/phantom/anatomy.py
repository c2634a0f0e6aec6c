"""One synthetic patient: organs as smooth implicit shapes in millimetres, different in every patient.

Organs are laid out in a reference body (x left, y posterior, z superior, origin in front of the first lumbar
vertebra). A patient is that body scaled, turned, and bent by one smooth displacement, which keeps neighbours
neighbours; then each surface is roughened on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualtask.phantom.body import SPACE, Body
from dualtask.phantom.draft import Draft, choose
from dualtask.phantom.fields import SmoothNoise
from dualtask.phantom.organs.back import add_skeleton_and_back
from dualtask.phantom.organs.chest import Diaphragm, add_chest
from dualtask.phantom.organs.gut import add_bowel, add_gallbladder, add_stomach
from dualtask.phantom.organs.kidneys import add_kidneys
from dualtask.phantom.organs.liver import add_liver_and_spleen
from dualtask.phantom.organs.pancreas import add_pancreas, plan_pancreas
from dualtask.phantom.organs.vessels import add_vessels
from dualtask.phantom.organs.wall import add_wall
from dualtask.phantom.sites import Site
from dualtask.phantom.tissue import HU_BY_PHASE, Structure


@dataclass(frozen=True)
class Patient:
    """Everything to be scanned.

    Attributes:
        structures: in painting order, on a background of air.
        textures: noise fields of wavelength 60, 16 and 6 mm.
        phase: contrast phase.
        lesion: one sentence about the lesion, or None.
        half_width_mm: half the field of view's width that holds the body.
        back_mm: y of the hindmost skin.
        top_mm, bottom_mm: range along z that an abdominal scan covers.
        lesion_share: where the lesion lies, as the share of the pancreas's centre line from the head's end; or None.
    """

    structures: Sequence[Structure]
    textures: tuple[SmoothNoise, ...]
    phase: str
    lesion: str | None
    half_width_mm: float
    back_mm: float
    top_mm: float
    bottom_mm: float
    lesion_share: float | None = None


def build_patient(site: Site, rng: np.random.Generator) -> Patient:
    """Draw one patient of a site."""
    frame = rng.uniform(*site.cavity_scale)
    scale = frame * rng.uniform(0.96, 1.04, 3)
    body = Body(rng, scale)
    phase = choose(rng, site.phases)
    spread = {
        name: value * (1 + 0.06 * np.clip(rng.standard_normal(), -2, 2)) for name, value in HU_BY_PHASE[phase].items()
    }
    draft = Draft(rng, body, spread, site, phase, bool(rng.random() < site.oral_contrast))
    fat = rng.uniform(*site.subcutaneous_fat_mm)
    textures = tuple(SmoothNoise(rng, wavelength, SPACE) for wavelength in (60.0, 16.0, 6.0))

    skin, cavity = add_wall(draft, fat)
    dome = Diaphragm(rng.uniform(98, 108), rng.uniform(88, 100))
    organ = plan_pancreas(draft)
    whole = organ.shape if organ.lesion is None else organ.shape.joined(organ.lesion)
    add_chest(draft, cavity, dome)
    add_skeleton_and_back(draft)
    liver, spleen = add_liver_and_spleen(draft, cavity, dome, whole)
    kidneys = add_kidneys(draft, whole)
    gallbladder = add_gallbladder(draft, whole)
    stomach = add_stomach(draft, whole, liver, spleen, cavity)
    solid = [shape for shape in (liver, spleen, stomach, *kidneys, gallbladder) if shape is not None]
    add_bowel(draft, whole, solid, cavity)
    add_pancreas(draft, organ)
    add_vessels(draft, organ)

    inside = skin.values < 0
    half_width = float(np.abs(skin.axes[0][inside.any(axis=(1, 2))]).max())
    back = float(skin.axes[1][inside.any(axis=(0, 2))].max())
    top = float(scale[2] * (dome.right + rng.uniform(-8, 10)))
    bottom = float(scale[2] * rng.uniform(-118, -72))
    return Patient(draft.parts, textures, phase, organ.lesion_text, half_width, back, top, bottom, organ.lesion_share)
