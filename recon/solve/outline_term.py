"""Silhouettes as a term of the bundle: rim points of a view pull on shape, pose, focal length and expression."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.problem import Problem
from recon.solve.residuals import SurfaceSamples, project, sample_surface
from recon.solve.silhouette import Outline, outline_rows
from recon.solve.state import HeadState


@dataclasses.dataclass(frozen=True, eq=False)
class OutlineTerm:
    """One view's outline, sampled once so that a step needs no vertex arrays."""

    view: int
    samples: SurfaceSamples
    """N rim points."""
    edge_px: np.ndarray
    """(N, 2) where the picture has the edge."""
    normal_px: np.ndarray
    """(N, 2) unit normal of the outline."""
    weight: np.ndarray
    """(N,) about 1 for 5 mm of clear outline of skin, 0 where nothing is known."""


def outline_term(problem: Problem, outline: Outline, weight: np.ndarray) -> OutlineTerm:
    """Sample what moves an outline's points; those of weight (N,) zero are left out."""
    used = np.flatnonzero(weight > 0)
    samples = sample_surface(outline.rim.corners[used], outline.rim.barycentric[used], problem.deformable.modes, problem.deformable.shapes)
    return OutlineTerm(outline.view, samples, outline.edge_px[used], outline.rim.normal_px[used], weight[used])


def add_outline(
    equations: NormalEquations,
    problem: Problem,
    state: HeadState,
    term: OutlineTerm,
    vertices: np.ndarray,
    *,
    weight: float,
    robust_px: float,
) -> np.ndarray:
    """Rim points of one view against the picture's edge, Cauchy loss; returns (N,) their residuals in px before the step.

    Args:
        vertices: (V, 3) of the head with this view's expression, head frame.
        weight: px^-2, one over the variance of 5 mm of outline.
    """
    view, layout, samples = problem.views[term.view], state.layout, term.samples
    rows = outline_rows(project(samples.points(vertices), state, view), term.edge_px, term.normal_px)
    along = rows.d_point[:, None].astype(np.float32)
    blocks = [
        (layout.modes, np.float32(np.exp(state.log_scale)) * (along @ samples.modes)[:, 0]),
        (np.array([layout.focal(view.focal_group)]), rows.d_log_focal),
        (layout.pose(view.instant), rows.d_pose),
        (layout.weights(view.instant), (along @ samples.shapes)[:, 0]),
    ]
    if problem.has_scale:
        blocks.append((np.array([layout.scale]), (rows.d_point * problem.rest(samples, state)).sum(1, keepdims=True)))
    columns, jacobian = np.concatenate([block[0] for block in blocks]), np.concatenate([block[1] for block in blocks], 1)
    equations.add_rows("outlines", columns, jacobian, rows.residual, weight * term.weight * cauchy_weight(np.abs(rows.residual), robust_px))
    return rows.residual
