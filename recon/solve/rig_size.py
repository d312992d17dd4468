"""A rig of unknown unit is solved as a rig all the same: scaled until its head is an average one, and relative from there on."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.capture import Capture, View
from recon.solve.conventions import scaled_pose, scaled_rig, sized_start
from recon.solve.prepare import Prepared
from recon.solve.start import empty_state

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
    note = RIG_SIZE_NOTE.format(views[0].camera_file or "the cameras file", 1 / scale)
    scaled = tuple(scaled_view(view, 1 / scale) for view in capture.views)
    return dataclasses.replace(capture, views=scaled, notes=(*capture.notes, note)), prepared


def scaled_view(view: View, factor: float) -> View:
    """The view in a world whose lengths are multiplied by a factor; one without a camera as it is."""
    if view.camera is None:
        return view
    camera = dataclasses.replace(view.camera, T_cam_world=scaled_pose(np.asarray(view.camera.T_cam_world), factor))
    return dataclasses.replace(view, camera=camera)
