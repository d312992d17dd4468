"""What pairs of views say of how far the skin lies above the mesh, each by itself and all together."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp

from assets.head_model import HeadModel
from assets.laplacian import uniform_laplacian
from recon.solve.normal_equations import cauchy_weight
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import match_rows, project
from recon.solve.state import HeadState

SMOOTHING_ROUNDS = 4
"""Heights of a pair are averaged with their neighbours' so often: over about 8 mm on the default head, as wide as flow smooths."""

SCATTER_PRIOR = 4.0
"""The scatter of pairs at a vertex is drawn towards that of the whole face as by so many pairs: two pairs agree by chance."""

SEEN_SHARE = 0.02
"""Of the median information of matched skin, from which a vertex counts as seen."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairHeights:
    """What each pair of views says, in all charts together, of how far the skin lies above the mesh."""

    information: np.ndarray
    """(V, K) mm^-2 times the noise's variance, of pair k at each vertex; 0 where it sees nothing."""
    weighted_mm: np.ndarray
    """(V, K) information times height."""


def pair_heights(
    problem: Problem, state: HeadState, matches: list[Matches], posed: list[np.ndarray], normals: list[np.ndarray], robust_px: float
) -> PairHeights:
    """Heights (mm) along the normals from the residuals of every pair, gathered at the vertices around each match."""
    num_vertices = problem.deformable.head.num_vertices
    columns = {views: k for k, views in enumerate(dict.fromkeys((pair.view_a, pair.view_b) for pair in matches))}
    information, weighted = np.zeros((num_vertices, len(columns))), np.zeros((num_vertices, len(columns)))
    for pair in matches:
        k = columns[pair.view_a, pair.view_b]
        a = project(pair.samples.points(posed[pair.view_a]), state, problem.views[pair.view_a])
        b = project(pair.samples.points(posed[pair.view_b]), state, problem.views[pair.view_b])
        normal = pair.samples.points(normals[pair.view_a])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        rows = match_rows(pair.px_a, pair.px_b, a, b, normal)
        by_height = 1e-3 * np.einsum("nrc,nc->nr", rows.rows_a @ a.d_point + rows.rows_b @ b.d_point, normal)
        weight = pair.weight * cauchy_weight(np.linalg.norm(rows.residual, axis=1), robust_px)
        for corner in range(3):
            share = pair.samples.barycentric[:, corner] * weight
            vertex = pair.samples.corners[:, corner]
            information[:, k] += np.bincount(vertex, share * np.square(by_height).sum(1), num_vertices)
            weighted[:, k] += np.bincount(vertex, share * (by_height * rows.residual).sum(1), num_vertices)
    return PairHeights(information, weighted)


@dataclasses.dataclass(frozen=True, eq=False)
class CombinedHeights:
    """What all pairs say together."""

    mean_mm: np.ndarray
    """(V,) height that they agree on and the fit did not follow; 0 where nothing was seen."""
    variance_mm2: np.ndarray
    """(V,) of that mean; very large where nothing was seen."""
    looks: np.ndarray
    """(V,) how many pairs that are worth; 0 where nothing was seen."""


def combined_heights(head: HeadModel, heights: PairHeights, *, believed: np.ndarray | None = None) -> CombinedHeights:
    """Mean height of all pairs, and its variance by how far they disagree with each other.

    Vertices off `believed` (V,) bool (None: all are) count as unseen, however much of their neighbours pairs see.
    """
    none = np.zeros(head.num_vertices)
    if heights.information.size == 0 or not heights.information.any():
        return CombinedHeights(none, none + 1e6, none)
    information = smoothed(head, heights.information, SMOOTHING_ROUNDS)
    each = smoothed(head, heights.weighted_mm, SMOOTHING_ROUNDS) / np.maximum(information, 1e-12)
    total = information.sum(1)
    seen = total > SEEN_SHARE * np.median(total[total > 0])
    seen &= True if believed is None else believed
    safe = np.maximum(total, 1e-12)
    mean = (information * each).sum(1) / safe
    scatter = (information * np.square(each - mean[:, None])).sum(1) / safe
    looks = np.square(total) / np.maximum(np.square(information).sum(1), 1e-12)
    usual = float(np.median(scatter[seen])) if seen.any() else 0.0
    scatter = (looks * scatter + SCATTER_PRIOR * usual) / (looks + SCATTER_PRIOR)
    variance = np.where(seen, np.maximum(scatter, 1e-6) / np.maximum(looks, 1e-3), 1e6)
    return CombinedHeights(np.where(seen, mean, 0.0), variance, np.where(seen, looks, 0.0))


def smoothed(head: HeadModel, values: np.ndarray, rounds: int) -> np.ndarray:
    """Values (V, ...) after so many rounds of averaging each vertex with the mean of its neighbours."""
    half = sp.csr_matrix(sp.identity(head.num_vertices) - 0.5 * uniform_laplacian(head.triangles, head.num_vertices))
    for _ in range(rounds):
        values = half @ values
    return values
