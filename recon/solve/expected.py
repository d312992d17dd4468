"""What the skin of a face lets a head model expect of the places beside it: a beard lies outside of that, a chin does not.

Where people's cheeks, nose and brow are known, a head model has their chin to about a millimetre (measured on fits of faces whose lower
third was held back: nine of ten places within 2 mm, as the posterior says). So what has not the skin's colour and lies further out
than that is hair; what has the skin's place, cropped hair or a shadow, is as good as skin.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.problem import Problem
from recon.solve.state import HeadState
from render import vertex_normals

# What the modes of a head leave of a person that they were not made for, standard deviation, and over what distance it is alike.
MODEL_ERROR_M, CELL_M = 0.0025, 0.012
# So far off the skin of a person may lie by itself where it is as expected: nine of ten places lie within twice this.
MIN_SD_M = 0.001
# Standard deviation of the log of the size, over what the fit has.
SIZE_SD = 0.1
# Hair is hair over so much of a face: a place is judged by all of its surroundings that look alike.
REGION_M = 0.025
MIN_SHARE = 0.2
"""With less of the face's skin known than this share, nothing is expected."""


def excess_sd(problem: Problem, state: HeadState, trust: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """(V,) float32: how far the region around each vertex lies outside of what the trusted skin lets expect, in standard deviations.

    Root mean square over the unlike vertices of the face within about REGION_M, of those parts that lie outside; nan where none are.

    Args:
        trust: (V,) in [0, 1] how far each vertex is known to be skin; 0 where unseen.
        unlike: (V,) in [0, 1] how far each is in question.
    """
    head = problem.deformable.head
    areas, out = vertex_areas_m2(head), np.full(head.num_vertices, np.nan, np.float32)
    face = np.flatnonzero((head.vertex_regions == REGIONS.index("face")) & (head.vertex_parts == PARTS.index("skin")))
    known, asked = trust[face] * areas[face], unlike[face] * areas[face]
    if known.sum() < MIN_SHARE * areas[face].sum() or asked.sum() < CELL_M**2:
        return out
    weight = trust[face] * np.minimum(areas[face] / CELL_M**2, 1.0)
    expected, sd = expected_surface(problem, state, face, weight)
    neutral = problem.neutral(state)
    outside = np.maximum(((neutral[face] - expected) * vertex_normals(neutral, head.triangles)[face]).sum(1), 0.0)
    squared, weights = np.zeros(head.num_vertices), np.zeros(head.num_vertices)
    squared[face], weights[face] = outside**2 / (sd**2 + MIN_SD_M**2), asked
    skin = np.flatnonzero(head.vertex_parts == PARTS.index("skin"))
    mean, total = local_mean(head.vertices[skin], squared[skin], weights[skin], REGION_M)
    out[skin] = np.where(total > 1e-2 * CELL_M**2, np.sqrt(mean), np.nan)
    return out


def expected_surface(problem: Problem, state: HeadState, vertices: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) where the identity modes expect N vertices (indices) by all of them, weighted (N,), and (N,) its standard deviation along
    the normal, metres.

    The Gaussian posterior of modes of unit variance, size and place from vertices with noise MODEL_ERROR_M / sqrt(weight). The smooth
    bumps beyond the identity say nothing of places that are not measured, so they stay out.
    """
    deformable, size = problem.deformable, np.exp(state.log_scale)
    present = problem.neutral(state).astype(np.float64)
    normals = vertex_normals(present, deformable.head.triangles)[vertices]
    present, average = present[vertices], size * deformable.head.vertices[vertices].astype(np.float64)
    away = present - np.average(present, axis=0, weights=weight)
    turns = np.cross(np.eye(3)[:, None], away[None])
    shifts = np.broadcast_to(np.eye(3)[:, None], turns.shape)
    columns = np.concatenate([size * deformable.modes[: deformable.num_identity, vertices], turns, shifts, away[None]])
    rows = columns.reshape(len(columns), -1)
    information = np.repeat(weight, 3) / MODEL_ERROR_M**2
    prior = np.concatenate([np.ones(deformable.num_identity), np.full(6, 1e-9), [SIZE_SD**-2]])
    covariance = np.linalg.inv((rows * information) @ rows.T + np.diag(prior))
    solved = covariance @ (rows @ (information * (present - average).reshape(-1)))
    along = np.einsum("kvc,vc->kv", columns, normals)
    variance = np.einsum("kv,kv->v", along, covariance @ along)
    return average + np.tensordot(solved, columns, 1), np.sqrt(np.maximum(variance, 0.0))


def local_mean(points: np.ndarray, values: np.ndarray, weights: np.ndarray, sigma_m: float) -> tuple[np.ndarray, np.ndarray]:
    """(N,) Gaussian-weighted mean of values (N,) around each of N points, and (N,) the weight that it rests on; 0 where that is 0.

    Points within a third of sigma share one mean.
    """
    cells, cell = np.unique(np.floor(points / (sigma_m / 3)).astype(np.int64), axis=0, return_inverse=True)
    cell, count = cell.reshape(-1), len(cells)
    middle = np.stack([np.bincount(cell, points[:, c], count) for c in range(3)], 1) / np.bincount(cell, minlength=count)[:, None]
    total, summed = np.bincount(cell, weights, count), np.bincount(cell, weights * values, count)
    tree = KDTree(middle)
    near = tree.sparse_distance_matrix(tree, 2.5 * sigma_m, output_type="coo_matrix").tocsr()
    near.data = np.exp(-np.square(near.data) / (2 * sigma_m**2))
    total, summed = near @ total, near @ summed
    mean = np.where(total > 0, summed / np.where(total > 0, total, 1.0), 0.0)
    return mean[cell], total[cell]


def vertex_areas_m2(head: HeadModel) -> np.ndarray:
    """(V,) a third of the area of the triangles around each vertex of the average head."""
    corners = head.vertices[head.triangles].astype(np.float64)
    areas = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return np.bincount(head.triangles.reshape(-1), np.repeat(areas / 3, 3), minlength=head.num_vertices)
