"""The level disc that closes the cut neck of the ICT head."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import csr_matrix

RINGS = (0.3, 0.6, 0.85)
"""Rings of the disc between the hem (0) and its middle (1)."""

UV_CORNER, UV_PER_M = np.array((0.705, 0.640)), 1.1
"""Where the disc lies in the texture, between teeth and lashes, and its scale."""


@dataclasses.dataclass(frozen=True, eq=False)
class NeckDisc:
    """New vertices, all blends of the hem's, and triangles that share the hem's vertices, so that no displacement opens a gap."""

    vertex_blend: csr_matrix
    """(N, V) from the cut mesh's vertices."""
    triangles: np.ndarray
    """(F, 3) int64 into the cut mesh's vertices followed by the new ones; they look down."""
    uvs: np.ndarray
    """(T, 2) of the hem and of the new vertices: its own island."""
    triangle_uvs: np.ndarray
    """(F, 3) int64 into `uvs`."""


def neck_disc(vertices: np.ndarray, triangles: np.ndarray) -> NeckDisc:
    """The disc for vertices (V, 3), metres, whose lowest ones are the level hem of triangles (F, 3)."""
    hem = hem_loop(vertices, triangles)
    count = len(hem)
    middle = np.full((count, count), 1.0 / count)
    blend = np.concatenate([(1 - share) * np.eye(count) + share * middle for share in RINGS] + [middle[:1]])
    rings = np.arange((len(RINGS) + 1) * count).reshape(-1, count)
    after = np.roll(rings, -1, axis=1)
    quads = np.stack([rings[:-1], after[:-1], after[1:], rings[1:]], -1).reshape(-1, 4)
    fan = np.stack([rings[-1], after[-1], np.full(count, rings.size)], -1)
    local = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], fan])
    flat = np.concatenate([vertices[hem], blend @ vertices[hem]])[:, [0, 2]]
    rows, columns = np.nonzero(blend)
    return NeckDisc(
        vertex_blend=csr_matrix((blend[rows, columns], (rows, hem[columns])), (len(blend), len(vertices))),
        triangles=np.concatenate([hem, len(vertices) + np.arange(len(blend))])[local],
        uvs=UV_CORNER + (flat - flat.min(0)) * UV_PER_M,
        triangle_uvs=local,
    )


def hem_loop(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(H,) the border's lowest vertices in the order of the disc's edge: against the direction in which the skin runs past them."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    level = edges[(vertices[edges][..., 1] <= vertices[:, 1].min() + 1e-9).all(1)].tolist()
    inner = {(a, b) for a, b in level}
    following = {b: a for a, b in level if (b, a) not in inner}
    loop = [min(following)]
    while (after := following[loop[-1]]) != loop[0]:
        loop.append(after)
    return np.array(loop)
