"""Posterior spread of the head's surface: what normal equations, pairs of views and free-form offsets say about the fit itself.

Five parts are added as variances along the normal of each vertex:

- the spread of the modes, from the inverse of the last normal equations with poses, focal lengths and expressions marginalised,
  without the motions that alignment takes out;
- what the pairs of views say against each other: each pair gives a height of its own, and their scatter, over how many there are,
  is the error of their mean, whatever its cause (light, hair, a smile);
- what is left over: the mean height itself, and how far the free-form offsets had to leave the basis there;
- detail finer than flow resolves, by how far heads of different make differ in it;
- where no pair sees the skin, the spread of the head model before any data, and how far heads of different make differ there. Ears and
  neck count as half unseen whatever pairs say, and hair, beard, glasses and cloth as unseen: what is below them no picture shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.bundle import Progress, StrideSamples, find_matches, view_span_deg
from recon.solve.chart import make_chart
from recon.solve.expression_prior import add_expression_prior
from recon.solve.landmark_bias import add_landmarks
from recon.solve.normal_equations import NormalEquations
from recon.solve.pair_heights import SMOOTHING_ROUNDS, combined_heights, pair_heights, smoothed
from recon.solve.prepare import Prepared
from recon.solve.problem import Matches, Problem, add_matches, add_priors
from recon.solve.stages import MIDDLE, DenseStage, tempered
from recon.solve.state import HeadState
from recon.solve.surround import SurroundCharts, surround_matches
from recon.uncertainty import AREAS, Uncertainty, area_medians, vertex_areas
from render import vertex_normals

if TYPE_CHECKING:
    from recon.solve.solution import Solution

FAMILY_SD_MM = {"none": 3.0, "face": 1.2, "ears": 2.0, "scalp": 6.9, "neck": 3.4, "iris": 1.2}
"""How far two makers' average heads (Anny's and ICT's) differ along their normals after a similarity, root mean square, by region:
no basis made by one of them spans that."""

DETAIL_MM = {
    "forehead": 0.04, "eyes": 0.45, "nose": 0.46, "cheeks": 0.10, "lips": 0.50, "chin and jaw": 0.08, "under the chin": 0.11,
    "ears": 0.77, "scalp": 0.09, "neck": 0.45,
}  # fmt: skip
"""How far the same two average heads differ in what a window of 9 mm smooths away (13 texels of the finest flow), root mean square, by
area: matches, which are smoothed as far, agree with each other on a nose that lacks it."""

SETTLED_SHARE = {"ears": 0.5, "neck": 0.5}
"""So much of the variance matches take away at most. An ear is all folds finer than the window, mostly seen from one side, and a mesh
whose folds lie elsewhere is matched all the same; a neck bends where the head turns on it, which no shape here says."""

MIN_TRUST = 0.5
"""Matches on what looks and behaves less like the person's skin than this say nothing about the head."""

MATCHES_A_FACT = 8.0
"""Matches that stand for one independent one: flow smooths over about 13 x 13 texels, and one in about 20 texels is matched."""


def with_uncertainty(
    solution: Solution,
    prepared: Prepared,
    *,
    use_dense: bool = True,
    matches: Sequence[Matches] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """The solution with the spread of its surface.

    `matches` are those of all neighbouring views with the final mesh at MIDDLE's texels, where they are at hand; else they are found
    here. Off `use_dense` the pictures themselves were not fitted to, so the spread is that of the head model before any data.
    """
    problem, state, views = solution.problem, solution.state, solution.registered
    stage, found = MIDDLE, list[Matches]()
    if use_dense and len(views) > 1:
        stage = tempered(MIDDLE, view_span_deg(problem, state, views))
        found = list(all_matches(solution, prepared) if matches is None else matches)
        found += surround_matches(problem, state, SurroundCharts(problem), prepared.pictures, views)
    is_skin = None if solution.skin is None else solution.skin.trust >= MIN_TRUST
    spread = estimate_uncertainty(problem, state, views, found, stage, is_skin=is_skin)
    if progress is not None:
        progress(f"uncertainty: face {spread.region_sd_mm['cheeks']:.2f} mm", 1, 1)
    return dataclasses.replace(solution, uncertainty=spread)


def all_matches(solution: Solution, prepared: Prepared) -> list[Matches]:
    """Matches of all neighbouring views with the present mesh, at MIDDLE's texels."""
    chart = make_chart(solution.problem.deformable.head, MIDDLE.texel_mm)
    grid = StrideSamples(solution.problem, chart, MIDDLE.stride)
    return find_matches(solution.problem, solution.state, chart, grid, MIDDLE, prepared.pictures, solution.registered)


def estimate_uncertainty(
    problem: Problem,
    state: HeadState,
    views: list[int],
    matches: list[Matches],
    stage: DenseStage,
    *,
    is_skin: np.ndarray | None = None,
) -> Uncertainty:
    """Spread of the neutral from matches at the end of a fit; without matches, that of the head model before any data.

    Of vertices off `is_skin` (V,) bool (None: all are) matches say nothing: they lie on hair, a beard, glasses or cloth.
    """
    head = problem.deformable.head
    matches = matches if is_skin is None else [_kept(m, is_skin) for m in matches]
    normals = vertex_normals(problem.neutral(state), head.triangles).astype(np.float64)
    posed = problem.posed(state)
    lifted = [vertex_normals(vertices, head.triangles) for vertices in posed]
    family = np.array([FAMILY_SD_MM[name] for name in REGIONS])[head.vertex_regions]
    heights = pair_heights(problem, state, matches, posed, lifted, stage.robust_px)
    after, before = mode_spread_mm(problem, state, views, matches, posed, lifted, normals, stage)
    looks, areas = combined_heights(head, heights, believed=is_skin), vertex_areas(head)
    # The information of all pairs against the family's own variance: 1 where pairs settle the surface, 0 where none sees it.
    evidence = 1.0 / (1.0 + looks.variance_mm2 / family**2)
    evidence = np.minimum(evidence, np.array([SETTLED_SHARE.get(name, 1.0) for name in AREAS])[areas])
    detail = smoothed(head, np.square(np.array([DETAIL_MM.get(name, 0.0) for name in AREAS])[areas]), SMOOTHING_ROUNDS)
    left_basis = smoothed(head, np.square(1e3 * np.einsum("vc,vc->v", problem.deformable.offsets, normals)), 3 * SMOOTHING_ROUNDS)
    unsettled = 1.0 / (1.0 / family**2 + 1.0 / looks.variance_mm2)
    settled = evidence * (after**2 + looks.mean_mm**2 + left_basis)
    variance = settled + detail + unsettled + (1.0 - evidence) * np.maximum(after, before) ** 2
    sd_mm = _carried_along(head, np.sqrt(variance)).astype(np.float32)
    return Uncertainty(sd_mm, area_medians(head, sd_mm))


def _kept(matches: Matches, is_skin: np.ndarray) -> Matches:
    """The matches, without weight where most of their place on the head is no skin."""
    share = (is_skin[matches.samples.corners] * matches.samples.barycentric).sum(1)
    return dataclasses.replace(matches, weight=matches.weight * (share >= 0.5))


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
    variances, axes = np.linalg.eigh(0.5 * (chosen + chosen.T))
    root = axes * np.sqrt(np.maximum(variances, 0.0))
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
