"""The size that a rig gives: how well it is known; and a rig of unknown unit, scaled until its head is an average one."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.capture import Capture, View
from recon.solve.conventions import scaled_pose, scaled_rig, sized_start
from recon.solve.prepare import Prepared
from recon.solve.problem import Problem
from recon.solve.start import LEFT_OUT_SHARE, empty_state, projection_matrix, robust_similarity, triangulate
from recon.solve.state import HeadState

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

    The spread between cameras, by the jackknife (Efron, 1982): the landmarks of the best seen instant are triangulated once without
    each camera, and each time give a size for the fitted head. With two cameras there is nothing to leave out; then it is the scatter
    of the triangulated landmarks about the fitted head. A common error of all cameras, such as a wrong ruler, shows in neither.
    """
    by_instant: dict[int, list[int]] = {}
    for v in views:
        if problem.views[v].landmarks_px is not None:
            by_instant.setdefault(problem.views[v].instant, []).append(v)
    best = max(by_instant.values(), key=len, default=[])
    if len(best) < 2:
        return None
    if len(best) == 2:
        return _scatter_sd(problem, state, best)
    sizes = np.log([_size_seen_by(problem, state, [v for v in best if v != left_out])[0] for left_out in best])
    return float(np.sqrt((len(best) - 1) / len(best) * np.square(sizes - sizes.mean()).sum()))


def _size_seen_by(problem: Problem, state: HeadState, views: list[int]) -> tuple[float, np.ndarray, np.ndarray]:
    """(size over the fitted head's, distances of the triangulated landmarks (L,), radii (L,) about their centre), metres."""
    vertices, usable = problem.posed(state)[views[0]], problem.landmark_weight > 0
    fitted = problem.landmarks.points(vertices)[usable]
    projections = np.stack([projection_matrix(problem.views[v], state) for v in views])
    seen, error_px = triangulate(projections, np.stack([np.asarray(problem.views[v].landmarks_px, np.float64)[usable] for v in views]))
    trusted = error_px <= np.quantile(error_px, 1 - LEFT_OUT_SHARE)
    found = robust_similarity(fitted[trusted], seen[trusted])
    distance = np.linalg.norm(found.scale * fitted[trusted] @ found.R.T + found.t - seen[trusted], axis=1)
    return found.scale, distance, np.linalg.norm(fitted[trusted] - fitted[trusted].mean(0), axis=1)


def _scatter_sd(problem: Problem, state: HeadState, views: list[int]) -> float:
    """Of a size by least squares: the scatter of a coordinate over the root of the summed squared radii."""
    _, distance, radius = _size_seen_by(problem, state, views)
    return float(np.median(distance) / np.sqrt(3) / np.sqrt(np.square(radius).sum()))
