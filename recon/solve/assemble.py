"""From the solver's state to the avatar's records: re-centred head, cameras in view pixels, weights by name, head pose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assets.eye_seats import seated_eyeballs
from recon.capture import View
from recon.solve.eye_places import slid_eyes
from recon.solve.landmark_bias import landmark_residuals_px
from recon.solve.prepare import Prepared
from recon.solve.problem import Problem
from recon.solve.solution import Solution
from recon.solve.state import HeadState
from render import Camera, head_pose_from_matrix

OPENCV_FROM_FACING = np.diag([1.0, -1.0, -1.0])
"""Rotation head to camera of a head that looks straight into the camera."""


def recentred_neutral(problem: Problem, state: HeadState, views: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    """The fitted neutral (V, 3) float64 with its eye midpoint at the origin, and where that midpoint was (3,).

    Its eyes lie where the landmarks of the views have them (recon/solve/eye_places.py), its eyeballs between the lids
    (assets/eye_seats.py).
    """
    head = problem.deformable.head
    neutral = seated_eyeballs(head, slid_eyes(problem, state, problem.neutral(state), list(views)))
    middle = head.eye_centres(neutral).mean(0)
    return neutral - middle, middle


def T_world_recentred(state: HeadState, instant: int, middle: np.ndarray) -> np.ndarray:
    """(4, 4) re-centred head frame to world (camera for loose pictures) at an instant."""
    T_world_head = state.T_world_head(instant)
    T_world_head[:3, 3] += T_world_head[:3, :3] @ middle
    return T_world_head


def views_in_world(prepared: Prepared, registered: list[int]) -> list[int]:
    """The registered views whose instants have a head pose in one world: those of a rig, whose cameras are known; else none."""
    return sorted(set(prepared.calibrated) & set(registered))


def inverse_rigid(T_a_b: np.ndarray) -> np.ndarray:
    """(4, 4) T_b_a of a rigid T_a_b; the identity's is the identity to the bit."""
    T_b_a = np.eye(4)
    T_b_a[:3, :3], T_b_a[:3, 3] = T_a_b[:3, :3].T, 0.0 - T_a_b[:3, :3].T @ T_a_b[:3, 3]
    return T_b_a


def resting_instant(prepared: Prepared, state: HeadState, views: list[int]) -> int:
    """The instant whose expression is nearest to rest, among those seen by most cameras; in a mixed capture, by the rig's."""
    views = views_in_world(prepared, views) or views
    instants = [prepared.problem.views[v].instant for v in views]
    counts = {instant: instants.count(instant) for instant in set(instants)}
    candidates = sorted(instant for instant, count in counts.items() if count == max(counts.values()))
    return min(candidates, key=lambda instant: float(np.square(state.weights[instant]).sum()))


def fitted_camera(view: View, state: HeadState, prepared: Prepared, index: int, T_cam_world: np.ndarray) -> Camera:
    """The view's camera in its own pixels; a calibrated one is returned as it came."""
    if view.camera is not None:
        return view.camera
    fx, fy = state.focal_px(prepared.problem.views[index]) / prepared.pictures[index].scale
    K = np.array([[fx, 0.0, view.width / 2], [0.0, fy, view.height / 2], [0.0, 0.0, 1.0]])
    return Camera(K=K, T_cam_world=T_cam_world, width=view.width, height=view.height)


def weights_by_name(problem: Problem, state: HeadState, instant: int) -> dict[str, float]:
    """Fitted ARKit weights, brought into [0, 1]; those that round to zero are left out."""
    clipped = np.clip(state.weights[instant], 0.0, 1.0)
    return {name: float(weight) for name, weight in zip(problem.deformable.shape_names, clipped, strict=True) if weight > 1e-4}


def pose_seen_by(T_cam_head: np.ndarray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of the head as the camera sees it."""
    pose = head_pose_from_matrix(OPENCV_FROM_FACING @ T_cam_head[:3, :3])
    return pose.yaw_deg, pose.pitch_deg, pose.roll_deg


def residuals_in_views_px(prepared: Prepared, solution: Solution) -> dict[int, float]:
    """Median landmark residual of the registered views that have landmarks, in the pixels of each, after the shifts that all share."""
    found = landmark_residuals_px(solution.problem, solution.state, solution.registered)
    return {index: residual / prepared.pictures[index].scale for index, residual in found.items()}
