"""Can the cameras of a rig be true? The first head pose under the extrinsics as given, and under the usual mistakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from assets.errors import ConventionError
from recon.solve.bundle import landmark_residual_px
from recon.solve.problem import Problem
from recon.solve.start import Start, start_rig
from recon.solve.state import HeadState

# The average head, placed in true cameras, misses a person's landmarks by this share of the face at most (two percent are usual).
MAX_SHARE_OF_FACE = 0.05
# A mistake is named only where undoing it brings the residual down to this share.
CONVINCING_SHARE = 1 / 3

_FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Mistake:
    """Another convention that the extrinsics may be in."""

    words: str
    """Completes "3.1 px if ..."."""
    do: str
    undo: Callable[[np.ndarray], np.ndarray]
    """(4, 4) as given to (4, 4) world to OpenCV camera."""


MISTAKES: tuple[Mistake, ...] = (
    Mistake("the extrinsics are inverted", "invert them in cameras.json (they map the camera to the world)", np.linalg.inv),
    Mistake(
        "the camera axes are OpenGL's", "negate the second and third row of each matrix in cameras.json", lambda given: _FLIP_YZ @ given
    ),
    Mistake(
        "the extrinsics are inverted and the camera axes are OpenGL's",
        "invert each matrix in cameras.json, then negate its second and third row",
        lambda given: _FLIP_YZ @ np.linalg.inv(given),
    ),
)


def check_rig(problem: Problem, before: HeadState, started: Start, scales: Sequence[float]) -> None:
    """Refuse a rig whose cameras cannot all have seen one head.

    Args:
        before, started: the state that `start_rig` was given, and what it returned.
        scales: per view, working pixels per pixel of the picture, so that the figures are the picture's.

    Raises ConventionError with the reprojection as given and, where one of the usual mistakes explains it, as it would be
    without. Rigs in which no instant is seen by two cameras are not judged: any extrinsics fit them.
    """
    judged = _judged(problem)
    if not judged:
        return
    share, px = _misfit(problem, started, judged, scales)
    if share <= MAX_SHARE_OF_FACE:
        return
    found = [_misfit(undone, start_rig(undone, before), judged, scales) for undone in (_with_undone(problem, m.undo) for m in MISTAKES)]
    best = int(np.argmin([other for other, _ in found]))
    explained = found[best][0] < min(MAX_SHARE_OF_FACE, CONVINCING_SHARE * share)
    got = f"reprojection {px:.0f} px{'' if np.isfinite(share) else ', with the head behind the cameras'}"
    raise ConventionError(
        expected="cameras that map the world to OpenCV camera axes (T_cam_world, world_to_camera: +X right, +Y down, +Z forward)",
        got=f"{got}; {found[best][1]:.1f} px if {MISTAKES[best].words}"
        if explained
        else f"{got}; no usual mistake in the axes explains it",
        do=MISTAKES[best].do
        if explained
        else "check that each camera in cameras.json belongs to its picture, and that pictures of one instant show the head unmoved",
    )


def _with_undone(problem: Problem, undo: Callable[[np.ndarray], np.ndarray]) -> Problem:
    views = tuple(dataclasses.replace(view, T_cam_world=undo(view.T_cam_world)) for view in problem.views)
    return dataclasses.replace(problem, views=views)


def _judged(problem: Problem) -> list[int]:
    """Views with landmarks whose instant another such view shows too."""
    detected = [v for v, view in enumerate(problem.views) if view.landmarks_px is not None]
    instants = [problem.views[v].instant for v in detected]
    return [v for v, instant in zip(detected, instants, strict=True) if instants.count(instant) > 1]


def _misfit(problem: Problem, started: Start, judged: list[int], scales: Sequence[float]) -> tuple[float, float]:
    """Median of the judged views' landmark residuals, as share of the face and in pixels of the picture.

    As a share, a view with the head behind it counts as infinitely far off.
    """
    residual = np.nan_to_num([landmark_residual_px(problem, started.state, v) for v in judged], nan=np.inf)
    share = np.where([v in started.unposed for v in judged], np.inf, residual / problem.face_px(judged))
    return float(np.median(share)), float(np.median(residual / np.asarray(scales)[judged]))
