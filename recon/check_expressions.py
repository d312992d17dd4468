"""Which expressions the pictures of a capture show, before any dense solve: the face landmarker's scores, or a fit to the landmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from assets.errors import DegenerateGeometryError
from recon.capture import Detection, View
from recon.coverage_expressions import above_rest
from recon.face_mesh import find_task_file, run_face_mesh
from recon.solve.assemble import weights_by_name
from recon.solve.pipeline import solve
from recon.solve.prepare import Prepared
from recon.solve.solution import Solution

MAX_TELLING_YAW_DEG = 55.0
"""Expressions are read from faces up to this yaw."""

LANDMARK_SHARE = 0.55
"""About the share of a weight that a fit to landmarks alone finds: its prior pulls every weight to rest. A full smile, open jaw or
pucker gives 0.3 to 0.8 of itself on four captures of known weights, where 285 groups at rest stay below 0.18, which this makes 0.33."""

CROP_SIDE = 1.8
"""Side of the square around a face, in faces, in which the scores are read."""


def landmark_fit(prepared: Prepared) -> tuple[Solution | None, tuple[str, ...]]:
    """Poses, focal lengths and weights by landmarks alone, with notes; None, with the reason, where no picture gets a pose."""
    try:
        solution = solve(prepared, "fast", use_dense=False, free_form=False)
    except DegenerateGeometryError as error:
        return None, (f"head poses are unknown: {error.got}; {error.do}",)
    return solution, solution.notes


def expressions_of(
    detections: Mapping[str, Detection],
    prepared: Prepared,
    solution: Solution | None,
    yaws_deg: Mapping[str, float],
    read: Callable[[View], np.ndarray | None],
) -> tuple[dict[str, dict[str, float]], str]:
    """ARKit weights by picture above those common to all, and where they come from: "scores of the face landmarker" where its file is
    installed, else "landmarks alone", which are scaled for what the fit's prior keeps back (LANDMARK_SHARE), to 1 at most.

    `yaws_deg` by picture, nan where unknown; `read` gives (H, W, 3) uint8 RGB, None where a picture cannot be read. Without a
    solution landmarks alone tell nothing.
    """
    task = find_task_file()
    if task is not None:
        seen = [view for view in prepared.views if view.name in detections]
        scores = {view.name: _scores(read(view), detections[view.name], task) for view in seen}
        return _above_rest({name: found for name, found in scores.items() if found}, yaws_deg), "scores of the face landmarker"
    if solution is None:
        return {}, "landmarks alone"
    fitted = {
        prepared.views[v].name: weights_by_name(solution.problem, solution.state, solution.problem.views[v].instant)
        for v in solution.registered
    }
    found = _above_rest(fitted, yaws_deg)
    scaled = {name: {shape: min(1.0, value / LANDMARK_SHARE) for shape, value in weights.items()} for name, weights in found.items()}
    return scaled, "landmarks alone"


def _above_rest(weights: Mapping[str, dict[str, float]], yaws_deg: Mapping[str, float]) -> dict[str, dict[str, float]]:
    yaws = [yaws_deg[name] for name in weights]
    rested = above_rest(list(weights.values()), yaws)
    # Of a face seen from further aside half is guessed, and what is guessed frowns.
    told = [{} if abs(yaw) > MAX_TELLING_YAW_DEG else found for yaw, found in zip(yaws, rested, strict=True)]
    return dict(zip(weights, told, strict=True))


def _scores(image: np.ndarray | None, detection: Detection, task: Path) -> dict[str, float]:
    if image is None:
        return {}
    x0, y0, x1, y1 = detection.box_px
    side, height, width = CROP_SIDE / 2 * max(x1 - x0, y1 - y0), image.shape[0], image.shape[1]
    centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
    rows = slice(max(int(centre_y - side), 0), min(int(centre_y + side) + 1, height))
    columns = slice(max(int(centre_x - side), 0), min(int(centre_x + side) + 1, width))
    faces = run_face_mesh(np.ascontiguousarray(image[rows, columns]), task=task, min_confidence=0.3)
    return {name: value for name, value in (faces[0].blendshape_scores or {}).items() if name != "_neutral"} if faces else {}
