"""The head's UV chart as a list of texels, each on a triangle of the head."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.head_model import PARTS, HeadModel
from render.camera import Camera
from render.mesh import Mesh, vertex_normals
from render.rasterize import rasterize


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """The texels that a head covers, inside the smallest window of the texture that holds them all."""

    size: int
    """Width and height of the whole texture in texels."""
    row0: int
    """Texture row of the window's top, texture column of its left."""
    column0: int
    height: int
    """Size of the window in texels."""
    width: int
    rows: np.ndarray
    """(N,) int32 window row of each covered texel, 0 at the top (largest v)."""
    columns: np.ndarray
    """(N,) int32 window column."""
    triangle: np.ndarray
    """(N,) int32 triangle under the texel's centre."""
    barycentric: np.ndarray
    """(N, 3) float32."""
    part: np.ndarray
    """(N,) uint8 into PARTS."""
    texel_m: np.ndarray
    """(N,) float32 metres on the surface per texel, of the average head."""

    def points(self, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(N, C) values at the texels of values (V, C) at the vertices: positions, normals, ..."""
        values = np.asarray(vertices, np.float32)
        corners = triangles[self.triangle]
        return sum(self.barycentric[:, k, None] * values[corners[:, k]] for k in range(3))  # type: ignore[return-value]

    def normals(self, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(N, 3) float32 unit smooth normals."""
        normals = self.points(vertex_normals(vertices, triangles), triangles)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def image(self, values: np.ndarray) -> np.ndarray:
        """(height, width[, C]) window picture of values (N[, C]); zero where no triangle is."""
        out = np.zeros((self.height, self.width, *values.shape[1:]), values.dtype)
        out[self.rows, self.columns] = values
        return out

    def take(self, image: np.ndarray) -> np.ndarray:
        """(N[, C]) values of a window picture at the covered texels."""
        return image[self.rows, self.columns]

    def resample(self, coarse: np.ndarray) -> np.ndarray:
        """(N[, C]) values of a window picture of a chart of another size, whose window lies in the same place of the UV square."""
        return self.take(cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_LINEAR))


def make_chart(head: HeadModel, size: int, *, align: int = 16) -> Chart:
    """Find the texels of a texture of `size` whose centres lie on a triangle; where triangles overlap in UV, the skin wins.

    The window's edges lie at multiples of size/align, so that charts of different sizes share the same window.
    """
    step = size // align
    low, high = head.uvs[head.triangle_uvs].min((0, 1)), head.uvs[head.triangle_uvs].max((0, 1))
    column0, column1 = _window(low[0], high[0], align)
    row0, row1 = _window(1 - high[1], 1 - low[1], align)
    K = np.array([[size, 0, -column0 * step], [0, size, -row0 * step], [0, 0, 1]], np.float64)
    camera = Camera(K, np.eye(4), (column1 - column0) * step, (row1 - row0) * step)
    fragments = rasterize(_flat(head), camera)
    rows, columns = np.nonzero(fragments.face_id >= 0)
    triangle = fragments.face_id[rows, columns]
    return Chart(
        size=size,
        row0=row0 * step,
        column0=column0 * step,
        height=camera.height,
        width=camera.width,
        rows=rows.astype(np.int32),
        columns=columns.astype(np.int32),
        triangle=triangle,
        barycentric=fragments.barycentric[rows, columns],
        part=head.triangle_parts[triangle],
        texel_m=_texel_metres(head, size)[triangle],
    )


def _window(low: float, high: float, align: int) -> tuple[int, int]:
    """First and last multiple of 1/align around an interval of the unit square."""
    return max(0, int(np.floor(low * align))), min(align, int(np.ceil(high * align - 1e-6)))


def _flat(head: HeadModel) -> Mesh:
    """The chart as a mesh before a pinhole camera: at depth 1, and every part but the skin a hair behind, so that the skin wins."""
    corners = head.uvs[head.triangle_uvs].astype(np.float64)
    depth = np.where(head.triangle_parts == PARTS.index("skin"), 1.0, 1.0 + 1e-3 * head.triangle_parts)[:, None]
    vertices = np.stack([corners[..., 0] * depth, (1 - corners[..., 1]) * depth, np.broadcast_to(depth, corners.shape[:2])], -1)
    triangles = np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
    return Mesh(vertices.reshape(-1, 3).astype(np.float32), triangles, head.uvs, head.triangle_uvs, head.triangle_parts)


def _texel_metres(head: HeadModel, size: int) -> np.ndarray:
    """(F,) square root of the surface's area over the chart's area in texels."""
    corners, uvs = head.vertices[head.triangles], head.uvs[head.triangle_uvs] * size
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    a, b = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    area_texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    return np.sqrt(area / np.maximum(area_texels, 1e-12)).astype(np.float32)
