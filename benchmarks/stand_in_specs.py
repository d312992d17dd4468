"""Who the stand-ins are: people of known shape whom no head model here has been made for. Data, no code that draws.

Places are millimetres on the default head's average (`stand_in_atlas`), whatever head a person is made from; +X is the subject's left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Dent:
    """One local displacement beyond every identity basis."""

    place_mm: tuple[float, float, float]
    radius_mm: tuple[float, float, float]
    """Standard deviations of the Gaussian along x, y and z."""
    shift_mm: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class SkinSpec:
    """What there is to see on the skin."""

    tone_linear: tuple[float, float, float] = (0.50, 0.31, 0.225)
    detail: float = 1.0
    """Strength of mottling, pores, freckles and moles; 0.1 leaves flow little to hold."""
    freckles: float = 1.0
    brow_up_mm: tuple[float, float] = (0.0, 0.0)
    """The left and right brow's height over the usual place: brows are paint, and their place says nothing about bone."""
    brow_width: float = 1.0
    lip_grow_mm: float = 0.0
    """How far the red of the lips reaches beyond the usual line; below 0: less far."""
    stubble: float = 0.4


@dataclasses.dataclass(frozen=True)
class PersonSpec:
    head: Literal["anny", "ict"]
    """Whose basis the rough shape comes from."""
    seed: int
    identity_scale: float = 0.8
    """Standard deviation of the identity coefficients."""
    dents: tuple[Dent, ...] = ()
    relief_mm: float = 0.6
    """Size of broad random unevenness, waves of 25 to 60 mm, to either side alike or not."""
    ear_grow: tuple[float, float] = (1.0, 1.0)
    """Size of the left and right ear."""
    skin: SkinSpec = SkinSpec()
    hair_mm: float = 0.0
    """Height of an opaque shell of hair over the scalp; 0: a shaved head, dark where hair grows."""
    beard_mm: float = 0.0
    """Height of an opaque beard over chin, jaw and upper lip; 0: none."""
    light_follows_camera: bool = False
    """The light is fixed to the camera, as where a person turns on a stool; off: fixed to the room."""


EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "neutral": {},
    "smile": {
        "mouthSmileLeft": 0.9, "mouthSmileRight": 0.6, "cheekSquintLeft": 0.6, "cheekSquintRight": 0.45, "eyeSquintLeft": 0.35,
        "eyeSquintRight": 0.3, "mouthDimpleLeft": 0.3, "mouthUpperUpLeft": 0.25, "mouthUpperUpRight": 0.15, "jawOpen": 0.06,
    },
    "surprise": {
        "jawOpen": 0.6, "browInnerUp": 0.8, "browOuterUpLeft": 0.75, "browOuterUpRight": 0.6, "eyeWideLeft": 0.6, "eyeWideRight": 0.6,
        "mouthFunnel": 0.25, "mouthStretchRight": 0.15,
    },
    "skeptic": {
        "browOuterUpRight": 0.85, "browDownLeft": 0.7, "eyeSquintLeft": 0.45, "mouthRight": 0.35, "mouthPressLeft": 0.4,
        "mouthPressRight": 0.3, "mouthFrownLeft": 0.4, "noseSneerLeft": 0.4, "jawRight": 0.2,
    },
}  # fmt: skip
"""Weights of the expressions by name; "neutral" is empty."""

BROKEN_NOSE = (
    Dent((2, -16, 34), (8, 7, 12), (2.6, 0, 0.9)),
    Dent((-1, -4, 30), (6, 5, 9), (-0.8, 0, 1.5)),
    Dent((0, -38, 40), (12, 9, 12), (-1.9, 0.6, -0.4)),
)
HEAVY_BROW = (Dent((-29, 16, 22), (13, 5.5, 16), (-0.2, -0.6, 3.0)), Dent((-46, 14, 12), (8, 6, 12), (-1.0, 0, 1.6)))
DENTED_CHEEK = (Dent((46, -46, 4), (6, 6, 12), (-1.6, 0, -2.4)), Dent((-48, -22, 6), (16, 11, 16), (-1.6, 0.3, 1.4)))
CROOKED_JAW = (
    Dent((0, -106, 18), (34, 20, 40), (-3.4, -1.2, 0.6)),
    Dent((10, -103, 30), (5, 6, 10), (0, 0, 1.6)),
    Dent((-6, -92, 26), (12, 3.5, 10), (0, 0, -1.3)),
    Dent((64, -84, -25), (18, 20, 22), (2.8, 0, 0)),
)
ODD_FOREHEAD = (Dent((22, 46, 24), (14, 10, 20), (0, 0, 1.7)), Dent((-30, 40, 18), (5, 7, 14), (0, 0, -1.3)))

EVERYTHING = BROKEN_NOSE + HEAVY_BROW + DENTED_CHEEK + CROOKED_JAW + ODD_FOREHEAD


def mirrored(dents: tuple[Dent, ...], strength: float = 1.0) -> tuple[Dent, ...]:
    """The same on the other side, so that no two people are odd alike."""
    flip = (-1.0, 1.0, 1.0)
    return tuple(
        Dent(
            tuple(f * x for f, x in zip(flip, dent.place_mm, strict=True)),  # pyright: ignore[reportArgumentType]
            dent.radius_mm,
            tuple(strength * f * x for f, x in zip(flip, dent.shift_mm, strict=True)),  # pyright: ignore[reportArgumentType]
        )
        for dent in dents
    )


PEOPLE: Mapping[str, PersonSpec] = {
    "ict-odd": PersonSpec(
        "ict", seed=41, dents=EVERYTHING, ear_grow=(1.14, 1.0), skin=SkinSpec(brow_up_mm=(2.0, 3.5), brow_width=1.2, lip_grow_mm=0.8)
    ),
    "anny-odd": PersonSpec(
        "anny",
        seed=52,
        identity_scale=0.7,
        dents=mirrored(EVERYTHING, 0.9),
        ear_grow=(1.0, 1.12),
        skin=SkinSpec((0.62, 0.42, 0.34), freckles=1.6, brow_up_mm=(-1.5, 0.5), brow_width=0.7, lip_grow_mm=-0.8, stubble=0.0),
    ),
    "smooth": PersonSpec(
        "ict",
        seed=63,
        dents=mirrored(BROKEN_NOSE + CROOKED_JAW, 0.8) + HEAVY_BROW,
        skin=SkinSpec((0.66, 0.47, 0.38), detail=0.12, freckles=0.0, brow_up_mm=(1.0, 1.0), lip_grow_mm=0.4, stubble=0.0),
    ),
    "hairy": PersonSpec(
        "ict",
        seed=74,
        dents=BROKEN_NOSE + mirrored(DENTED_CHEEK + ODD_FOREHEAD),
        skin=SkinSpec((0.36, 0.21, 0.15), brow_up_mm=(0.0, 1.0), brow_width=1.5, stubble=0.8),
        hair_mm=16.0,
        beard_mm=9.0,
    ),
    "turning": PersonSpec(
        "anny",
        seed=85,
        identity_scale=1.6,
        dents=BROKEN_NOSE + mirrored(HEAVY_BROW + CROOKED_JAW),
        skin=SkinSpec((0.44, 0.27, 0.20), freckles=0.6, brow_up_mm=(1.5, 1.5), lip_grow_mm=0.5),
        light_follows_camera=True,
    ),
}
"""The stand-ins by name."""
