"""What structures look like: HU by contrast phase, and painters that turn depth and texture into HU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from dualtask.phantom.fields import Field

# HU by contrast phase. Sources: usual reading-room values; only their order and rough distance matter here.
HU_BY_PHASE: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "native": dict(
            liver=58, spleen=48, cortex=34, medulla=30, calyx=8, pancreas=40, aorta=42, portal=41, cava=40,
            muscle=52, wall=36, marrow=160,
        ),
        "pancreatic": dict(
            liver=74, spleen=118, cortex=168, medulla=80, calyx=8, pancreas=108, aorta=285, portal=125, cava=88,
            muscle=58, wall=82, marrow=165,
        ),
        "portal": dict(
            liver=112, spleen=122, cortex=172, medulla=148, calyx=10, pancreas=92, aorta=148, portal=166, cava=138,
            muscle=62, wall=78, marrow=172,
        ),
        "late": dict(
            liver=92, spleen=98, cortex=128, medulla=132, calyx=380, pancreas=72, aorta=106, portal=112, cava=108,
            muscle=64, wall=64, marrow=170,
        ),
    }
)  # fmt: skip


PANCREAS, LESION = "pancreas", "lesion"  # names of the structures that are labelled

_GAS_HU = -960.0


@dataclass(frozen=True)
class Surroundings:
    """What a painter may look at: the block's axes, broadcastable, and the patient's textures (unit variance)."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    broad: np.ndarray
    mid: np.ndarray
    grain: np.ndarray


Painter = Callable[[np.ndarray, Surroundings], np.ndarray | float]


@dataclass(frozen=True)
class Structure:
    """A shape, what it looks like, and how sharply it ends. Later structures cover earlier ones."""

    shape: Field
    paint: Painter
    edge_mm: float = 0.6
    name: str = ""


def tissue(hu: float, broad: float = 2.0, mid: float = 3.0, grain: float = 2.0) -> Painter:
    """Nearly homogeneous tissue with a little texture on three length scales (HU)."""

    def paint(_: np.ndarray, around: Surroundings) -> np.ndarray:
        return hu + broad * around.broad + mid * around.mid + grain * around.grain

    return paint


def vessel(hu: float) -> Painter:
    """Flowing blood: no texture."""
    return lambda _depth, _around: hu


def hollow(wall_hu: float, wall_mm: float, content: Painter) -> Painter:
    """An organ with a wall and a content."""
    wall = tissue(wall_hu, 2, 4, 2)

    def paint(depth: np.ndarray, around: Surroundings) -> np.ndarray:
        inner = np.clip((-depth - wall_mm) / 1.6 + 0.5, 0.0, 1.0)
        return wall(depth, around) * (1 - inner) + content(depth, around) * inner

    return paint


def fluid_with_gas(hu: float, mottle: float, level_y: float) -> Painter:
    """Content with gas above a horizontal level: the patient lies on the back, so gas gathers anteriorly (small y)."""

    def paint(_: np.ndarray, around: Surroundings) -> np.ndarray:
        above = np.clip((level_y - around.y) / 1.5 + 0.5, 0.0, 1.0)
        content = hu + mottle * (around.mid + 0.6 * around.grain)
        return content * (1 - above) + _GAS_HU * above

    return paint


def faeces(hu: float, bubbles: float) -> Painter:
    """Mottled content: gas bubbles where the texture is high."""

    def paint(_: np.ndarray, around: Surroundings) -> np.ndarray:
        gas = np.clip((0.6 * around.mid + 0.8 * around.grain - 2.2 + 2.0 * bubbles) / 0.5, 0.0, 1.0)
        return (hu + 22 * around.mid + 15 * around.grain) * (1 - gas) - 700.0 * gas

    return paint
