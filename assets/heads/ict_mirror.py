"""Symmetry of the ICT head: the same split of polygons on both sides."""

from __future__ import annotations

import numpy as np


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
