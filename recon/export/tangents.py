"""Tangent frames of a mesh with one uv for each vertex, for formats in which a normal map needs them stated."""

from __future__ import annotations

import numpy as np


def vertex_tangents(points: np.ndarray, normals: np.ndarray, uvs: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(N, 4) float32: unit tangent along growing u, square to the normal, and the handedness, 1 or -1.

    Args:
        points: (N, 3); normals: (N, 3) unit; uvs: (N, 2), origin bottom-left; triangles: (F, 3).

    normal x tangent x handedness points along growing v, upwards in the texture (glTF 2.0, section 3.7.2.1). A triangle counts
    by its area on the surface. Where no triangle has an extent in the chart the tangent is any that is square to the normal.
    """
    along_u, along_v = _chart_axes(points, uvs, triangles)
    corner = np.ascontiguousarray(triangles.T).ravel()
    sums = [
        np.stack([np.bincount(corner, np.tile(axis[:, k], 3), minlength=len(points)) for k in range(3)], 1) for axis in (along_u, along_v)
    ]
    tangents = _square_to(normals, sums[0])
    handedness = np.where((np.cross(normals, tangents) * sums[1]).sum(1) < 0, -1.0, 1.0)
    return np.column_stack([tangents, handedness]).astype(np.float32)


def _chart_axes(points: np.ndarray, uvs: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two (F, 3): directions of growing u and v on each triangle, as long as twice its area; zero where it has none in the chart."""
    (a, b), (p, q) = (
        (corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) for corners in (points[triangles].astype(float), uvs[triangles])
    )
    turned = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    area = np.linalg.norm(np.cross(a, b), axis=1)
    # The sign of the chart's area alone matters: the length is set from the surface's.
    sign = np.sign(turned)[:, None]
    raw = (sign * (a * q[:, 1:] - b * p[:, 1:]), sign * (b * p[:, :1] - a * q[:, :1]))
    along_u, along_v = (axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-30) * area[:, None] for axis in raw)
    return along_u, along_v


def _square_to(normals: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N, 3) unit vectors square to unit normals, as near to the wanted ones as can be."""
    across = wanted - (wanted * normals).sum(1, keepdims=True) * normals
    # The axis that the normal leans to least is never parallel to it.
    axis = np.eye(3)[np.abs(normals).argmin(1)]
    spare = axis - (axis * normals).sum(1, keepdims=True) * normals
    lost = np.linalg.norm(across, axis=1, keepdims=True) <= 1e-9 * np.linalg.norm(wanted, axis=1, keepdims=True)
    chosen = np.where(lost, spare, across)
    return chosen / np.linalg.norm(chosen, axis=1, keepdims=True)
