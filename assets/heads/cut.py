"""Cutting a head out of a body mesh with a plane, as a linear map on anything that is stored per vertex."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import csr_matrix

SNAP_M = 0.0015
"""Vertices this near to the plane are moved onto it instead of leaving slivers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """What is left on the kept side of a plane. New border vertices are linear blends of two old ones."""

    vertex_blend: csr_matrix
    """(V, old V): new vertices or displacements = vertex_blend @ old ones."""
    uv_blend: csr_matrix
    """(T, old T): the same for texture coordinates."""
    triangles: np.ndarray
    """(F, 3) int32 into the new vertices."""
    triangle_uvs: np.ndarray
    """(F, 3) int32 into the new texture coordinates."""
    source_triangle: np.ndarray
    """(F,) int64: the old triangle that each new one is (a piece of)."""


def split_quads(vertices: np.ndarray, quads: np.ndarray, quad_uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quads (Q, 4) into triangles along their shorter diagonal, which is the same on both sides of a symmetric face.

    Returns triangles (2Q, 3), their texture coordinates (2Q, 3) and the quad of each (2Q,).
    """
    corners = vertices[quads]
    other = np.linalg.norm(corners[:, 1] - corners[:, 3], axis=1) < np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1) - 1e-6
    pick = np.where(other[:, None, None], np.array([[0, 1, 3], [1, 2, 3]]), np.array([[0, 1, 2], [0, 2, 3]]))
    row = np.arange(len(quads))[:, None, None]
    return quads[row, pick].reshape(-1, 3), quad_uvs[row, pick].reshape(-1, 3), np.repeat(np.arange(len(quads)), 2)


def cut_mesh(vertices: np.ndarray, triangles: np.ndarray, triangle_uvs: np.ndarray, num_uvs: int, height: np.ndarray) -> Cut:
    """Keeps the part of a mesh where `height` (old V,), a signed distance to a plane in metres, is not negative.

    Crossing triangles are clipped, so the border lies in the plane; vertices within SNAP_M of it count as lying on it
    (the caller moves them there: `height` of the result tells how far).
    """
    level = np.where(np.abs(height) < SNAP_M, 0.0, height)
    corners = level[triangles]
    whole = (corners >= 0).all(1) & (corners > 0).any(1)
    crossing = (corners > 0).any(1) & (corners < 0).any(1)
    vertex_pool, uv_pool = _Pool(len(vertices)), _Pool(num_uvs)
    rows, uv_rows, sources = [], [], []
    for index in np.flatnonzero(crossing):
        polygon = _clip(triangles[index], triangle_uvs[index], level, vertex_pool, uv_pool)
        for k in range(1, len(polygon) - 1):
            fan = (polygon[0], polygon[k], polygon[k + 1])
            rows.append([corner[0] for corner in fan])
            uv_rows.append([corner[1] for corner in fan])
            sources.append(index)
    all_triangles = np.concatenate([triangles[whole], np.array(rows, np.int64).reshape(-1, 3)])
    all_uvs = np.concatenate([triangle_uvs[whole], np.array(uv_rows, np.int64).reshape(-1, 3)])
    vertex_blend, new_triangles = vertex_pool.compact(all_triangles)
    uv_blend, new_uvs = uv_pool.compact(all_uvs)
    source = np.concatenate([np.flatnonzero(whole), np.array(sources, np.int64)])
    return Cut(vertex_blend, uv_blend, new_triangles, new_uvs, source)


class _Pool:
    """Old elements and blends of two of them, each blend made once."""

    def __init__(self, num_old: int) -> None:
        self._num_old = num_old
        self._blends: dict[tuple[int, int], tuple[int, float]] = {}

    def blend(self, a: int, b: int, share_of_b: float) -> int:
        """Index of (1 - share) a + share b; the same one from both sides of the edge."""
        key, share = ((a, b), share_of_b) if a < b else ((b, a), 1.0 - share_of_b)
        return self._blends.setdefault(key, (self._num_old + len(self._blends), share))[0]

    def compact(self, indices: np.ndarray) -> tuple[csr_matrix, np.ndarray]:
        """The (new, old) blend matrix of the elements in use, and the indices into its rows."""
        used, compacted = np.unique(indices, return_inverse=True)
        pairs = np.array([(a, b) for a, b in self._blends], np.int64).reshape(-1, 2)
        shares = np.array([share for _, share in self._blends.values()])
        whole = np.arange(self._num_old)
        rows = np.concatenate([whole, np.repeat(self._num_old + np.arange(len(pairs)), 2)])
        weights = np.concatenate([np.ones(self._num_old), np.stack([1 - shares, shares], 1).ravel()])
        shape = self._num_old + len(pairs), self._num_old
        matrix = csr_matrix((weights, (rows, np.concatenate([whole, pairs.ravel()]))), shape)
        return csr_matrix(matrix[used]), compacted.reshape(indices.shape).astype(np.int32)


def _clip(triangle: np.ndarray, uvs: np.ndarray, level: np.ndarray, vertex_pool: _Pool, uv_pool: _Pool) -> list[tuple[int, int]]:
    """Sutherland-Hodgman against one plane: the corners (vertex, texture coordinate) of the kept polygon."""
    kept = []
    for k in range(3):
        a, b = int(triangle[k]), int(triangle[(k + 1) % 3])
        uv_a, uv_b = int(uvs[k]), int(uvs[(k + 1) % 3])
        if level[a] >= 0:
            kept.append((a, uv_a))
        if level[a] * level[b] < 0:
            share = float(level[a] / (level[a] - level[b]))
            kept.append((vertex_pool.blend(a, b, share), uv_pool.blend(uv_a, uv_b, share)))
    return kept
