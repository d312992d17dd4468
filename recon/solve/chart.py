"""Skin as grids of texels: where views are unwrapped to, compared, and matched; the face in UV, what surrounds it from five sides."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS, HeadModel
from render import RayScene

# Sides from which the head beyond the face is laid out flat: subject's left and right, above the forehead, behind, below the chin.
SIDES = ((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.75, 0.66), (0.0, 0.2, -1.0), (0.0, -0.75, 0.66))
# A side shows what is turned towards it by more than this cosine; the sides overlap, so that nothing between them is lost.
MIN_SIDE_COSINE = 0.45
# So much of the face's border is shown too, since patches at a chart's edge cannot be matched.
FACE_MARGIN_M = 0.012
# Where its neck was cut a head model goes straight on while people have shoulders and collars, and the lid is no skin of anybody: so
# much above the cut nothing is compared.
CUT_M = 0.03


@dataclasses.dataclass(frozen=True, eq=False)
class FaceChart:
    """A texel grid over skin laid out flat; N texels lie on skin, counted row by row from the top left."""

    mask: np.ndarray
    """(H, W) bool: the texel's centre lies on the chart's skin."""
    corners: np.ndarray
    """(N, 3) int64 vertex indices of each texel's triangle."""
    barycentric: np.ndarray
    """(N, 3) float64."""
    texel_mm: float
    """Size of a texel on the average head."""
    num_vertices: int

    @cached_property
    def _interpolation(self) -> sp.csr_matrix:
        rows = np.repeat(np.arange(len(self.corners)), 3)
        shape = (len(self.corners), self.num_vertices)
        return sp.csr_matrix((self.barycentric.astype(np.float32).ravel(), (rows, self.corners.ravel())), shape=shape)

    def at_texels(self, values: np.ndarray) -> np.ndarray:
        """(N, C) float32 from values at vertices (V, C)."""
        return self._interpolation @ np.asarray(values, np.float32)

    def grid(self, values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """(H, W, ...) picture from values at texels (N, ...)."""
        out = np.full((*self.mask.shape, *values.shape[1:]), fill, values.dtype)
        out[self.mask] = values
        return out

    @cached_property
    def texel_index(self) -> np.ndarray:
        """(H, W) int64 number of the texel in N, -1 outside the chart."""
        return self.grid(np.arange(len(self.corners)), fill=-1)


def face_triangles(head: HeadModel) -> np.ndarray:
    """(T,) indices of skin triangles whose corners all belong to the face or the ears."""
    wanted = np.isin(head.vertex_regions, (REGIONS.index("face"), REGIONS.index("ears")))
    return np.flatnonzero((head.triangle_parts == PARTS.index("skin")) & wanted[head.triangles].all(1))


def make_chart(head: HeadModel, texel_mm: float) -> FaceChart:
    """Cover the face's bounding box in UV with square texels of about the given size on the skin.

    UV to millimetres is taken from the median triangle of the face; the grid is found by casting one ray a texel at the UV layout.
    """
    chosen = face_triangles(head)
    uv = head.uvs[head.triangle_uvs[chosen]].astype(np.float64)
    mm_per_uv = 1e3 * float(np.median(np.sqrt(_areas(head.vertices[head.triangles[chosen]]) / np.maximum(_areas(uv), 1e-12))))
    low, high = uv.reshape(-1, 2).min(0), uv.reshape(-1, 2).max(0)
    width, height = np.ceil((high - low) * mm_per_uv / texel_mm).astype(int)
    flat = (uv - low) * mm_per_uv / texel_mm
    flat[..., 1] = height - flat[..., 1]  # row 0 is the top, v = high
    layout = np.concatenate([flat.reshape(-1, 2), np.zeros((flat.size // 2, 1))], 1)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    origins = np.stack([x, y, np.full_like(x, -1.0)], -1).reshape(-1, 3)
    hits = RayScene(layout.astype(np.float32), np.arange(len(layout)).reshape(-1, 3).astype(np.int32)).cast(
        origins, np.broadcast_to([0.0, 0.0, 1.0], origins.shape)
    )
    mask = np.isfinite(hits.distance)
    corners = head.triangles[chosen[hits.triangle_index[mask]]].astype(np.int64)
    barycentric = hits.barycentric[mask].astype(np.float64)
    return FaceChart(mask.reshape(height, width), corners, barycentric, texel_mm, head.num_vertices)


def surround_charts(head: HeadModel, texel_mm: float) -> tuple[FaceChart, ...]:
    """Scalp, neck and underside of the chin: a chart for each of SIDES, as seen from infinitely far away.

    The heads' own layouts cut these parts up and stretch them, so texels are laid out by parallel rays instead. What lies behind
    something else from every side (behind the ears) is on no chart.
    """
    chosen = surround_triangles(head)
    if len(chosen) == 0:
        return ()
    scene, is_chosen = RayScene(head.vertices, drawn_triangles(head)), np.zeros(len(head.triangles), bool)
    is_chosen[chosen] = True
    charts = (_side_chart(head, scene, is_chosen, np.array(side) / np.linalg.norm(side), texel_mm) for side in SIDES)
    return tuple(chart for chart in charts if chart.mask.any())


def surround_triangles(head: HeadModel) -> np.ndarray:
    """(T,) indices of skin triangles on scalp and neck, with a margin of the face."""
    skin = head.vertex_parts == PARTS.index("skin")
    wanted = skin & np.isin(head.vertex_regions, (REGIONS.index("scalp"), REGIONS.index("neck")))
    face = np.flatnonzero(skin & (head.vertex_regions == REGIONS.index("face")))
    if wanted.any() and len(face):
        wanted[face[KDTree(head.vertices[wanted]).query(head.vertices[face])[0] < FACE_MARGIN_M]] = True
    wanted &= head.vertices[:, 1] > head.vertices[:, 1].min() + CUT_M
    return np.flatnonzero((head.triangle_parts == PARTS.index("skin")) & wanted[head.triangles].all(1))


def _side_chart(head: HeadModel, scene: RayScene, is_chosen: np.ndarray, towards: np.ndarray, texel_mm: float) -> FaceChart:
    """What parallel rays against the unit direction `towards` meet first, where that is one of the chosen triangles."""
    right = np.cross([0.0, 1.0, 0.0], towards)
    right /= np.linalg.norm(right)
    axes, size = np.stack([right, np.cross(towards, right)]), texel_mm * 1e-3
    flat = head.vertices[np.unique(head.triangles[is_chosen])] @ axes.T
    low, high = flat.min(0), flat.max(0)
    width, height = np.maximum(np.ceil((high - low) / size), 1).astype(int)
    x, y = np.meshgrid(low[0] + (np.arange(width) + 0.5) * size, high[1] - (np.arange(height) + 0.5) * size)
    # One metre away is outside of every head.
    origins = x[..., None] * axes[0] + y[..., None] * axes[1] + towards
    hits = scene.cast(origins.reshape(-1, 3), np.broadcast_to(-towards, (height * width, 3)))
    corners = head.vertices[head.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    cosine = normals @ towards / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    mask = np.isfinite(hits.distance)
    mask[mask] = (is_chosen & (cosine > MIN_SIDE_COSINE))[hits.triangle_index[mask]]
    index = head.triangles[hits.triangle_index[mask]].astype(np.int64)
    return FaceChart(mask.reshape(height, width), index, hits.barycentric[mask].astype(np.float64), texel_mm, head.num_vertices)


def _areas(corners: np.ndarray) -> np.ndarray:
    """(T,) areas of triangles with corners (T, 3, 2 or 3)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    squared = (a**2).sum(1) * (b**2).sum(1) - (a * b).sum(1) ** 2
    return 0.5 * np.sqrt(np.maximum(squared, 0.0))
