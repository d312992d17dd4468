"""A texture layout of our own for FLAME, whose model file has none: the skin cut open at the back and spread flat, the eyes
as discs.

The skin is cut along the back of the head up to the crown and mapped into a convex outline by mean value coordinates (Floater
2003), which never folds over (Tutte 1963); their weights are then divided by each vertex's stretch, round by round, which
evens the sizes out and keeps that guarantee (Yoshizawa, Belyaev, Seidel 2004). The mouth's opening is closed by a vertex of its
own while solving.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, identity
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import splu

from assets.errors import InputError
from assets.head_model import PARTS
from assets.heads.flame_parts import rims

ROUNDS = 12
"""Rounds of stretch evening at most; they end sooner when the stretch grows."""

FACE_SCALE = 2.0
"""Texels a millimetre of the face over those of the rest of the skin that are aimed at."""

SKIN_BOX = (0.004, 0.208, 0.996, 0.996)
"""Where the skin lies in the square: u0, v0, u1, v1."""

_DISCS = {
    ("eye_left", "front"): (0.102, 0.102, 0.097),
    ("eye_right", "front"): (0.304, 0.102, 0.097),
    ("eye_left", "back"): (0.472, 0.066, 0.061),
    ("eye_right", "back"): (0.604, 0.066, 0.061),
}
"""Part and half of each eyeball: middle u, v and radius of its disc."""


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """Texture coordinates of a mesh."""

    uvs: np.ndarray
    """(T, 2) float32 in [0, 1], origin bottom-left."""
    triangle_uvs: np.ndarray
    """(F, 3) int32 into `uvs`."""


def lay_out(vertices: np.ndarray, triangles: np.ndarray, triangle_parts: np.ndarray, is_face: np.ndarray, name: str) -> Chart:
    """The layout of the whole head: vertices (V, 3) metres about the eyes' midpoint, triangles (F, 3), `is_face` (V,) bool.

    Raises InputError where the neck is not open, so that there is nowhere to begin the cut; `name` is the file's.
    """
    uvs, triangle_uvs = [], np.zeros(triangles.shape, np.int32)
    skin = triangle_parts == PARTS.index("skin")
    flat, corners = _skin_chart(vertices, triangles[skin], is_face, name)
    u0, v0, u1, v1 = SKIN_BOX
    uvs.append((flat + 1) / 2 * (u1 - u0, v1 - v0) + (u0, v0))
    triangle_uvs[skin] = corners
    for (part, half), (u, v, radius) in _DISCS.items():
        ball = triangle_parts == PARTS.index(part)
        centred = vertices - vertices[np.unique(triangles[ball])].mean(0)
        in_front = centred[triangles].mean(1)[:, 2] >= 0
        chosen = ball & (in_front == (half == "front"))
        members, compact = np.unique(triangles[chosen], return_inverse=True)
        triangle_uvs[chosen] = compact.reshape(-1, 3) + sum(len(part_uvs) for part_uvs in uvs)
        uvs.append(_disc(centred[members], half == "front") * radius + (u, v))
    return Chart(np.concatenate(uvs).astype(np.float32), triangle_uvs)


def _disc(points: np.ndarray, front: bool) -> np.ndarray:
    """(N, 2) in the unit disc: direction and angle from the pole, as seen from outside, evenly spaced along each ray."""
    z = points[:, 2] if front else -points[:, 2]
    across = np.stack([points[:, 0] if front else -points[:, 0], points[:, 1]], 1)
    sideways = np.linalg.norm(across, axis=1)
    angle = np.arctan2(sideways, z)
    return across / np.maximum(sideways, 1e-12)[:, None] * (angle / angle.max())[:, None]


def _skin_chart(vertices: np.ndarray, triangles: np.ndarray, is_face: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (T, 2) in [-1, 1] and corners (F, 3) into them."""
    borders = rims(triangles)
    if not borders:
        raise InputError(
            expected="a FLAME mesh whose neck is open",
            got=f"a closed skin in {name}",
            do="use the file as published; a mesh that was cut or extended cannot be used",
        )
    hem = min(borders, key=lambda chain: vertices[chain, 1].mean())
    corners, source = cut_open(triangles, seam(vertices, triangles, hem))
    points = vertices[source]
    outer, *inner = rims(corners)
    scale = np.where(is_face[source][corners].all(1), FACE_SCALE, 1.0)
    for chain in inner:
        # Every hole gets a middle; its triangles are wound against the border and count for nothing.
        corners = np.concatenate([corners, np.stack([np.roll(chain, -1), chain, np.full(len(chain), len(points))], 1)])
        points = np.concatenate([points, points[chain].mean(0, keepdims=True)])
        scale = np.concatenate([scale, np.full(len(chain), 0.05)])
    flat = _spread(points, corners, scale, _outline(points, outer))
    return flat[: len(source)], corners[: len(triangles)]


def seam(vertices: np.ndarray, triangles: np.ndarray, hem: np.ndarray) -> np.ndarray:
    """Vertices of the cut, from the hem's hindmost point along the back of the head to the crown, near the middle plane."""
    a, b = triangles.ravel(), np.roll(triangles, -1, 1).ravel()
    middle = (vertices[a] + vertices[b]) / 2
    length = np.linalg.norm(vertices[a] - vertices[b], axis=1)
    cost = length * (1 + np.abs(middle[:, 0]) / 0.004 + np.where(middle[:, 2] > -0.05, 50.0, 0.0))
    # Along the hem the cut would run on the border, where there is nothing to cut.
    on_hem = np.isin(a, hem) & np.isin(b, hem)
    graph = csr_matrix((cost[~on_hem], (a[~on_hem], b[~on_hem])), (len(vertices), len(vertices)))
    start = hem[np.argmin(vertices[hem, 2] + 3 * np.abs(vertices[hem, 0]))]
    used = np.unique(triangles)
    crown = used[np.argmax(vertices[used, 1] - 2 * np.abs(vertices[used, 0]))]
    before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)[1]
    path = [int(crown)]
    while path[-1] != start and before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return np.array(path[::-1])


def cut_open(triangles: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh cut along a path of its edges: corners (F, 3) into new vertices, and the old vertex (T,) of each new one."""
    count = len(triangles)
    corner = np.arange(3 * count).reshape(-1, 3)
    start = np.concatenate([triangles[:, k] for k in range(3)])
    end = np.concatenate([triangles[:, (k + 1) % 3] for k in range(3)])
    at_start, at_end = (np.concatenate([corner[:, (k + shift) % 3] for k in range(3)]) for shift in (0, 1))
    size = int(triangles.max()) + 1
    code = np.minimum(start, end).astype(np.int64) * size + np.maximum(start, end)
    blocked = np.minimum(path[1:], path[:-1]).astype(np.int64) * size + np.maximum(path[1:], path[:-1])
    order = np.argsort(code, kind="stable")
    same = code[order][1:] == code[order][:-1]
    first, second = order[:-1][same], order[1:][same]
    keep = ~np.isin(code[first], blocked)
    first, second = first[keep], second[keep]
    # Neighbours run along their common edge in opposite directions.
    joined_a = np.concatenate([at_start[first], at_end[first]])
    joined_b = np.concatenate([at_end[second], at_start[second]])
    graph = coo_matrix((np.ones(len(joined_a)), (joined_a, joined_b)), (3 * count, 3 * count))
    _, label = connected_components(graph, directed=False)
    source = np.zeros(label.max() + 1, np.int64)
    source[label] = triangles.ravel()
    return label.reshape(-1, 3), source


def _outline(points: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The border's vertices and their places (N, 2) on a convex outline, by length along it, the hem's front at the bottom."""
    front = int(np.argmax(points[outer, 2] - 3 * np.abs(points[outer, 0])))
    chain = np.roll(outer, -front)
    steps = np.linalg.norm(points[chain] - points[np.roll(chain, -1)], axis=1)
    share = np.concatenate([[0.0], np.cumsum(steps)[:-1]]) / steps.sum()
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, 4001)
    # A superellipse uses the box better than an ellipse and, unlike a rectangle, has no straight sides to collapse onto.
    curve = np.stack([np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7, np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.7], 1)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    return chain, np.stack([np.interp(share * along[-1], along, curve[:, k]) for k in range(2)], 1)


def _spread(points: np.ndarray, corners: np.ndarray, scale: np.ndarray, outline: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(T, 2) the map with the least stretch of ROUNDS rounds."""
    weights = _mean_value_weights(points, corners)
    best, best_stretch = None, np.inf
    for _ in range(ROUNDS):
        flat = _solve(weights, outline)
        per_triangle, area = _stretch(points, corners, flat, scale)
        total = float((area * per_triangle**2).sum() / area.sum())
        if best is not None and total > best_stretch:
            break
        best, best_stretch = flat, total
        mass, load = (np.bincount(corners.ravel(), np.repeat(x, 3), len(points)) for x in (area, area * per_triangle**2))
        weights = weights @ diags(1 / np.sqrt(load / np.maximum(mass, 1e-20)))
    return best if best is not None else np.zeros((len(points), 2))


def _mean_value_weights(points: np.ndarray, corners: np.ndarray) -> csr_matrix:
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, l = corners[:, k], corners[:, (k + 1) % 3], corners[:, (k + 2) % 3]
        to_j, to_l = points[j] - points[i], points[l] - points[i]
        long_j, long_l = np.maximum(np.linalg.norm(to_j, axis=1), 1e-9), np.maximum(np.linalg.norm(to_l, axis=1), 1e-9)
        cosine = np.clip(np.einsum("ij,ij->i", to_j, to_l) / (long_j * long_l), -0.9999, 0.9999)
        half = np.sqrt((1 - cosine) / (1 + cosine))
        rows += [i, i]
        columns += [j, l]
        values += [half / long_j, half / long_l]
    shape = len(points), len(points)
    return csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape)


def _solve(weights: csr_matrix, outline: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(T, 2) each inner vertex at the weighted mean of its neighbours, the border where the outline has it."""
    border, places = outline
    count = int(weights.get_shape()[0])
    flat = np.zeros((count, 2))
    flat[border] = places
    inner = np.setdiff1d(np.arange(count), border)
    share = diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights
    matrix = (identity(count) - share).tocsr()[inner]
    flat[inner] = splu(matrix[:, inner].tocsc()).solve(-(matrix[:, border] @ places))
    return flat


def _stretch(points: np.ndarray, corners: np.ndarray, flat: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stretch (F,) of each triangle from the plane to the scaled surface (Sander et al. 2001), and scaled areas (F,)."""
    p, q = points[corners] * scale[:, None, None], flat[corners]
    edge_1, edge_2 = q[:, 1] - q[:, 0], q[:, 2] - q[:, 0]
    double = np.maximum(edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0], 1e-12)
    along_1, along_2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    du = (along_1 * edge_2[:, 1:] - along_2 * edge_1[:, 1:]) / double[:, None]
    dv = (along_2 * edge_1[:, :1] - along_1 * edge_2[:, :1]) / double[:, None]
    area = np.linalg.norm(np.cross(along_1, along_2), axis=1) / 2
    return np.sqrt(((du**2).sum(1) + (dv**2).sum(1)) / 2), area
