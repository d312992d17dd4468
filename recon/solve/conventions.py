"""The camera doctor: can the cameras of a rig be true, and if not, which usual mistake explains it?

Extrinsics and principal points show in the first head pose, by reprojection under the cameras as read and under each mistake undone.
A wrong unit cannot show there, since a rig of any size sees a head of any size alike: it shows in the distance between the pupils.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from assets.errors import ConventionError
from recon.capture import View
from recon.rig import CameraAxes, reread
from recon.rig.records import METRES
from recon.rig.turned import quarter_turn
from recon.solve.bundle import landmark_residual_px
from recon.solve.prepare import Prepared
from recon.solve.problem import Problem
from recon.solve.start import Start, start_rig
from recon.solve.state import HeadState, SolveView

# The average head, placed in true cameras, misses a person's landmarks by this share of the face at most (two percent are usual).
MAX_SHARE_OF_FACE = 0.05
# A mistake is named only where undoing it brings the residual down to this share.
CONVINCING_SHARE = 1 / 3

# Adults have 50 to 78 mm between the pupils (Dodgson, 2004), children of five 40 and more. The first pose knows it to a few percent.
PUPILS_MM = (50.0, 78.0)
PLAUSIBLE_PUPILS_MM = (38.0, 90.0)

# Rescaling a rig until the head is about as large as a head: the triangulation's robust weights count in metres.
_SIMILAR_SIZE = (0.5, 2.0)
_MAX_RESCALINGS = 4

Undo = Callable[[View, SolveView], SolveView]


@dataclasses.dataclass(frozen=True)
class Mistake:
    """Another convention that the cameras file may be in."""

    words: str
    """Completes "3.1 px if ..."."""
    do: str
    undo: Undo
    """A view as the solver has it, to what it would be without the mistake."""


@dataclasses.dataclass(frozen=True, eq=False)
class SizedStart:
    """The first pose in a rig that was made so large or small that its head has about the average's size."""

    problem: Problem
    started: Start
    scale: float
    """Size of the head in the rig's lengths as they came, over the average head's in metres."""


def sized_start(problem: Problem, before: HeadState) -> SizedStart:
    """The first pose of `start_rig` from the state `before`, whatever the rig's unit is."""
    factor = 1.0
    for _ in range(_MAX_RESCALINGS):
        started = start_rig(problem, before)
        scale = float(np.exp(started.state.log_scale))
        if _SIMILAR_SIZE[0] <= scale <= _SIMILAR_SIZE[1]:
            return SizedStart(problem, started, scale / factor)
        problem, factor = scaled_rig(problem, 1 / scale), factor / scale
    started = start_rig(problem, before)
    return SizedStart(problem, started, float(np.exp(started.state.log_scale)) / factor)


def scaled_rig(problem: Problem, factor: float) -> Problem:
    """The problem with all camera positions times a factor."""
    views = tuple(dataclasses.replace(view, T_cam_world=scaled_pose(view.T_cam_world, factor)) for view in problem.views)
    return dataclasses.replace(problem, views=views)


def scaled_pose(T_cam_world: np.ndarray, factor: float) -> np.ndarray:
    """(4, 4) of a world whose lengths are multiplied by a factor."""
    scaled = T_cam_world.copy()
    scaled[:3, 3] *= factor
    return scaled


def check_rig(prepared: Prepared, before: HeadState) -> None:
    """Refuse a rig whose cameras cannot all have seen one head, or not one of a person's size.

    `before` is the state from which the first poses start. Raises ConventionError with the reprojection as read and, where one of the
    usual mistakes explains it, as it would be without; or with the distance between the pupils as read, and in the unit that makes it
    a person's. Rigs in which no instant is seen by two cameras are not judged: any extrinsics fit them.
    """
    judged = _judged(prepared.problem)
    if not judged:
        return
    start = sized_start(prepared.problem, before)
    share, px = _misfit(prepared, start, judged)
    if share > MAX_SHARE_OF_FACE:
        raise _misread(prepared, before, judged, share, px)
    _check_size(prepared, start.scale)


def usual_mistakes(view: View) -> tuple[Mistake, ...]:
    """What can be wrong with a file whose cameras were read as this view's were."""
    file = view.camera_file or "the cameras file"
    other_axes: CameraAxes = "opengl" if view.camera_axes == "opencv" else "opencv"
    name = {"opengl": "OpenGL", "opencv": "OpenCV"}[other_axes]
    flip = "leave out --cameras-invert" if view.camera_inverted else "use --cameras-invert"
    turn = f"use --cameras-axes {other_axes}"
    return (
        Mistake("the extrinsics are inverted", flip, _reading(view.camera_axes, other_direction=True)),
        Mistake(f"the camera axes are {name}'s", turn, _reading(other_axes, other_direction=False)),
        Mistake(
            f"the extrinsics are inverted and the camera axes are {name}'s",
            f"{flip} and {turn if view.camera_inverted else turn.removeprefix('use ')}",
            _reading(other_axes, other_direction=True),
        ),
        Mistake(
            "the principal point is the middle of the picture",
            f"correct cx and cy in {file}: they count from the picture's top left corner, in pixels of this picture; its middle will do",
            lambda view, solved: _with_centre(view, solved, np.array([view.width, view.height]) / 2),
        ),
        Mistake(
            "cx and cy are exchanged",
            f"exchange cx and cy in {file}: width and height were swapped when it was written",
            lambda view, solved: _with_centre(view, solved, _principal_point(view)[::-1]),
        ),
    )


def _misread(prepared: Prepared, before: HeadState, judged: list[int], share: float, px: float) -> ConventionError:
    mistakes = usual_mistakes(prepared.views[judged[0]])
    found = []
    for mistake in mistakes:
        found.append(_misfit(prepared, sized_start(_with_undone(prepared, mistake.undo), before), judged))
    best = int(np.argmin([other for other, _ in found]))
    explained = found[best][0] < min(MAX_SHARE_OF_FACE, CONVINCING_SHARE * share)
    got = f"reprojection {px:.0f} px{'' if np.isfinite(share) else ', with the head behind the cameras'}"
    file = prepared.views[judged[0]].camera_file or "the cameras file"
    return ConventionError(
        expected="cameras that map the world to OpenCV camera axes (T_cam_world, world_to_camera: +X right, +Y down, +Z forward)",
        got=f"{got}; {found[best][1]:.1f} px if {mistakes[best].words}" if explained else f"{got}; no usual mistake explains it",
        do=mistakes[best].do
        if explained
        else f"check that each camera in {file} belongs to its picture, and that pictures of one instant show the head unmoved",
    )


def _check_size(prepared: Prepared, scale: float) -> None:
    """Raises ConventionError where the head of a rig of known unit, `scale` times the average head, has the size of no person."""
    first = prepared.views[prepared.calibrated[0]]
    left, right = prepared.problem.deformable.head.eye_centres()
    pupils_mm = 1e3 * scale * float(np.linalg.norm(left - right))
    unit = first.camera_unit
    if not unit or PLAUSIBLE_PUPILS_MM[0] <= pupils_mm <= PLAUSIBLE_PUPILS_MM[1]:
        return
    low, high = PUPILS_MM
    file = first.camera_file or "the cameras file"
    others = {other: pupils_mm * metres / METRES[unit] for other, metres in METRES.items() if other != unit}
    true_unit = next((other for other, mm in others.items() if low <= mm <= high), None)
    digits = np.format_float_positional(pupils_mm, precision=3, fractional=False, trim="-")
    got = f"{digits} mm between the pupils with the lengths of {file} in {unit}"
    raise ConventionError(
        expected=f"cameras whose size gives a head with {low:g} to {high:g} mm between the pupils",
        got=f"{got}; {others[true_unit]:.1f} mm if they are in {true_unit}" if true_unit else f"{got}; no usual unit explains it",
        do=f"use --cameras-unit {true_unit}"
        if true_unit
        else "correct the scale, or use --cameras-unit unknown for a head of relative size",
    )


def _reading(axes: CameraAxes, *, other_direction: bool) -> Undo:
    def undo(view: View, solved: SolveView) -> SolveView:
        is_inverted = view.camera_inverted != other_direction
        T_turned_file = quarter_turn(view.camera_turns)
        as_read = T_turned_file.T @ solved.T_cam_world
        T_cam_world = T_turned_file @ reread(as_read, view.camera_axes, view.camera_inverted, axes, is_inverted)
        return dataclasses.replace(solved, T_cam_world=T_cam_world)

    return undo


def _principal_point(view: View) -> np.ndarray:
    return np.array([view.width / 2, view.height / 2]) if view.camera is None else view.camera.K[:2, 2]


def _with_centre(view: View, solved: SolveView, centre_px: np.ndarray) -> SolveView:
    """The solver's view with another principal point (2,) given in pixels of the picture, which the working picture crops and scales."""
    scale = solved.focal_px[0] / view.camera.K[0, 0] if view.camera is not None else 1.0
    return dataclasses.replace(solved, centre_px=solved.centre_px + scale * (centre_px - _principal_point(view)))


def _with_undone(prepared: Prepared, undo: Undo) -> Problem:
    pairs = zip(prepared.views, prepared.problem.views, strict=True)
    # Loose pictures beside a rig have no camera of which anything could be misread.
    views = tuple(solved if view.camera is None else undo(view, solved) for view, solved in pairs)
    return dataclasses.replace(prepared.problem, views=views)


def _judged(problem: Problem) -> list[int]:
    """Views with landmarks whose instant another such view shows too."""
    detected = [v for v, view in enumerate(problem.views) if view.landmarks_px is not None]
    instants = [problem.views[v].instant for v in detected]
    return [v for v, instant in zip(detected, instants, strict=True) if instants.count(instant) > 1]


def _misfit(prepared: Prepared, start: SizedStart, judged: list[int]) -> tuple[float, float]:
    """Median of the judged views' landmark residuals, as share of the face and in pixels of the picture.

    As a share, a view with the head behind it counts as infinitely far off.
    """
    scales = np.array([prepared.pictures[v].scale for v in judged])
    residual = np.nan_to_num([landmark_residual_px(start.problem, start.started.state, v) for v in judged], nan=np.inf)
    share = np.where([v in start.started.unposed for v in judged], np.inf, residual / start.problem.face_px(judged))
    return float(np.median(share)), float(np.median(residual / scales))
