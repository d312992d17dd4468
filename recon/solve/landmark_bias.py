"""The landmark term: detected points against the mesh, each with a shift of its own that a person has in every picture alike.

A calibrated detector strays from the head's places in two ways. Some of it belongs to the person (brow paint above the brow bone, the
border of the lips, the crease of a lid) and is the same from all sides and in every expression; the rest is noise of the one picture.
Taken for noise alone, the person's part bends identity and expressions alike, the more the more pictures there are. Here each
landmark has a shift b in the skin's tangent plane,

    observed - projected(point + b) ~ N(0, (1 - s) C),    b ~ N(0, s C),

shared by all pictures and eliminated from each step. One picture alone sees the sum, noise of covariance C as before; several tell
how the face changes between them far better than where its brows are.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.detected import whitened
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.problem import Block, Problem, merged_blocks, px_per_mm, shape_blocks, view_blocks
from recon.solve.residuals import SurfaceSamples, project, tangents
from recon.solve.state import HeadState, SolveView

# A landmark of median noise: standard deviation and Cauchy scale in millimetres on the head.
LANDMARK_SIGMA_MM, LANDMARK_CAUCHY_MM = 3.5, 2.0
BETWEEN_PEOPLE_SHARE = 0.6
"""Of a landmark's variance, the part that is the person's own and not the picture's.

Of what heads fitted to whole pictures leave of their landmarks, half is alike in all views; the fit has taken up some of that half.
"""
BIAS_ROUNDS = 4
# A landmark that no view weighs still needs a prior, so that its block can be inverted.
MIN_BIAS_FACTOR = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkRows:
    """The landmarks of one view, linearised and whitened."""

    blocks: list[Block]
    """Columns and derivatives (L, 2, P) of the pixels by everything but the shifts."""
    by_shift: np.ndarray
    """(L, 2, 2) px per mm of the landmark's shift along its two tangents."""
    residual: np.ndarray
    """(L, 2) px, detected minus projected, without a shift."""
    factor: np.ndarray
    """(L,) how far each landmark counts; 0: not at all."""
    size: float
    """Pixels per millimetre."""


def add_landmarks(
    equations: NormalEquations,
    problem: Problem,
    state: HeadState,
    views: list[int],
    posed: list[np.ndarray],
    *,
    weight: float,
    contour_weight: float,
) -> np.ndarray:
    """Add the landmarks of the given views and take out each landmark's shift; Cauchy loss on what is left.

    Args:
        posed: per view of the problem the (V, 3) head with its expression, head frame.
        weight, contour_weight: factors on all points, and further on those of lids, pupils and lips.

    Returns (L, 2) the shifts, mm along the tangents of `shift_directions`; (0, 2) where no view has landmarks.
    """
    directions = shift_directions(problem, state)
    rows = [landmark_rows(problem, state, v, posed[v], directions, weight, contour_weight) for v in views if _has_landmarks(problem, v)]
    if not rows:
        return np.zeros((0, 2))
    shifts, weights, precision = estimate_shifts(rows)
    cross = np.zeros((equations.num_parameters, len(shifts), 2), np.float32)
    right, inner = np.zeros((len(shifts), 2)), np.eye(2) * precision[:, None, None]
    for view_rows, w in zip(rows, weights, strict=True):
        columns, jacobian = merged_blocks(view_rows.blocks)
        equations.add_rows("landmarks", columns, jacobian.reshape(-1, len(columns)), view_rows.residual.reshape(-1), np.repeat(w, 2))
        weighted = view_rows.by_shift * w[:, None, None]
        cross[columns] += np.einsum("lrp,lrk->plk", jacobian, weighted.astype(np.float32), optimize=True)
        inner += np.einsum("lrj,lrk->ljk", weighted, view_rows.by_shift)
        right += np.einsum("lrk,lr->lk", weighted, view_rows.residual)
    equations.eliminate("landmarks", cross, inner, right)
    return shifts


def shift_directions(problem: Problem, state: HeadState) -> np.ndarray:
    """(L, 3, 2) two tangents of the skin at each landmark as seen from the front, on the head at rest."""
    samples = problem.landmarks if problem.detected is None else problem.detected.at(0.0)
    return tangents(_normals(samples, problem.neutral(state)))


def estimate_shifts(rows: list[LandmarkRows]) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Shifts (L, 2) mm, weights (L,) of each view's rows, precision (L,) of the shifts' prior, by re-weighted least squares.

    Plain first: a large shift that all views agree on must not look like as many outliers.
    """
    between, within = BETWEEN_PEOPLE_SHARE, 1.0 - BETWEEN_PEOPLE_SHARE
    mean_factor = np.mean([view.factor for view in rows], 0)
    prior = np.maximum(mean_factor, MIN_BIAS_FACTOR) / (between * LANDMARK_SIGMA_MM**2)
    base = [view.factor / (within * (LANDMARK_SIGMA_MM * view.size) ** 2) for view in rows]
    shifts, weights, precision = np.zeros((len(prior), 2)), base, prior
    for _ in range(BIAS_ROUNDS):
        inner, right = np.eye(2) * precision[:, None, None], np.zeros_like(shifts)
        for view, w in zip(rows, weights, strict=True):
            weighted = view.by_shift * w[:, None, None]
            inner = inner + np.einsum("lrj,lrk->ljk", weighted, view.by_shift)
            right = right + np.einsum("lrk,lr->lk", weighted, view.residual)
        shifts = np.linalg.solve(inner, right[:, :, None])[:, :, 0]
        precision = prior * cauchy_weight(np.linalg.norm(shifts, axis=1) / np.sqrt(between), LANDMARK_CAUCHY_MM)
        weights = []
        for view, w in zip(rows, base, strict=True):
            left = view.residual - np.einsum("lrk,lk->lr", view.by_shift, shifts)
            # Points that fail wholly must not pull, so the robust weight is one number for both coordinates.
            mm = np.linalg.norm(left, axis=1) / (view.size * np.sqrt(within))
            weights.append(w * cauchy_weight(mm, LANDMARK_CAUCHY_MM))
    return shifts, weights, precision


def landmark_residuals_px(problem: Problem, state: HeadState, views: list[int]) -> dict[int, float]:
    """Median distance (working pixels) of the landmarks of each view that has some from the mesh's, moved by the shifts they share.

    One picture cannot tell a shift from a head of another shape, so there the shifts are left out.
    """
    seen, posed = [v for v in views if _has_landmarks(problem, v)], problem.posed(state)
    shifts = shared_shifts(problem, state, views)
    moved = 0.0 if shifts is None else shifts
    found = {}
    for v in seen:
        samples, weight = problem.landmarks_of(state, problem.views[v])
        px = project(samples.points(posed[v]) + moved, state, problem.views[v]).px
        found[v] = float(np.median(np.linalg.norm(problem.views[v].landmarks_px - px, axis=1)[weight > 0]))
    return found


def shared_shifts(problem: Problem, state: HeadState, views: list[int]) -> np.ndarray | None:
    """(L, 3) metres of the head frame by which each landmark lies beside the mesh's in all of the views alike; None for one view."""
    seen = [v for v in views if _has_landmarks(problem, v)]
    if len(seen) < 2:
        return None
    posed, directions = problem.posed(state), shift_directions(problem, state)
    rows = [landmark_rows(problem, state, v, posed[v], directions, 1.0, 0.0) for v in seen]
    return 1e-3 * np.einsum("lck,lk->lc", directions, estimate_shifts(rows)[0])


def _has_landmarks(problem: Problem, index: int) -> bool:
    return problem.views[index].landmarks_px is not None


def landmark_rows(
    problem: Problem, state: HeadState, index: int, vertices: np.ndarray, directions: np.ndarray, weight: float, contour_weight: float
) -> LandmarkRows:
    """Linearise the landmarks of one view that has them on its posed vertices (V, 3)."""
    view = problem.views[index]
    samples, relative = problem.landmarks_of(state, view)
    projection = project(samples.points(vertices), state, view)
    residual, size = view.landmarks_px - projection.px, px_per_mm(projection)
    if problem.detected is not None:
        whitening = problem.detected.whitening(problem.yaw_deg(state, view), state.T_cam_head(view)[:3, :3])
        residual, projection = np.einsum("lij,lj->li", whitening, residual), whitened(projection, whitening)
    blocks = [
        *shape_blocks(problem, state, samples, projection.d_point),
        *view_blocks(state.layout, view, samples, projection, projection.d_point, np.eye(2)),
    ]
    factor = relative * (weight + contour_weight * problem.is_contour * _facing(samples, state, view, vertices))
    return LandmarkRows(blocks, 1e-3 * projection.d_point @ directions, residual, factor, size)


def _normals(samples: SurfaceSamples, vertices: np.ndarray) -> np.ndarray:
    """(L, 3) unit normals of the (first) triangle that each landmark lies on."""
    corners = vertices[samples.corners[:, :3]].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _facing(samples: SurfaceSamples, state: HeadState, view: SolveView, vertices: np.ndarray) -> np.ndarray:
    """(L,) in [0, 1]: 1 for landmarks on skin that looks towards the camera, 0 where it looks away and the detector guesses."""
    T_cam_head = state.T_cam_head(view)
    towards = -T_cam_head[:3, :3].T @ T_cam_head[:3, 3] - vertices[samples.corners[:, :3]].astype(np.float64).mean(1)
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    return np.clip((_normals(samples, vertices) * towards).sum(1) / 0.5, 0.0, 1.0)
