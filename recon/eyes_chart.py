"""The front of an eyeball as a small picture: the sphere of directions from its centre, laid out flat."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from assets.gaze import EYES
from assets.head_model import PARTS, HeadModel
from render.rasterize.embree import RayScene

STEP_DEG = 0.4
"""Spacing of the picture's pixels: 0.12 mm on an eyeball of 16.6 mm, as fine as the texels of a texture of 2048."""
HALF = 140
"""Pixels from the middle to each border: 56 degrees, what a wide-open eye shows of its ball at most."""
IRIS_RADIUS_M = 0.0059
"""Radius of the visible iris; it varies little between adults (horizontal diameter 11.7 mm +- 0.5, Ruefer et al. 2005)."""

_COLUMNS = 1024


@dataclasses.dataclass(frozen=True, eq=False)
class EyeChart:
    """(S, S) pixels over the front of one eyeball, row 0 at the top, +X of the head frame to the right, equidistant in angle."""

    side: int
    """0 the subject's left eye, 1 the right."""
    corners: np.ndarray
    """(S*S, 3) int32 vertices of each pixel's triangle."""
    barycentric: np.ndarray
    """(S*S, 3) float32."""

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return 2 * HALF + 1

    def points(self, vertices: np.ndarray) -> np.ndarray:
        """(S*S, 3) places of the pixels on a posed head's eyeball, for vertices (V, 3) of any frame."""
        return np.einsum("nk,nkc->nc", self.barycentric, np.asarray(vertices, np.float32)[self.corners])


@functools.lru_cache(maxsize=4)
def eye_charts(head: HeadModel) -> tuple[EyeChart, ...]:
    """The charts of the subject's left and right eye; empty for a head without eyeballs."""
    charts = []
    for side, part in enumerate(EYES):
        mine = np.flatnonzero(head.triangle_parts == PARTS.index(part))
        if not len(mine):
            return ()
        hits = RayScene(head.vertices, head.triangles[mine]).cast(head.eye_centres()[side], grid_directions().reshape(-1, 3))
        charts.append(EyeChart(side, head.triangles[mine[hits.triangle_index]], hits.barycentric))
    return tuple(charts)


@functools.cache
def grid_directions() -> np.ndarray:
    """(S, S, 3) float32 unit vectors of the chart's pixels, the eye looking along +Z."""
    angle = np.radians(STEP_DEG) * (np.arange(2 * HALF + 1) - HALF)
    return directions_at(np.stack(np.meshgrid(angle, -angle), -1))


def directions_at(angles_rad: np.ndarray) -> np.ndarray:
    """(..., 3) float32 unit vectors at angles (..., 2) from +Z, to the right (+X) and up (+Y) in the equidistant chart."""
    away = np.maximum(np.linalg.norm(angles_rad, axis=-1, keepdims=True), 1e-9)
    return np.concatenate([angles_rad * np.sin(away) / away, np.cos(away)], -1).astype(np.float32)


def angles_of(directions: np.ndarray) -> np.ndarray:
    """(..., 2) radians to the right and up of unit vectors (..., 3): the inverse of `directions_at`."""
    across = np.maximum(np.linalg.norm(directions[..., :2], axis=-1, keepdims=True), 1e-12)
    return directions[..., :2] / across * np.arctan2(across, directions[..., 2:])


def turn_to(angles_rad: np.ndarray) -> np.ndarray:
    """(3, 3) the shortest rotation that takes +Z to the direction at (2,) angles."""
    away = float(np.linalg.norm(angles_rad))
    axis = np.array([-angles_rad[1], angles_rad[0], 0.0]) / max(away, 1e-12)
    return cv2.Rodrigues(axis * away)[0]


def sample_chart(image: np.ndarray, angles_rad: np.ndarray) -> np.ndarray:
    """(...[, C]) float32 bilinear values of a chart's picture (S, S[, C]) at angles (..., 2); 0 beyond its borders."""
    place = np.degrees(np.asarray(angles_rad, np.float32)) / STEP_DEG * np.array((1, -1), np.float32) + HALF
    # OpenCV wants pictures of at most 32767 px a side, and no empty ones.
    count = place.size // 2
    padded = np.full((max(-(-count // _COLUMNS), 1) * _COLUMNS, 2), -9, np.float32)
    padded[:count] = place.reshape(-1, 2)
    grid = padded.reshape(-1, _COLUMNS, 2)
    values = cv2.remap(image.astype(np.float32, copy=False), grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
    return values.reshape(len(padded), *image.shape[2:])[:count].reshape(*place.shape[:-1], *image.shape[2:])
