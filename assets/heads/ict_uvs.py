"""One unit square of texture for ICT: upstream has seven squares side by side and the eyeballs over the face."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.heads.ict_eyes import EQUATOR, IRIS_DEG, NUM_SECTORS, RINGS_DEG, Eyeball


@dataclasses.dataclass(frozen=True)
class Patch:
    """Where one of upstream's squares goes: `corner` is its lower left, `side` its size in the new square."""

    corner: tuple[float, float]
    side: float


PATCHES: dict[str, Patch] = {
    "Face": Patch((0.002, 0.002), 0.685),
    "BackHead": Patch((0.690, 0.002), 0.308),
    "Teeth": Patch((0.690, 0.315), 0.308),
    "EyeLashes": Patch((0.690, 0.628), 0.308),
    "GumsTongue": Patch((0.428, 0.692), 0.256),
}
"""Upstream's materials; the face has by far the most texels (3.8 a millimetre in a picture of 1024)."""

EYE_DISCS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "Left": ((0.107, 0.797), (0.745, 0.965)),
    "Right": ((0.320, 0.797), (0.825, 0.965)),
}
"""Centres of the front and back half of the subject's left and right eyeball."""

IRIS_RADIUS, FRONT_RADIUS, BACK_RADIUS = 0.052, 0.104, 0.030
"""Radii in the new square: an iris gets 106 texels across in a picture of 1024, twice as many a millimetre as the sclera."""


def pack_uvs(uv: np.ndarray, faces_uv: np.ndarray, material: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(T, 2) float64 texture coordinates of the kept materials in the new square; those of others are left as they are.

    Args:
        uv: (T, 2) upstream's, where each material lies within one unit square.
        faces_uv: (F, 3) int32 into `uv`.
        material: (F,) into `names`.
        names: upstream's material names, "M_Face" and so on.
    """
    placed = uv.astype(np.float64)
    for name, patch in PATCHES.items():
        used = np.unique(faces_uv[material == np.flatnonzero(names == f"M_{name}")[0]])
        placed[used] = (uv[used] % 1.0) * patch.side + patch.corner
    return placed


def eyeball_uvs(ball: Eyeball, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates (N, 2) of one eyeball and its triangles' (F, 3) into them.

    Front and back half are one disc each, seen from outside; the ring at the equator stands in both. The right eye's are
    the left's mirrored, so that a texture for one fits the other turned over.
    """
    azimuth = np.arange(NUM_SECTORS) * 2 * np.pi / NUM_SECTORS
    circle = np.column_stack([np.cos(azimuth), np.sin(azimuth)])
    angles = np.array((0.0, *RINGS_DEG, 180.0))
    front = np.interp(angles[: EQUATOR + 2], (0.0, IRIS_DEG, 90.0), (0.0, IRIS_RADIUS, FRONT_RADIUS))
    back = np.interp(180.0 - angles[EQUATOR + 1 :], (0.0, 90.0), (0.0, BACK_RADIUS))
    turn_over = np.array((1.0, 1.0)) if side == "Left" else np.array((-1.0, 1.0))
    front_centre, back_centre = EYE_DISCS[side]
    front_uvs = np.concatenate([[(0.0, 0.0)], (front[1:, None, None] * circle).reshape(-1, 2)]) * turn_over + front_centre
    back_circle = circle * (-1.0, 1.0)
    back_uvs = np.concatenate([(back[:-1, None, None] * back_circle).reshape(-1, 2), [(0.0, 0.0)]]) * turn_over + back_centre
    # Vertex numbers serve as texture coordinates up to the equator; behind it the doubled ring moves them up.
    is_behind = ball.triangles.max(1) >= len(front_uvs)
    return np.concatenate([front_uvs, back_uvs]), ball.triangles + is_behind[:, None] * NUM_SECTORS
