"""The least-squares problem of a fit: which terms stand on which unknowns, and one Gauss-Newton step over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from assets.detector_model import seen_yaw_deg
from recon.solve.deformable import DeformableHead
from recon.solve.detected import DetectedLandmarks, whitened
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.residuals import Projection, SurfaceSamples, match_rows, project
from recon.solve.state import HeadState, Layout, SolveView

Free = frozenset[str]
"""Names of unknowns that a stage may change: "shape", "scale", "focal", "pose", "expression"."""

# A landmark of median noise: standard deviation and Cauchy scale in millimetres on the head.
LANDMARK_SIGMA_MM, LANDMARK_CAUCHY_MM = 3.5, 2.0
# Expression weights: prior towards zero, and a stiffer one for the part outside [0, 1], where no face can be.
WEIGHT_SD, WEIGHT_OUTSIDE_SD = 0.15, 0.03
# Length of an instant's weight vector below which every face counts as calm.
MIN_CALM_STRENGTH = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Matches:
    """Skin points seen in two views."""

    view_a: int
    view_b: int
    samples: SurfaceSamples
    """N points of the chart."""
    px_a: np.ndarray
    """(N, 2) where the first view shows the point, working pixels."""
    px_b: np.ndarray
    """(N, 2) likewise in the second view."""
    weight: np.ndarray
    """(N,) in [0, 1]: correlation and how squarely the views see the skin."""
    share: float
    """Of the skin that both views show, how much was matched."""


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Everything that stays fixed while a stage solves."""

    deformable: DeformableHead
    views: tuple[SolveView, ...]
    landmarks: SurfaceSamples
    landmark_weight: np.ndarray
    """(L,) relative weight of each landmark, about 1; 0 for those the detector cannot place."""
    is_contour: np.ndarray
    """(L,) bool: landmarks on lids, pupils and lips, which detectors place well and where flow has nothing to hold."""
    focal_sd: np.ndarray
    """(F,) standard deviation of each group's log focal factor."""
    has_scale: bool
    """Whether cameras of known size make the head's scale observable."""
    shape_precision: float = 1.0
    """Factor on the prior of the shape coefficients."""
    detected: DetectedLandmarks | None = None
    """Where the landmarks lie by the yaw of a view, in place of `landmarks` and `landmark_weight`; None: the same from all sides."""

    def landmarks_of(self, state: HeadState, view: SolveView) -> tuple[SurfaceSamples, np.ndarray]:
        """Surface points and weights (L,) of the landmarks as a view sees them from where the state has it."""
        if self.detected is None:
            return self.landmarks, self.landmark_weight
        yaw_deg = self.yaw_deg(state, view)
        return self.detected.at(yaw_deg), self.detected.weight(yaw_deg)

    def yaw_deg(self, state: HeadState, view: SolveView) -> float:
        """Yaw of the head as a view sees it."""
        return seen_yaw_deg(state.camera_in_head(view).position_world)

    def neutral(self, state: HeadState) -> np.ndarray:
        """(V, 3) head at rest."""
        return self.deformable.neutral(state.coeffs, state.log_scale)

    def posed(self, state: HeadState) -> list[np.ndarray]:
        """Per view the (V, 3) head with that view's expression, head frame."""
        neutral = self.neutral(state)
        by_instant = {i: self.deformable.posed(neutral, state.weights[i]) for i in {view.instant for view in self.views}}
        return [by_instant[view.instant] for view in self.views]

    def face_px(self, views: list[int]) -> np.ndarray:
        """(N,) diagonal of the landmarks' bounding box in each given view, which has landmarks; working pixels."""
        return np.array([np.linalg.norm(np.ptp(np.asarray(self.views[v].landmarks_px), axis=0)) for v in views])

    def rest(self, samples: SurfaceSamples, state: HeadState) -> np.ndarray:
        """(N, 3) derivative of points by log scale: the scaled part of the neutral."""
        return samples.points(self.neutral(state) - self.deformable.offsets)


def px_per_mm(projection: Projection) -> float:
    """Mean size of a millimetre on the head in a view's pixels."""
    return float(np.linalg.norm(projection.d_pose[:, 0, 3:], axis=1).mean()) * 1e-3


def add_priors(equations: NormalEquations, problem: Problem, state: HeadState, free_views: list[int]) -> None:
    """Shape and weights towards zero, weights into [0, 1], focals and scale towards their start."""
    layout = state.layout
    shape_sd = 1.0 / np.sqrt(problem.shape_precision)
    equations.add_prior("shape prior", layout.modes, -state.coeffs, shape_sd)
    equations.add_prior("scale prior", np.array([layout.scale]), -np.array([state.log_scale]), 0.1)
    focal_columns = np.arange(layout.focal(0), layout.focal(layout.num_focals))
    equations.add_prior("focal prior", focal_columns, -state.log_focals, problem.focal_sd)
    for instant in sorted({problem.views[v].instant for v in free_views}):
        weights, columns = state.weights[instant], layout.weights(instant)
        equations.add_prior("expression prior", columns, -weights, WEIGHT_SD)
        outside = (weights < 0) | (weights > 1)
        equations.add_prior("expression range", columns[outside], (np.clip(weights, 0, 1) - weights)[outside], WEIGHT_OUTSIDE_SD)
        # A pose is always observed by hundreds of pixels; this only keeps the system regular.
        equations.add_prior("pose prior", layout.pose(instant), np.zeros(6), 100.0)


def add_landmarks(
    equations: NormalEquations,
    problem: Problem,
    state: HeadState,
    index: int,
    vertices: np.ndarray,
    *,
    weight: float,
    contour_weight: float,
) -> None:
    """Detected points of one view against the embedding on its posed vertices; Cauchy loss.

    Args:
        vertices: (V, 3) of the head with this view's expression, head frame.
        weight, contour_weight: factors on all points, and further on those of lids, pupils and lips.
    """
    view = problem.views[index]
    if view.landmarks_px is None:
        return
    samples, relative = problem.landmarks_of(state, view)
    projection = project(samples.points(vertices), state, view)
    residual, size = view.landmarks_px - projection.px, px_per_mm(projection)
    if problem.detected is not None:
        whitening = problem.detected.whitening(problem.yaw_deg(state, view), state.T_cam_head(view)[:3, :3])
        residual, projection = np.einsum("lij,lj->li", whitening, residual), whitened(projection, whitening)
    mm = np.linalg.norm(residual, axis=1) / size
    factor = relative * (weight + contour_weight * problem.is_contour * _facing(samples, state, view, vertices))
    # Points that fail wholly must not pull, so the robust weight is one number for both coordinates.
    row_weight = factor * cauchy_weight(mm, LANDMARK_CAUCHY_MM) / (LANDMARK_SIGMA_MM * size) ** 2
    blocks = [
        *_shape_blocks(problem, state, samples, projection.d_point),
        *_view_blocks(state.layout, view, samples, projection, projection.d_point, np.eye(2)),
    ]
    _add(equations, "landmarks", blocks, residual, row_weight)


def _facing(samples: SurfaceSamples, state: HeadState, view: SolveView, vertices: np.ndarray) -> np.ndarray:
    """(L,) in [0, 1]: 1 for landmarks on skin that looks towards the camera, 0 where it looks away and the detector guesses."""
    corners = vertices[samples.corners[:, :3]].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    T_cam_head = state.T_cam_head(view)
    towards = -T_cam_head[:3, :3].T @ T_cam_head[:3, 3] - corners.mean(1)
    length = np.linalg.norm(normal, axis=1) * np.linalg.norm(towards, axis=1)
    return np.clip((normal * towards).sum(1) / np.maximum(length, 1e-12) / 0.5, 0.0, 1.0)


def add_matches(
    equations: NormalEquations,
    problem: Problem,
    state: HeadState,
    matches: Matches,
    vertices: list[np.ndarray],
    normals: list[np.ndarray],
    *,
    weight: float,
    robust_px: float,
) -> np.ndarray:
    """Matches of one pair of views; returns (N,) their residual lengths in px before the step."""
    a, b, samples = matches.view_a, matches.view_b, matches.samples
    project_a = project(samples.points(vertices[a]), state, problem.views[a])
    project_b = project(samples.points(vertices[b]), state, problem.views[b])
    normal = samples.points(normals[a])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rows = match_rows(matches.px_a, matches.px_b, project_a, project_b, normal)
    point_a, point_b = rows.rows_a @ project_a.d_point, rows.rows_b @ project_b.d_point
    blocks = [
        *_shape_blocks(problem, state, samples, point_a + point_b),
        *_view_blocks(state.layout, problem.views[a], samples, project_a, point_a, rows.rows_a),
        *_view_blocks(state.layout, problem.views[b], samples, project_b, point_b, rows.rows_b),
    ]
    length = np.linalg.norm(rows.residual, axis=1)
    _add(equations, "matches", blocks, rows.residual, weight * matches.weight * cauchy_weight(length, robust_px))
    return length


Block = tuple[np.ndarray, np.ndarray]
"""Columns (P,) and derivative (N, 2, P)."""


def _shape_blocks(problem: Problem, state: HeadState, samples: SurfaceSamples, d_point: np.ndarray) -> list[Block]:
    layout, scale = state.layout, np.exp(state.log_scale)
    blocks = [(layout.modes, (scale * d_point).astype(np.float32) @ samples.modes)]
    if problem.has_scale:
        blocks.append((np.array([layout.scale]), d_point @ problem.rest(samples, state)[:, :, None]))
    return blocks


def _view_blocks(
    layout: Layout, view: SolveView, samples: SurfaceSamples, projection: Projection, d_point: np.ndarray, rows: np.ndarray
) -> list[Block]:
    return [
        (np.array([layout.focal(view.focal_group)]), rows @ projection.d_log_focal),
        (layout.pose(view.instant), rows @ projection.d_pose),
        (layout.weights(view.instant), d_point.astype(np.float32) @ samples.shapes),
    ]


def _add(equations: NormalEquations, name: str, blocks: list[Block], residual: np.ndarray, weight: np.ndarray) -> None:
    """Add rows whose blocks may share columns (two views of one instant or focal group): those derivatives are summed."""
    merged: dict[int, Block] = {}
    for columns, jacobian in blocks:
        key = int(columns[0])
        merged[key] = (columns, merged[key][1] + jacobian if key in merged else jacobian)
    columns = np.concatenate([block[0] for block in merged.values()])
    jacobian = np.concatenate([block[1].astype(np.float32) for block in merged.values()], 2)
    equations.add_rows(name, columns, jacobian.reshape(-1, len(columns)), residual.reshape(-1), np.repeat(weight, 2))


def restfulness(state: HeadState, views: Sequence[SolveView]) -> np.ndarray:
    """(N,) in (0, 1]: how far each view's matches may be believed for the shape of the head at rest.

    The generic expression shapes are not this person's, so a broad smile bends the identity where its match is believed as a
    calm view's is. The scale is twice the lower quartile of expression strengths: where everybody smiles, nobody is put back.
    """
    strength = np.linalg.norm(state.weights, axis=1)[[view.instant for view in views]]
    limit = max(MIN_CALM_STRENGTH, 2.0 * float(np.quantile(strength, 0.25)))
    return 1.0 / (1.0 + (strength / limit) ** 4)


def free_columns(layout: Layout, free: Free, instants: set[int]) -> np.ndarray:
    """(P,) bool mask of the parameters that a stage may change, poses and weights only at the given instants."""
    mask = np.zeros(layout.size, bool)
    mask[layout.modes] = "shape" in free
    mask[layout.scale] = "scale" in free
    mask[layout.focal(0) : layout.focal(layout.num_focals)] = "focal" in free
    for instant in instants:
        mask[layout.pose(instant)] = "pose" in free
        mask[layout.weights(instant)] = "expression" in free
    return mask
