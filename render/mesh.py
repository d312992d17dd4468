"""The triangle mesh that the renderer draws."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    vertices: np.ndarray
    """(V, 3) float32, metres, world frame."""
    triangles: np.ndarray
    """(F, 3) int32, counter-clockwise seen from outside."""
    uvs: np.ndarray
    """(T, 2) float32, origin bottom-left."""
    triangle_uvs: np.ndarray
    """(F, 3) int32 into `uvs`."""
    triangle_parts: np.ndarray
    """(F,) uint8 into assets.head_model.PARTS."""


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) float32 smooth unit normals, outward for counter-clockwise triangles, each triangle weighted by its area.

    A vertex without a triangle of positive area gets (0, 0, 0).
    """
    corners = vertices[triangles]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    corner_vertex = np.ascontiguousarray(triangles.T).ravel()
    sums = [np.bincount(corner_vertex, np.tile(face_normals[:, axis], 3), minlength=len(vertices)) for axis in range(3)]
    normals = np.stack(sums, -1)
    lengths = np.linalg.norm(normals, axis=-1, keepdims=True)
    return (normals / np.where(lengths > 0, lengths, 1)).astype(np.float32)
