"""The least-squares problem of a fit: which terms stand on which unknowns, and one Gauss-Newton step over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from assets.detector_model import seen_yaw_deg
from recon.cameras import UNKNOWN_FOCAL_SD, believed_focal_sd
from recon.solve.deformable import DeformableHead
from recon.solve.detected import DetectedLandmarks
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.residuals import Projection, SurfaceSamples, match_rows, project
from recon.solve.state import HeadState, Layout, SolveView

Free = frozenset[str]
"""Names of unknowns that a stage may change: "shape", "scale", "focal", "pose", "expression"."""

# Share of an expression's displacement that a generic shape gets wrong on a person, and what a match misses by itself.
EXPRESSION_ERROR, MATCH_NOISE_MM = 0.3, 0.2
# Length of an instant's weight vector below which every face counts as calm.
MIN_CALM_STRENGTH = 0.5
# Focal lengths known better than this come from a calibration.
CALIBRATED_FOCAL_SD = 1e-4
SIZE_SD = 0.005
"""Of the face against the average one where nothing tells its size. People differ by more, but every prior in millimetres (landmarks,
bumps, how far an expression moves the skin) is cheaper on a smaller head: without this a head shrinks by a third."""


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
    landmark_trust: np.ndarray | None = None
    """(L,) in [0, 1]: how far the place of each landmark on the head is this person's skin; None: all of them are."""

    def landmarks_of(self, state: HeadState, view: SolveView) -> tuple[SurfaceSamples, np.ndarray]:
        """Surface points and weights (L,) of the landmarks as a view sees them from where the state has it."""
        trust = 1.0 if self.landmark_trust is None else self.landmark_trust
        if self.detected is None:
            return self.landmarks, trust * self.landmark_weight
        yaw_deg = self.yaw_deg(state, view)
        return self.detected.at(yaw_deg), trust * self.detected.weight(yaw_deg)

    def yaw_deg(self, state: HeadState, view: SolveView) -> float:
        """Yaw of the head as a view sees it."""
        return seen_yaw_deg(state.camera_in_head(view).position_world)

    def neutral(self, state: HeadState) -> np.ndarray:
        """(V, 3) head at rest."""
        return self.deformable.neutral(state.coeffs, state.log_scale) + self.resting(state)

    def resting(self, state: HeadState) -> np.ndarray:
        """(V, 3) float32, or (1, 3) zeros: the part of the neutral that lies along the expression shapes."""
        if state.rest is None:
            return np.zeros((1, 3), np.float32)
        return np.tensordot(state.rest.astype(np.float32), self.deformable.shapes, 1)

    def doubting_focals(self) -> Problem:
        """The same problem, in which focal lengths are hardly better known than without EXIF; a calibrated camera's stay as they are."""
        doubted = np.where(self.focal_sd < CALIBRATED_FOCAL_SD, self.focal_sd, np.maximum(self.focal_sd, UNKNOWN_FOCAL_SD))
        return dataclasses.replace(self, focal_sd=doubted)

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
        # From the samples' own modes: the neutral of all vertices, once a pair of views, would take as long as the normal equations.
        moved = samples.points(self.deformable.head.vertices) + samples.modes @ state.coeffs.astype(np.float32)
        return np.exp(state.log_scale) * moved


def px_per_mm(projection: Projection) -> float:
    """Mean size of a millimetre on the head in a view's pixels."""
    return float(np.linalg.norm(projection.d_pose[:, 0, 3:], axis=1).mean()) * 1e-3


def add_priors(equations: NormalEquations, problem: Problem, state: HeadState, free_views: list[int]) -> None:
    """Shape towards zero, focals and scale towards their start; for the weights see recon/solve/expression_prior.py.

    Where no camera of known size tells the scale, the face is held as large as the average one.
    """
    layout = state.layout
    shape_sd = 1.0 / np.sqrt(problem.shape_precision)
    equations.add_prior("shape prior", layout.modes, -state.coeffs, shape_sd)
    if not problem.has_scale:
        growth = problem.deformable.growth
        equations.add_rows("size prior", layout.modes, growth[None], -growth[None] @ state.coeffs, np.array([SIZE_SD**-2]))
    equations.add_prior("scale prior", np.array([layout.scale]), -np.array([state.log_scale]), 0.1)
    focal_columns = np.arange(layout.focal(0), layout.focal(layout.num_focals))
    equations.add_prior("focal prior", focal_columns, -state.log_focals, believed_focal_sd(problem.focal_sd, state.log_focals))
    for instant in sorted({problem.views[v].instant for v in free_views}):
        # A pose is always observed by hundreds of pixels; this only keeps the system regular.
        equations.add_prior("pose prior", layout.pose(instant), np.zeros(6), 100.0)


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
    shape_trust: np.ndarray | None = None,
) -> np.ndarray:
    """Matches of one pair of views; returns (N,) their residual lengths in px before the step.

    `shape_trust` (N,) in [0, 1] says how far each match may move the shape of the head at rest; poses and expressions heed all.
    """
    a, b, samples = matches.view_a, matches.view_b, matches.samples
    project_a = project(samples.points(vertices[a]), state, problem.views[a])
    project_b = project(samples.points(vertices[b]), state, problem.views[b])
    normal = samples.points(normals[a])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    rows = match_rows(matches.px_a, matches.px_b, project_a, project_b, normal)
    point_a, point_b = rows.rows_a @ project_a.d_point, rows.rows_b @ project_b.d_point
    trust = np.ones((1, 1, 1)) if shape_trust is None else shape_trust[:, None, None]
    blocks = [
        *shape_blocks(problem, state, samples, (point_a + point_b) * trust),
        *view_blocks(state.layout, problem.views[a], samples, project_a, point_a, rows.rows_a),
        *view_blocks(state.layout, problem.views[b], samples, project_b, point_b, rows.rows_b),
    ]
    length = np.linalg.norm(rows.residual, axis=1)
    add_blocks(equations, "matches", blocks, rows.residual, weight * matches.weight * cauchy_weight(length, robust_px))
    return length


Block = tuple[np.ndarray, np.ndarray]
"""Columns (P,) and derivative (N, R, P) of N times R rows."""


def shape_blocks(problem: Problem, state: HeadState, samples: SurfaceSamples, d_point: np.ndarray) -> list[Block]:
    """Derivatives of rows by the shape coefficients and, in a rig, the log scale, from those by the point (N, R, 3)."""
    layout, scale = state.layout, np.exp(state.log_scale)
    blocks = [(layout.modes, (scale * d_point).astype(np.float32) @ samples.modes)]
    if problem.has_scale:
        blocks.append((np.array([layout.scale]), d_point @ problem.rest(samples, state)[:, :, None]))
    return blocks


def view_blocks(
    layout: Layout, view: SolveView, samples: SurfaceSamples, projection: Projection, d_point: np.ndarray, rows: np.ndarray
) -> list[Block]:
    """Derivatives of rows by what belongs to one view: its focal group, pose and weights."""
    return [
        (np.array([layout.focal(view.focal_group)]), rows @ projection.d_log_focal),
        (layout.pose(view.instant), rows @ projection.d_pose),
        (layout.weights(view.instant), d_point.astype(np.float32) @ samples.shapes),
    ]


def merged_blocks(blocks: list[Block]) -> Block:
    """One block of all columns; derivatives by the same columns (two views of one instant or focal group) are summed."""
    merged: dict[int, Block] = {}
    for columns, jacobian in blocks:
        if not len(columns):  # The modes of a head that is held.
            continue
        key = int(columns[0])
        merged[key] = (columns, merged[key][1] + jacobian if key in merged else jacobian)
    columns = np.concatenate([block[0] for block in merged.values()])
    return columns, np.concatenate([block[1].astype(np.float32) for block in merged.values()], 2)


def add_blocks(equations: NormalEquations, name: str, blocks: list[Block], residual: np.ndarray, weight: np.ndarray) -> None:
    """Add rows (N, R) of N weights whose blocks may share columns (two views of one instant or focal group): those are summed."""
    columns, jacobian = merged_blocks(blocks)
    equations.add_rows(name, columns, jacobian.reshape(-1, len(columns)), residual.reshape(-1), np.repeat(weight, residual.shape[1]))


def restfulness(state: HeadState, views: Sequence[SolveView]) -> np.ndarray:
    """(N,) in (0, 1]: how far each view's matches may be believed for the shape of the head at rest.

    The generic expression shapes are not this person's, so a broad smile bends the identity where its match is believed as a
    calm view's is. The scale is twice the lower quartile of expression strengths: where everybody smiles, nobody is put back.
    """
    strength = np.linalg.norm(state.weights, axis=1)[[view.instant for view in views]]
    limit = max(MIN_CALM_STRENGTH, 2.0 * float(np.quantile(strength, 0.25)))
    return 1.0 / (1.0 + (strength / limit) ** 4)


def displaced_mm(samples: SurfaceSamples, weights: np.ndarray) -> np.ndarray:
    """(N, K) how far each of K expressions (K, E) moves each of N points."""
    moved = samples.shapes.reshape(-1, samples.shapes.shape[2]) @ weights.T.astype(np.float32)
    return 1e3 * np.linalg.norm(moved.reshape(len(samples.corners), 3, -1), axis=1)


def shape_trust(displaced: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """(N,) in (0, 1]: how far a match of two views may be believed for the shape of the head at rest.

    The generic expression shapes are not this person's: where they move the skin by d, they are wrong by about EXPRESSION_ERROR d,
    and a smile's cheeks would bend the cheeks at rest, though its forehead may well tell of the forehead. Errors are taken against
    the match's own noise and against the calmest quarter of all views there: where everybody smiles, nobody is put back.

    Args:
        displaced: (N, views) mm by which each view's expression moves each matched point.
        pair: the two matched views as columns of it.
    """
    error = 1.0 + (EXPRESSION_ERROR / MATCH_NOISE_MM * displaced) ** 2
    calm = np.quantile(error, 0.25, axis=1)
    return np.minimum(1.0, calm / np.maximum(error[:, pair[0]], error[:, pair[1]]))


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
