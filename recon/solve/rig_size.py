"""The size that a rig gives: how well it is known; and a rig of unknown unit, scaled until its head is an average one."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.capture import Capture, View
from recon.solve.conventions import scaled_pose, scaled_rig, sized_start
from recon.solve.normal_equations import cauchy_weight
from recon.solve.prepare import Prepared
from recon.solve.problem import Problem
from recon.solve.residuals import project
from recon.solve.start import empty_state
from recon.solve.state import HeadState

SIZE_CAUCHY_SHARE = 0.02
"""Cauchy scale of landmarks that tell a size, as a share of the face: what a good landmark misses by."""

RIG_SIZE_NOTE = "1 in the lengths of {} was taken as {:.4g} m at first, so that the head is as large as an average one."


def sized_by_head(capture: Capture, prepared: Prepared) -> tuple[Capture, Prepared]:
    """Capture and problem with the rig's lengths multiplied by one factor, which a note of the capture states.

    Robust weights and priors of the solve count in metres, so the rig is brought there by the landmarks triangulated in its own
    lengths. Where no instant is seen by two cameras, nothing is triangulated and all stays as it is.
    """
    problem = prepared.problem
    num_instants = 1 + max(view.instant for view in problem.views)
    scale = sized_start(problem, empty_state(problem, num_focals=len(problem.focal_sd), num_instants=num_instants)).scale
    if scale == 1.0:
        return capture, prepared
    views = tuple(scaled_view(view, 1 / scale) for view in prepared.views)
    prepared = dataclasses.replace(prepared, views=views, problem=scaled_rig(problem, 1 / scale))
    note = RIG_SIZE_NOTE.format(views[prepared.calibrated[0]].camera_file or "the cameras file", 1 / scale)
    scaled = tuple(scaled_view(view, 1 / scale) for view in capture.views)
    return dataclasses.replace(capture, views=scaled, notes=(*capture.notes, note)), prepared


def scaled_view(view: View, factor: float) -> View:
    """The view in a world whose lengths are multiplied by a factor; one without a camera as it is."""
    if view.camera is None:
        return view
    camera = dataclasses.replace(view.camera, T_cam_world=scaled_pose(np.asarray(view.camera.T_cam_world), factor))
    return dataclasses.replace(view, camera=camera)


def rig_size_sd(problem: Problem, state: HeadState, views: list[int]) -> float | None:
    """Standard deviation of the head's size over the size, as the cameras of a rig give it; None where they cannot tell.

    Each camera that detected a face sees the fitted head a little too large or too small: the standard error of the mean over these
    sizes, which are as many as there are cameras. A common error of all, such as a wrong ruler at the calibration, does not show in it.
    """
    posed = problem.posed(state)
    sizes = np.array([_seen_size(problem, state, v, posed[v]) for v in views if problem.views[v].landmarks_px is not None])
    return None if len(sizes) < 2 else float(sizes.std(ddof=1) / np.sqrt(len(sizes)))


def _seen_size(problem: Problem, state: HeadState, v: int, vertices: np.ndarray) -> float:
    """Logarithm of the size at which the fitted head's landmarks, about their centre, meet those detected in one view."""
    view = problem.views[v]
    samples, weight = problem.landmarks_of(state, view)
    points = samples.points(vertices)
    projection = project(points, state, view)
    residual = np.asarray(view.landmarks_px) - projection.px
    weight = weight * cauchy_weight(np.linalg.norm(residual, axis=1), SIZE_CAUCHY_SHARE * float(problem.face_px([v])[0]))
    weight = weight / weight.sum()
    growth = np.einsum("lij,lj->li", projection.d_point, points - weight @ points)
    growth, residual = growth - weight @ growth, residual - weight @ residual
    return float((weight @ (growth * residual)).sum() / (weight @ np.square(growth)).sum())
