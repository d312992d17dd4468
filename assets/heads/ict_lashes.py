"""ICT's eyelashes as tufts. Upstream has three overlapping cards a lid, made to carry a picture of lashes with holes in it.

Without that picture the cards are solid visors 8 mm deep, which stand before the eyes in beauty, depth and normals. Each card
becomes 18 tapering tufts that follow its curve, as linear blends of its vertices, so that they move with every shape.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import csr_matrix

from assets.heads.ict_source import IctSource

FIRST_VERTEX, COLUMNS, ROWS = 25351, 19, 6
"""Upstream's README, geometries 15 and 16: twelve cards, each a grid with its roots on a lid."""

CARDS = (0, 1, 2, 6, 7, 8)
"""Those of the upper lids, left before right. Cards 3 to 5 and 9 to 11 are of the lower lids, whose short thin lashes would
only be specks in depth and normals: left out."""

LENGTH = 0.72
"""Share of a card's depth (8.2 mm) that a tuft reaches: 5.9 mm."""

ROOT_WIDTH = 0.20
"""Width of a tuft at its root as a share of a card's column (1.7 mm): what two or three hairs stuck together have."""

_ALONG = ((0.0, 1.0), (0.45, 0.75), (1.0, 0.0))
"""(share of the length, share of the root's width) of a tuft's three rows; the last is its tip."""


@dataclasses.dataclass(frozen=True, eq=False)
class Lashes:
    """Tufts as blends of upstream's card vertices."""

    vertex_blend: csr_matrix
    """(N, 26719): tufts' vertices or displacements = vertex_blend @ upstream's."""
    uv_blend: csr_matrix
    """(N, upstream's texture coordinates): the same for those; one for each vertex."""
    triangles: np.ndarray
    """(F, 3) int64 into the N."""


def ict_lashes(source: IctSource) -> Lashes:
    """The tufts of both upper lids; left and right mirror each other as upstream's cards do."""
    uv_of_vertex = np.zeros(len(source.template), np.int64)
    uv_of_vertex[source.faces] = source.faces_uv
    corners, weights, triangles = [], [], []
    for card in CARDS:
        grid = _grid(source.uv, uv_of_vertex, card)
        for column in range(COLUMNS - 1):
            # The three cards of a lid lie on one another; thirds of a column keep their tufts apart.
            place = (column + 0.5 + (card % 3 - 1) / 3) * (COLUMNS - 1) / COLUMNS + 0.3
            first = sum(map(len, corners))
            corner, weight = _tuft(grid, place)
            corners.append(corner)
            weights.append(weight)
            triangles.append(first + _tuft_triangles(card))
    return Lashes(
        _blend(np.concatenate(corners), np.concatenate(weights), len(source.template)),
        _blend(uv_of_vertex[np.concatenate(corners)], np.concatenate(weights), len(source.uv)),
        np.concatenate(triangles),
    )


def _grid(uv: np.ndarray, uv_of_vertex: np.ndarray, card: int) -> np.ndarray:
    """(ROWS, COLUMNS) upstream vertices of a card, roots first; columns run alike on both sides."""
    members = FIRST_VERTEX + card * ROWS * COLUMNS + np.arange(ROWS * COLUMNS)
    v = uv[uv_of_vertex[members]][:, 1].astype(np.float64)
    by_row = members[np.argsort(-v, kind="stable")].reshape(ROWS, COLUMNS)
    from_middle = np.abs(uv[uv_of_vertex[by_row]][..., 0].astype(np.float64) - 6.5)
    return np.take_along_axis(by_row, np.argsort(from_middle, axis=1), axis=1)


def _tuft(grid: np.ndarray, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners (5, 4) in upstream's vertices and their weights: two at the root, two half-way, one at the tip."""
    corners, weights = [], []
    for share, width in _ALONG:
        row = share * LENGTH * (ROWS - 1)
        sides = (-0.5, 0.5) if width else (0.0,)
        for side in sides:
            column = float(np.clip(place + side * width * ROOT_WIDTH, 0, COLUMNS - 1))
            r, c = min(int(row), ROWS - 2), min(int(column), COLUMNS - 2)
            fr, fc = row - r, column - c
            corners.append((grid[r, c], grid[r, c + 1], grid[r + 1, c], grid[r + 1, c + 1]))
            weights.append(((1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc))
    return np.array(corners), np.array(weights)


def _tuft_triangles(card: int) -> np.ndarray:
    """(3, 3) of a tuft's five vertices, facing up and forward; on the right side they run the other way round."""
    triangles = np.array([(0, 3, 1), (0, 2, 3), (2, 4, 3)])
    return triangles[:, ::-1] if card >= 6 else triangles


def _blend(corners: np.ndarray, weights: np.ndarray, num_old: int) -> csr_matrix:
    rows = np.repeat(np.arange(len(corners)), corners.shape[1])
    return csr_matrix((weights.ravel(), (rows, corners.ravel())), (len(corners), num_old))
