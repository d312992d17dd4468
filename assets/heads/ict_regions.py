"""Skin regions of the ICT head, as curves in the side view of the average head."""

from __future__ import annotations

import numpy as np

from assets.head_model import PARTS, REGIONS

HAIRLINE_M = 0.068
"""Height of the hairline above the eyes in the middle of the forehead."""

_JAW_LINE_ZY = np.array([(-0.066, -0.055), (-0.056, -0.078), (-0.040, -0.097), (-0.015, -0.110), (0.010, -0.115), (0.030, -0.115)])
"""From the ear lobe along the edge of the jaw to below the chin: (z, y) in metres."""

_FACE_SIDE_YZ = np.array([(-0.08, -0.058), (-0.05, -0.058), (0.0, -0.055), (0.03, -0.042), (0.05, -0.028), (0.08, -0.022)])
"""Where the face ends towards the ear and the hair at the temple: (y, z) in metres."""

_NAPE_ZY = np.array([(-0.17, -0.060), (-0.10, -0.052), (-0.07, -0.048)])
"""From the nape to the ear lobe: (z, y) in metres."""

_EAR_ZY = np.array(
    [(-0.0585, -0.056), (-0.0615, -0.040), (-0.0655, -0.022), (-0.0660, -0.006), (-0.074, 0.003), (-0.086, 0.003),
     (-0.097, -0.008), (-0.098, -0.022), (-0.093, -0.036), (-0.084, -0.049), (-0.072, -0.060), (-0.0600, -0.061)]
)  # fmt: skip
"""Outline of the ear: (z, y) in metres."""


def ict_regions(vertices: np.ndarray, vertex_parts: np.ndarray, is_eye_socket: np.ndarray, is_ear_side: np.ndarray) -> np.ndarray:
    """(V,) uint8 into REGIONS for skin; 0 for all else and for eye sockets.

    `is_ear_side` (V,) bool: vertices that upstream unwraps with the face or as the back of an ear, not with the skull.
    """
    x, y, z = vertices.T
    jaw_line = np.interp(z, _JAW_LINE_ZY[:, 0], _JAW_LINE_ZY[:, 1])
    side_line = np.interp(y, _FACE_SIDE_YZ[:, 0], _FACE_SIDE_YZ[:, 1])
    nape = np.interp(z, _NAPE_ZY[:, 0], _NAPE_ZY[:, 1])
    region = np.where(y < nape, REGIONS.index("neck"), REGIONS.index("scalp"))
    region[(z > -0.066) & (y < jaw_line)] = REGIONS.index("neck")
    region[(z > side_line) & (y >= jaw_line) & (y < HAIRLINE_M - 0.1 * np.abs(x))] = REGIONS.index("face")
    region[is_ear_side & (np.abs(x) > 0.055) & _inside(z, y, _EAR_ZY)] = REGIONS.index("ears")
    region[(vertex_parts != PARTS.index("skin")) | is_eye_socket] = REGIONS.index("none")
    return region.astype(np.uint8)


def _inside(a: np.ndarray, b: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(V,) bool: points (a, b) inside a closed outline (N, 2), by counting the edges that a ray towards +a crosses."""
    inside = np.zeros(len(a), bool)
    for (a0, b0), (a1, b1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if b0 != b1:
            crosses = (b0 > b) != (b1 > b)
            inside ^= crosses & (a < a0 + (b - b0) / (b1 - b0) * (a1 - a0))
    return inside
