"""Symmetry of the ICT head: the same split of polygons on both sides, and exact pairs of mirrored vertices."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from assets.head_model import PARTS

MIDLINE_M = 1e-6
"""Vertices this near to x = 0 are their own mirror image."""


def shorter_diagonals(vertices: np.ndarray, faces: np.ndarray, faces_uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces (T, 3) and their texture coordinates with each quad split along its shorter diagonal, in the same order.

    A quad came as two triangles (a, b, c), (a, c, d) in a row, split at whichever corner was written first, so that left and
    right differ. Quads that would fold keep their split.
    """
    first = _quads(faces)
    a, b, c, d = faces[first, 0], faces[first, 1], faces[first, 2], faces[first + 1, 2]
    p = [vertices[corner].astype(np.float64) for corner in (a, b, c, d)]
    normal = np.cross(p[2] - p[0], p[3] - p[1])
    one, other = np.cross(p[1] - p[0], p[3] - p[0]), np.cross(p[2] - p[1], p[3] - p[1])
    convex = (np.einsum("qc,qc->q", one, normal) > 0) & (np.einsum("qc,qc->q", other, normal) > 0)
    shorter = np.linalg.norm(p[1] - p[3], axis=1) < np.linalg.norm(p[0] - p[2], axis=1) - 1e-5
    row = first[convex & shorter]
    return _flipped(faces, row), _flipped(faces_uv, row)


def _quads(faces: np.ndarray) -> np.ndarray:
    """(Q,) rows whose triangle and the next one are a quad's two halves; no triangle is in two quads."""
    continues = (faces[:-1, 0] == faces[1:, 0]) & (faces[:-1, 2] == faces[1:, 1])
    rows, taken = [], -1
    for row in np.flatnonzero(continues):
        if row > taken:
            rows.append(row)
            taken = row + 1
    return np.array(rows, np.int64)


def _flipped(faces: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(a, b, c), (a, c, d) at rows and the next ones become (a, b, d), (b, c, d)."""
    turned = faces.copy()
    turned[row, 2] = faces[row + 1, 2]
    turned[row + 1, 0] = faces[row, 1]
    turned[row + 1, 1] = faces[row, 2]
    return turned


def mirror_pairs(vertices: np.ndarray, vertex_parts: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) int32: the vertex at the mirrored place in the mirrored part; its own inverse.

    Each vertex on the subject's left is assigned one of its own on the right, and together they are as near as can be;
    vertices at the same place (lashes root where another strip does) are told apart by the mean of their neighbours.
    """
    left, right = PARTS.index("eye_left"), PARTS.index("eye_right")
    side_free = np.where(vertex_parts == right, left, vertex_parts)
    around = _neighbour_means(vertices, triangles)
    features = np.concatenate([vertices, around], axis=1)
    flip = np.array((-1.0, 1.0, 1.0, -1.0, 1.0, 1.0))
    pairs = np.arange(len(vertices), dtype=np.int32)
    for part in np.unique(side_free):
        mine = np.flatnonzero((side_free == part) & (vertices[:, 0] > MIDLINE_M))
        theirs = np.flatnonzero((side_free == part) & (vertices[:, 0] < -MIDLINE_M))
        partner = theirs[_assign(features[mine] * flip, features[theirs])]
        pairs[mine], pairs[partner] = partner, mine
    return pairs


def _assign(wanted: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) for each wanted feature one candidate of its own; nearest where that is free of doubt, else optimal."""
    nearest = np.asarray(KDTree(candidates).query(wanted)[1])
    counts = np.bincount(nearest, minlength=len(candidates))
    contested = counts[nearest] > 1
    if contested.any():
        free = np.flatnonzero(counts != 1)
        rows = np.flatnonzero(contested)
        row, column = linear_sum_assignment(cdist(wanted[rows], candidates[free], "sqeuclidean"))
        nearest[rows[row]] = free[column]
    return nearest


def _neighbour_means(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) mean of the corners of all triangles at each vertex."""
    total, count = np.zeros_like(vertices), np.zeros(len(vertices))
    centres = vertices[triangles].mean(1)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], centres)
        np.add.at(count, triangles[:, corner], 1)
    return total / count[:, None]
