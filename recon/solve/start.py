"""First head poses from landmarks alone: PnP for loose pictures, triangulation for a calibrated rig."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.detector_model import seen_yaw_deg
from assets.similarity import Similarity, fit_similarity
from recon.solve.problem import Problem
from recon.solve.state import HeadState, SolveView

# This share of the triangulated points, those with the largest reprojection error, does not place the head.
LEFT_OUT_SHARE = 0.15

# Depths and homogeneous coordinates nearer to zero than this are no direction to divide by.
MIN_DEPTH = 1e-9
# A head smaller than this share of the average one is no head; wrong cameras can shrink it to a point.
MIN_SCALE = 1e-3

NO_POSE = "rejected: no head in front of the camera explains the landmarks"
BEHIND_CAMERA = "rejected: by the other cameras the head lies behind this one"


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """Where a fit begins."""

    state: HeadState
    unposed: dict[int, str]
    """Why views with landmarks got no pose, by their index; their instants stay as they were."""


def empty_state(problem: Problem, *, num_focals: int, num_instants: int) -> HeadState:
    """The average head at rest, 0.6 m in front of every camera."""
    return HeadState(
        coeffs=np.zeros(len(problem.deformable.modes)),
        log_scale=0.0,
        log_focals=np.zeros(num_focals),
        rotations=np.tile(np.diag([1.0, -1.0, -1.0]), (num_instants, 1, 1)),
        translations=np.tile([0.0, 0.0, 0.6], (num_instants, 1)),
        weights=np.zeros((num_instants, len(problem.deformable.shape_names))),
    )


def start_loose(problem: Problem, state: HeadState) -> Start:
    """Pose every view that has landmarks by PnP on the average head (SQPnP: Terzakis and Lourakis, 2020)."""
    unposed: dict[int, str] = {}
    for v, view in enumerate(problem.views):
        if view.landmarks_px is None:
            continue
        T_cam_head = _posed(problem, state, view)
        if T_cam_head is None:
            unposed[v] = NO_POSE
        else:
            state = state.with_pose(view.instant, T_cam_head)
    return Start(state, unposed)


def _posed(problem: Problem, state: HeadState, view: SolveView) -> np.ndarray | None:
    """(4, 4) head to camera of one view with landmarks by PnP on the head at rest; None where there is none.

    A calibrated detector's points lie elsewhere for every yaw: each of its bins poses the view, and the one that agrees best with
    the pixels counts, for the yaw that it finds.
    """
    if problem.detected is None:
        return _pnp(_trusted_points(problem, state), view, state, problem.landmark_weight > 0)
    neutral, best, least = problem.neutral(state), None, np.inf
    for samples, yaw_deg in zip(problem.detected.bins, problem.detected.model.yaw_bins_deg, strict=True):
        points, usable = samples.points(neutral), problem.detected.weight(float(yaw_deg)) > 0
        T_cam_head = _pnp(points, view, state, usable)
        if T_cam_head is not None and (error := _median_error_px(points[usable], view, state, T_cam_head, usable)) < least:
            best, least = T_cam_head, error
    if best is None:
        return None
    samples = problem.detected.at(seen_yaw_deg(-best[:3, :3].T @ best[:3, 3]))
    refined = _pnp(samples.points(neutral), view, state, np.ones(len(samples.corners), bool))
    return best if refined is None else refined


def _median_error_px(points: np.ndarray, view: SolveView, state: HeadState, T_cam_head: np.ndarray, usable: np.ndarray) -> float:
    in_cam = points @ T_cam_head[:3, :3].T + T_cam_head[:3, 3]
    px = state.focal_px(view) * in_cam[:, :2] / in_cam[:, 2:] + view.centre_px
    return float(np.median(np.linalg.norm(px - np.asarray(view.landmarks_px)[usable], axis=1)))


def _trusted_points(problem: Problem, state: HeadState) -> np.ndarray:
    return problem.landmarks.points(problem.neutral(state))


def _pnp(points: np.ndarray, view: SolveView, state: HeadState, usable: np.ndarray) -> np.ndarray | None:
    """(4, 4) head to camera of one view with landmarks; None where no pose has all points in front of the camera."""
    K = state.camera_in_head(view).K
    landmarks = np.asarray(view.landmarks_px, np.float64)[usable]
    if usable.sum() < 3 or not np.isfinite(landmarks).all():
        return None
    found, rotation, translation = cv2.solvePnP(points[usable], landmarks, K, None, flags=cv2.SOLVEPNP_SQPNP)  # pyright: ignore
    if not found or not (np.isfinite(rotation).all() and np.isfinite(translation).all()):
        return None
    T_cam_head = np.eye(4)
    T_cam_head[:3, :3], T_cam_head[:3, 3] = cv2.Rodrigues(rotation)[0], translation[:, 0]
    return T_cam_head if is_in_front(points[usable], T_cam_head) else None


def is_in_front(points: np.ndarray, T_cam_head: np.ndarray) -> bool:
    """Whether a camera has all points (N, 3) of the head before it: projection divides by their depth."""
    return bool((points @ T_cam_head[2, :3] + T_cam_head[2, 3] > 0).all())


def start_rig(problem: Problem, state: HeadState) -> Start:
    """Place the head in a calibrated rig: one scale for all, one pose an instant.

    Instants seen by at least two cameras with a face are triangulated. The others, loose pictures beside the rig among them, take
    their pose from PnP in their one camera, on the head as large as the rig has it.
    """
    points, usable = _trusted_points(problem, state), problem.landmark_weight > 0
    by_instant: dict[int, list[int]] = {}
    for v, view in enumerate(problem.views):
        if view.landmarks_px is not None:
            by_instant.setdefault(view.instant, []).append(v)
    several = {i: [problem.views[v] for v in indices] for i, indices in by_instant.items() if len(indices) > 1}
    found = {i: _place(points[usable], views, state, usable) for i, views in several.items()}
    if found:
        scale = max(float(np.median([s.scale for s in found.values()])), MIN_SCALE)
        state = dataclasses.replace(state, log_scale=float(np.log(scale)))
    for instant, own in found.items():
        state = state.with_pose(instant, _shared_scale_pose(own, points[usable].mean(0), np.exp(state.log_scale)))
    scaled, unposed = np.exp(state.log_scale) * points, dict[int, str]()
    for instant, indices in by_instant.items():
        view = problem.views[indices[0]]
        if instant in found:
            hidden = [v for v in indices if not is_in_front(scaled[usable], state.T_cam_head(problem.views[v]))]
            unposed |= dict.fromkeys(hidden, BEHIND_CAMERA)
        elif (T_cam_head := _posed(problem, state, view)) is None:
            unposed[indices[0]] = NO_POSE
        else:
            state = state.with_pose(instant, np.linalg.inv(view.T_cam_world) @ T_cam_head)
    return Start(state, unposed)


def _shared_scale_pose(own: Similarity, centre: np.ndarray, scale: float) -> np.ndarray:
    """(4, 4) pose of an instant under the scale that all instants share: taken about the landmarks' centre, which stays put."""
    T_world_head = np.eye(4)
    T_world_head[:3, :3] = own.R
    T_world_head[:3, 3] = own.scale * own.R @ centre + own.t - scale * own.R @ centre
    return T_world_head


def _place(points: np.ndarray, views: list[SolveView], state: HeadState, usable: np.ndarray) -> Similarity:
    projections = np.stack([projection_matrix(view, state) for view in views])
    pixels = np.stack([np.asarray(view.landmarks_px, np.float64)[usable] for view in views])
    world, error_px = triangulate(projections, pixels)
    trusted = error_px <= np.quantile(error_px, 1 - LEFT_OUT_SHARE)
    return robust_similarity(points[trusted], world[trusted])


def projection_matrix(view: SolveView, state: HeadState) -> np.ndarray:
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
        points = solution[:, :3] / np.where(np.abs(solution[:, 3:]) < MIN_DEPTH, MIN_DEPTH, solution[:, 3:])
        image = np.einsum("nij,lj->nli", projections, np.concatenate([points, np.ones((num_points, 1))], 1))
        # Cameras that share a centre meet nowhere but there, at depth zero.
        depth = np.where(np.abs(image[..., 2:]) < MIN_DEPTH, MIN_DEPTH, image[..., 2:])
        error = np.linalg.norm(image[..., :2] / depth - pixels, axis=-1)
        weight = 1.0 / (1.0 + (error / robust_px) ** 2)
    return points, np.median(error, 0)


def robust_similarity(source: np.ndarray, target: np.ndarray, *, rounds: int = 20, robust_m: float = 4e-3) -> Similarity:
    """Similarity with Cauchy weights of the given scale on the distances."""
    weight = np.ones(len(source))
    found = fit_similarity(source, target, weight)
    for _ in range(rounds):
        distance = np.linalg.norm(found.apply(source) - target, axis=1)
        weight = 1.0 / (1.0 + (distance / robust_m) ** 2)
        found = fit_similarity(source, target, weight)
    return found
