"""Geometry of triangle meshes that carrying shapes from one head to another needs: normals, nearest points, front views."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import KDTree

_CANDIDATES = 24


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """For each of N points the nearest point of a surface."""

    triangle: np.ndarray
    """(N,) int64."""
    barycentric: np.ndarray
    """(N, 3) float64."""
    points: np.ndarray
    """(N, 3) float64."""
    distance: np.ndarray
    """(N,) float64, in the unit of the points."""
    agrees: np.ndarray
    """(N,) bool: the triangle's normal is within 60 degrees of the point's; False where no near one was."""


def triangle_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F, 3) normals of twice the triangle's area in length."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, area weighted; zero where a vertex has no triangle."""
    total, faces = np.zeros(vertices.shape), triangle_normals(vertices, triangles)
    for k in range(3):
        np.add.at(total, triangles[:, k], faces)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)


def vertex_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) a third of the area of the triangles round each vertex."""
    area = np.linalg.norm(triangle_normals(vertices, triangles), axis=1) / 6
    return np.bincount(triangles.ravel(), np.repeat(area, 3), len(vertices))


def nearest_points(points: np.ndarray, normals: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> Nearest:
    """Nearest surface points among the triangles whose middles are nearest, those with an agreeing normal first.

    The normals keep the two lips, and the two sides of a lid, from being taken for each other. Points (N, 3) with unit normals.
    """
    corners = vertices[triangles]
    count = min(_CANDIDATES, len(triangles))
    near = np.asarray(KDTree(corners.mean(1)).query(points, count)[1])
    faces = triangle_normals(vertices, triangles)
    faces = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-20)
    weights = _nearest_on_triangles(np.repeat(points, count, 0), corners[near.ravel()])
    found = np.einsum("nk,nkd->nd", weights, corners[near.ravel()]).reshape(len(points), count, 3)
    distance = np.linalg.norm(found - points[:, None], axis=2)
    agrees = np.einsum("nkd,nd->nk", faces[near], normals) > 0.5
    best = np.argmin(distance + np.where(agrees, 0.0, 1e3), axis=1)
    row = np.arange(len(points))
    return Nearest(
        near[row, best], weights.reshape(len(points), count, 3)[row, best], found[row, best], distance[row, best], agrees[row, best]
    )


def _nearest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N, 3) barycentric weights of the point of each triangle (N, 3, 3) nearest to its point (N, 3).

    The foot of the perpendicular where it lies inside, else the nearest of the three edges' nearest points.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (np.einsum("nd,nd->n", *pair) for pair in ((ab, ab), (ab, ac), (ac, ac)))
    d20, d21 = np.einsum("nd,nd->n", ap, ab), np.einsum("nd,nd->n", ap, ac)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], 1)
    options, lengths = [inside], [np.where((inside >= 0).all(1), 0.0, np.inf)]
    for k in range(3):
        start, end = corners[:, k], corners[:, (k + 1) % 3]
        along = end - start
        share = np.clip(np.einsum("nd,nd->n", points - start, along) / np.maximum(np.einsum("nd,nd->n", along, along), 1e-30), 0, 1)
        weights = np.zeros(inside.shape)
        weights[:, k], weights[:, (k + 1) % 3] = 1 - share, share
        options.append(weights)
        lengths.append(np.linalg.norm(start + share[:, None] * along - points, axis=1) + 1e-12)
    choice = np.argmin(np.stack(lengths), axis=0)
    return np.stack(options)[choice, np.arange(len(points))]


@dataclasses.dataclass(frozen=True, eq=False)
class FrontView:
    """What a parallel view along -z sees: rows are y from low to high, columns x from low to high."""

    x: np.ndarray
    """(W,) metres, middles of the columns."""
    y: np.ndarray
    """(H,) metres, middles of the rows."""
    depth: np.ndarray
    """(H, W) greatest z; -inf where nothing is."""
    label: np.ndarray
    """(H, W) int64 label of the triangle in front; -1 where nothing is."""


def front_view(vertices: np.ndarray, triangles: np.ndarray, labels: np.ndarray, box: tuple[float, ...], step_m: float) -> FrontView:
    """A parallel view of a box (x0, x1, y0, y1) in metres by points strewn evenly over each triangle; labels (F,)."""
    x0, x1, y0, y1 = box
    corners = vertices[triangles]
    low, high = corners[..., :2].min(1), corners[..., :2].max(1)
    near = (high > (x0, y0)).all(1) & (low < (x1, y1)).all(1)
    points, owner = _strewn(corners[near], labels[near], step_m)
    width, height = int(np.ceil((x1 - x0) / step_m)), int(np.ceil((y1 - y0) / step_m))
    column, row = np.floor((points[:, 0] - x0) / step_m).astype(int), np.floor((points[:, 1] - y0) / step_m).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    order = np.flatnonzero(inside)[np.argsort(points[inside, 2], kind="stable")]
    depth, label = np.full((height, width), -np.inf), np.full((height, width), -1, np.int64)
    depth[row[order], column[order]] = points[order, 2]
    label[row[order], column[order]] = owner[order]
    return FrontView(x0 + step_m * (np.arange(width) + 0.5), y0 + step_m * (np.arange(height) + 0.5), depth, label)


def _strewn(corners: np.ndarray, labels: np.ndarray, step_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 3) strewn over triangles (N, 3, 3) less than a step apart, with their labels (P,); large ones get more."""
    edge = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    level = np.ceil(np.log2(np.clip(1.5 * edge / step_m, 1, 64))).astype(int)
    points, owner = [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for power in np.unique(level):
        samples, chosen = 2 ** int(power), level == power
        i, j = np.meshgrid(np.arange(samples + 1), np.arange(samples + 1))
        keep = i + j <= samples
        weights = np.stack([i[keep], j[keep], samples - i[keep] - j[keep]], 1) / samples
        points.append((weights @ corners[chosen]).reshape(-1, 3))
        owner.append(np.repeat(labels[chosen], len(weights)))
    return np.concatenate(points), np.concatenate(owner)
