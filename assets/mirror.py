"""Which vertex of a head lies opposite which: pairs of the subject's left and right."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from assets.head_model import PARTS

NUM_CANDIDATES = 12
"""Of each vertex's nearest partners so many are tried before it is left to the assignment."""

_FLIP = np.array((-1.0, 1.0, 1.0, -1.0, 1.0, 1.0))


def mirrored_parts(parts: np.ndarray) -> np.ndarray:
    """The part (index into PARTS) that lies opposite each one: the eyes change places, all others are their own."""
    left, right = PARTS.index("eye_left"), PARTS.index("eye_right")
    return np.where(parts == left, right, np.where(parts == right, left, parts))


def mirror_pairs(vertices: np.ndarray, parts: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) int32: the vertex at each one's mirror place (x -> -x) on the mirrored part; its own inverse.

    Vertices at one place (lashes root where another strip does) are told apart by the mean of their neighbours. Near ones pair up
    first, nearest first, then what is left by least total distance; one that finds no partner is its own.

    Args:
        vertices: (V, 3), about x = 0.
        parts: (V,) index into PARTS.
        triangles: (T, 3).
    """
    places = np.asarray(vertices, np.float64)
    features = np.concatenate([places, _neighbour_means(places, triangles)], axis=1)
    opposite, pairs = mirrored_parts(parts), np.full(len(places), -1, np.int32)
    for part in np.unique(parts):
        mine, theirs = np.flatnonzero(parts == part), np.flatnonzero(opposite == part)
        count = min(NUM_CANDIDATES, len(theirs))
        distance, near = KDTree(features[theirs] * _FLIP).query(features[mine], count)
        rows = np.repeat(mine, count)
        order = np.lexsort((rows, distance.ravel().round(9)))
        for a, b in zip(rows[order], theirs[near.reshape(len(mine), count).ravel()][order], strict=True):
            if pairs[a] < 0 and pairs[b] < 0:
                pairs[a], pairs[b] = b, a
    _pair_rest(features, opposite, parts, pairs)
    alone = pairs < 0
    pairs[alone] = np.flatnonzero(alone)
    return pairs


def _pair_rest(features: np.ndarray, opposite: np.ndarray, parts: np.ndarray, pairs: np.ndarray) -> None:
    """Pairs, in place, the vertices of the left side that found no partner with those of the right by least total distance."""
    for part in np.unique(parts):
        left = np.flatnonzero((pairs < 0) & (parts == part) & (features[:, 0] > 0))
        right = np.flatnonzero((pairs < 0) & (opposite == part) & (features[:, 0] < 0))
        rows, columns = linear_sum_assignment(cdist(features[left], features[right] * _FLIP))
        pairs[left[rows]], pairs[right[columns]] = right[columns], left[rows]


def _neighbour_means(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) mean of the middles of all triangles at each vertex; the origin where there are none."""
    total, count = np.zeros_like(vertices), np.zeros(len(vertices))
    middles = vertices[triangles].mean(1)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], middles)
        np.add.at(count, triangles[:, corner], 1)
    return total / np.maximum(count, 1)[:, None]
