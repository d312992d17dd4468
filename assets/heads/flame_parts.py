"""FLAME's parts by geometry: eyeballs as closed components, the iris by angle, the mouth's rim.

FLAME's own region masks are a separate licensed file that this project neither has nor asks for.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from assets.errors import InputError
from assets.head_model import PARTS

IRIS_RADIUS_M = 0.0059
"""Half of the white-to-white distance of adults, 11.7 mm (Rüfer et al. 2005); on a ball of 25 mm it is seen under 28 degrees."""


def vertex_parts(vertices: np.ndarray, triangles: np.ndarray, name: str) -> np.ndarray:
    """(V,) uint8 into PARTS: skin, and the two closed components in front as eyeballs, left at the greater x.

    Vertices (V, 3) in metres, triangles (F, 3). Vertices without a triangle count as skin. Raises InputError where there are
    not exactly two balls; `name` is the file's, for the message.
    """
    label = components(triangles, len(vertices))
    sizes = np.bincount(label[triangles[:, 0]], minlength=label.max() + 1)
    skin = int(np.argmax(sizes))
    balls = [part for part in np.flatnonzero(sizes) if part != skin]
    if len(balls) != 2:
        raise InputError(
            expected="a FLAME mesh of one skin and two eyeballs",
            got=f"{len(balls)} components beside the skin in {name}",
            do="use the file as published; a mesh that was cut or extended cannot be used",
        )
    parts = np.full(len(vertices), PARTS.index("skin"), np.uint8)
    left, right = sorted(balls, key=lambda part: -vertices[label == part, 0].mean())
    parts[label == left], parts[label == right] = PARTS.index("eye_left"), PARTS.index("eye_right")
    return parts


def components(triangles: np.ndarray, num_vertices: int) -> np.ndarray:
    """(V,) component of each vertex of a mesh."""
    a, b = triangles.ravel(), np.roll(triangles, -1, 1).ravel()
    return connected_components(coo_matrix((np.ones(len(a)), (a, b)), (num_vertices, num_vertices)), directed=False)[1]


def is_iris(vertices: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(V,) bool: iris and pupil together, the eyeball vertices within the angle about +Z that IRIS_RADIUS_M has on their ball."""
    iris = np.zeros(len(vertices), bool)
    for part in ("eye_left", "eye_right"):
        ball = np.flatnonzero(parts == PARTS.index(part))
        centred = vertices[ball] - vertices[ball].mean(0)
        radius = np.linalg.norm(centred, axis=1)
        iris[ball] = centred[:, 2] > np.sqrt(np.maximum(1 - (IRIS_RADIUS_M / radius.mean()) ** 2, 0)) * radius
    return iris


def rims(triangles: np.ndarray) -> list[np.ndarray]:
    """Closed chains of vertices along the open borders of a mesh, each in order, the longest first."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    code = np.sort(edges, 1) @ (1, int(triangles.max()) + 1)
    _, inverse, uses = np.unique(code, return_inverse=True, return_counts=True)
    after = {int(a): int(b) for a, b in edges[uses[inverse] == 1]}
    chains = []
    while after:
        start, here = next(iter(after.items()))
        chain = [start]
        del after[start]
        while here != start and here in after:
            chain.append(here)
            here = after.pop(here)
        chains.append(np.array(chain))
    return sorted(chains, key=len, reverse=True)


def mouth_rim(vertices: np.ndarray, skin_triangles: np.ndarray) -> np.ndarray | None:
    """The chain round the open mouth behind the lips, or None where the mesh has none there.

    Vertices in metres about the eyes' midpoint: the mouth's middle lies 40 to 110 mm below it, before everything behind
    the eyeballs, and is 20 to 80 mm wide.
    """
    for chain in rims(skin_triangles):
        middle, width = vertices[chain].mean(0), np.ptp(vertices[chain, 0])
        if abs(middle[0]) < 0.006 and -0.11 < middle[1] < -0.04 and middle[2] > -0.03 and 0.02 < width < 0.08:
            return chain
    return None
