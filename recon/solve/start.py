"""First head poses from landmarks alone: PnP for loose pictures, triangulation for a calibrated rig."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from recon.solve.problem import Problem
from recon.solve.state import HeadState, SolveView

# This share of the triangulated points, those with the largest reprojection error, does not place the head.
LEFT_OUT_SHARE = 0.15


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale R x + t."""

    scale: float
    R: np.ndarray
    """(3, 3) rotation."""
    t: np.ndarray
    """(3,)."""


def empty_state(problem: Problem, *, num_focals: int, num_instants: int) -> HeadState:
    """The average head at rest, half a metre in front of every camera."""
    return HeadState(
        coeffs=np.zeros(len(problem.deformable.modes)),
        log_scale=0.0,
        log_focals=np.zeros(num_focals),
        rotations=np.tile(np.diag([1.0, -1.0, -1.0]), (num_instants, 1, 1)),
        translations=np.tile([0.0, 0.0, 0.6], (num_instants, 1)),
        weights=np.zeros((num_instants, len(problem.deformable.shape_names))),
    )


def start_loose(problem: Problem, state: HeadState) -> HeadState:
    """Pose every view that has landmarks by PnP on the average head (SQPnP: Terzakis and Lourakis, 2020)."""
    points = _trusted_points(problem, state)
    for view in problem.views:
        if view.landmarks_px is not None:
            state = state.with_pose(view.instant, _pnp(points, view, state, problem.landmark_weight > 0))
    return state


def _trusted_points(problem: Problem, state: HeadState) -> np.ndarray:
    return problem.landmarks.points(problem.neutral(state))


def _pnp(points: np.ndarray, view: SolveView, state: HeadState, usable: np.ndarray) -> np.ndarray:
    """(4, 4) head to camera of one view with landmarks."""
    camera = state.camera_in_head(view)
    landmarks = np.asarray(view.landmarks_px, np.float64)[usable]
    found, rotation, translation = cv2.solvePnP(points[usable], landmarks, camera.K, None, flags=cv2.SOLVEPNP_SQPNP)  # pyright: ignore
    T_cam_head = np.eye(4)
    if found:
        T_cam_head[:3, :3], T_cam_head[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
    return T_cam_head


def start_rig(problem: Problem, state: HeadState) -> HeadState:
    """Place the head in a calibrated rig: one scale for all, one pose an instant.

    Instants seen by at least two cameras with a face are triangulated; the others take their pose from PnP in their one camera.
    """
    points, usable = _trusted_points(problem, state), problem.landmark_weight > 0
    by_instant: dict[int, list[SolveView]] = {}
    for view in problem.views:
        if view.landmarks_px is not None:
            by_instant.setdefault(view.instant, []).append(view)
    found = {i: _place(points[usable], views, state, usable) for i, views in by_instant.items() if len(views) > 1}
    if found:
        state = dataclasses.replace(state, log_scale=float(np.log(np.median([s.scale for s in found.values()]))))
    for instant, views in by_instant.items():
        if instant in found:
            T_world_head = np.eye(4)
            # The scale is shared, so each pose is taken about the landmarks' centre, where scale moves nothing.
            centre, own = points[usable].mean(0), found[instant]
            T_world_head[:3, :3] = own.R
            T_world_head[:3, 3] = own.scale * own.R @ centre + own.t - np.exp(state.log_scale) * own.R @ centre
        else:
            scaled = np.exp(state.log_scale) * points
            T_world_head = np.linalg.inv(views[0].T_cam_world) @ _pnp(scaled, views[0], state, usable)
        state = state.with_pose(instant, T_world_head)
    return state


def _place(points: np.ndarray, views: list[SolveView], state: HeadState, usable: np.ndarray) -> Similarity:
    projections = np.stack([_projection_matrix(view, state) for view in views])
    pixels = np.stack([np.asarray(view.landmarks_px, np.float64)[usable] for view in views])
    world, error_px = triangulate(projections, pixels)
    trusted = error_px <= np.quantile(error_px, 1 - LEFT_OUT_SHARE)
    return robust_similarity(points[trusted], world[trusted])


def _projection_matrix(view: SolveView, state: HeadState) -> np.ndarray:
    """(3, 4) world to pixels."""
    fx, fy = state.focal_px(view)
    return np.array([[fx, 0, view.centre_px[0]], [0, fy, view.centre_px[1]], [0, 0, 1.0]]) @ view.T_cam_world[:3]


def triangulate(projections: np.ndarray, pixels: np.ndarray, rounds: int = 5, robust_px: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Points (L, 3) in the world from pixels (N, L, 2) in N cameras (N, 3, 4), and their median reprojection error (L,) in px.

    Linear triangulation with Cauchy weights on the reprojection error (Hartley and Zisserman, section 12.2).
    """
    num_views, num_points = pixels.shape[:2]
    rows = pixels[..., None] * projections[:, None, None, 2] - projections[:, None, :2]  # (N, L, 2, 4)
    rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    weight, error = np.ones((num_views, num_points)), np.zeros((num_views, num_points))
    points = np.zeros((num_points, 3))
    for _ in range(rounds):
        system = np.transpose(rows * weight[..., None, None], (1, 0, 2, 3)).reshape(num_points, -1, 4)
        solution = np.linalg.svd(system)[2][:, -1]
        points = solution[:, :3] / solution[:, 3:]
        image = np.einsum("nij,lj->nli", projections, np.concatenate([points, np.ones((num_points, 1))], 1))
        error = np.linalg.norm(image[..., :2] / image[..., 2:] - pixels, axis=-1)
        weight = 1.0 / (1.0 + (error / robust_px) ** 2)
    return points, np.median(error, 0)


def similarity(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Similarity:
    """The similarity that best moves source (N, 3) onto target (N, 3) in weighted least squares (Umeyama, 1991)."""
    w = weight / weight.sum()
    mean_a, mean_b = w @ source, w @ target
    a, b = source - mean_a, target - mean_b
    u, d, vt = np.linalg.svd((a * w[:, None]).T @ b)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    R = vt.T @ np.diag(sign) @ u.T
    scale = float((d * sign).sum() / (w @ (a**2).sum(1)))
    return Similarity(scale, R, mean_b - scale * R @ mean_a)


def robust_similarity(source: np.ndarray, target: np.ndarray, *, rounds: int = 20, robust_m: float = 4e-3) -> Similarity:
    """Similarity with Cauchy weights of the given scale on the distances."""
    weight = np.ones(len(source))
    found = similarity(source, target, weight)
    for _ in range(rounds):
        distance = np.linalg.norm(found.scale * source @ found.R.T + found.t - target, axis=1)
        weight = 1.0 / (1.0 + (distance / robust_m) ** 2)
        found = similarity(source, target, weight)
    return found
