"""The order of a fit: landmarks, rejection, flow, strangers, missed profiles, sweep, scalp and neck, free-form, corrections."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Literal

import numpy as np

from assets.counting import how_many
from assets.errors import DegenerateGeometryError
from recon.solve.bundle import (
    Progress,
    StrideSamples,
    find_matches,
    landmark_residual_px,
    run_dense_stage,
    solve_landmarks,
    view_span_deg,
)
from recon.solve.chart import make_chart
from recon.solve.checkpoints import Checkpoints, step
from recon.solve.conventions import check_rig
from recon.solve.corrections import finish
from recon.solve.missed import missed_views, register_missed
from recon.solve.prepare import Prepared
from recon.solve.problem import Problem
from recon.solve.refine import (
    FAST_MODE_LEVELS,
    FAST_OFFSET_LEVELS,
    MODE_LEVELS,
    OFFSET_LEVELS,
    refine_free_form,
    refine_modes,
    swept_views,
)
from recon.solve.rejection import BAD_CAPTURE_SHARE, misfitting_views
from recon.solve.solution import Solution
from recon.solve.stages import (
    FAST,
    FAST_SURROUND,
    FULL,
    LANDMARKS,
    MIDDLE,
    MIN_DEPTH_SPAN_DEG,
    RIG,
    SURROUND,
    DenseStage,
    SurroundStage,
    tempered,
)
from recon.solve.start import Start, empty_state, start_loose, start_rig
from recon.solve.state import HeadState
from recon.solve.strangers import find_strangers
from recon.solve.surround import fit_surround
from recon.solve.sweep import SweepLevel
from recon.solve.unlike_skin import map_skin

NARROW_SPAN_NOTE = (
    "The pictures show the head from directions only {:.0f} degrees apart, so its depth is mostly the average head's. Add profiles."
)
BAD_FIT_NOTE = (
    "The head misses the detected faces by {:.0f} % of their size in half of the pictures or more: this head is not to be trusted. "
    "Is what was detected in the pictures one person's face?"
)
# Rounds of fitting to landmarks and leaving out what does not fit.
MAX_REJECTION_ROUNDS = 3


def solve(
    prepared: Prepared,
    preset: Literal["full", "fast"],
    use_dense: bool,
    free_form: bool,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
) -> Solution:
    """Run all stages on a prepared capture; with `checkpoints`, those that an interrupted run has finished are read instead."""
    solution = step(checkpoints, "landmarks", lambda: _landmarks_only(prepared, progress))
    if not use_dense or len(solution.registered) < 2:
        return solution
    # The sweep settles a rig's shape; the cameras of loose pictures beside it still need the finer flow.
    is_swept = len(prepared.calibrated) == len(prepared.views) and bool(swept_views(solution, prepared))
    stages = RIG if is_swept else FULL if preset == "full" else FAST
    for number, stage in enumerate(stages):
        solution = step(checkpoints, stage.name, partial(_dense, solution, prepared, stage, progress))
        if number == 0:
            solution = step(checkpoints, "strangers", partial(_without_strangers, solution, prepared, stage, progress))
        # What a coarse mesh cannot place, a finer one may.
        if number <= 1 and missed_views(solution, prepared):
            after = stages[min(number + 1, len(stages) - 1)]
            solution = step(checkpoints, f"register after {stage.name}", partial(register_missed, solution, prepared, after, progress))
    if is_swept and preset == "full" and not swept_views(solution, prepared):
        # Cameras were left out since, and too few remain for the sweep.
        solution = step(checkpoints, FULL[-1].name, partial(_dense, solution, prepared, FULL[-1], progress))
    span_deg = view_span_deg(solution.problem, solution.state, solution.registered)
    if span_deg < MIN_DEPTH_SPAN_DEG:
        return dataclasses.replace(solution, notes=(*solution.notes, NARROW_SPAN_NOTE.format(span_deg)))
    modes, offsets = (MODE_LEVELS, OFFSET_LEVELS) if preset == "full" else (FAST_MODE_LEVELS, FAST_OFFSET_LEVELS)
    solution = step(checkpoints, "sweep", partial(refine_modes, solution, prepared, progress, levels=modes))
    if not free_form:
        return solution
    around = SURROUND if preset == "full" else FAST_SURROUND
    solution = step(checkpoints, "surround", partial(_surround, solution, prepared, around, progress))
    solution = step(checkpoints, "free-form", partial(_free_form, solution, prepared, tempered(stages[-1], span_deg), offsets, progress))
    return step(checkpoints, "expressions", partial(finish, solution, prepared, progress, correct=preset == "full"))


def _landmarks_only(prepared: Prepared, progress: Progress | None) -> Solution:
    problem = prepared.problem
    started = _start(prepared)
    state, rejected = started.state, dict(started.unposed)
    views = [v for v in prepared.detected if v not in rejected]
    # A view that is far off bends the shape that all the others are judged by, so the fit is repeated without it.
    for _ in range(MAX_REJECTION_ROUNDS):
        state = _solve_landmark_stages(problem, state, views)
        bad = _misfits(prepared, state, views)
        rejected |= bad
        views = [v for v in views if v not in bad]
        if not bad:
            break
    else:
        state = _solve_landmark_stages(problem, state, views)
    residual = np.array([landmark_residual_px(problem, state, v) for v in views])
    share = float(np.median(residual / problem.face_px(views)))
    notes = (BAD_FIT_NOTE.format(100 * share),) if share > BAD_CAPTURE_SHARE else ()
    if progress is not None:
        unposed = f", {len(started.unposed)} without a pose" if started.unposed else ""
        progress(f"landmarks: {len(views)} views{unposed}, {np.median(residual):.1f} px", 1, 1)
    return Solution(state, _without_landmarks(problem, set(rejected)), views, rejected, (), notes)


def _start(prepared: Prepared) -> Start:
    """First poses; a rig is refused where its cameras cannot be true, any capture where no view gets a pose."""
    problem = prepared.problem
    num_instants = 1 + max(view.instant for view in problem.views)
    state = empty_state(problem, num_focals=len(problem.focal_sd), num_instants=num_instants)
    started = start_rig(problem, state) if prepared.is_rig else start_loose(problem, state)
    if prepared.is_rig:
        check_rig(prepared, state)
    if len(started.unposed) == len(prepared.detected):
        raise DegenerateGeometryError(
            expected="at least one picture whose face a head in front of its camera explains",
            got=f"{len(started.unposed)} pictures with a face, none of them so",
            do="check the focal lengths of the cameras, and that what was detected in the pictures is a face",
        )
    return started


def _solve_landmark_stages(problem: Problem, state: HeadState, views: list[int]) -> HeadState:
    for stage in LANDMARKS:
        state = solve_landmarks(problem, state, stage, views)
    return state


def _without_landmarks(problem: Problem, views: set[int]) -> Problem:
    """Forget the landmarks of misfitting views: a wrong detection may still be registered like a picture without one."""
    kept = (dataclasses.replace(view, landmarks_px=None) if v in views else view for v, view in enumerate(problem.views))
    return dataclasses.replace(problem, views=tuple(kept))


def _misfits(prepared: Prepared, state: HeadState, views: list[int]) -> dict[int, str]:
    residual = np.array([landmark_residual_px(prepared.problem, state, v) for v in views])
    bad = misfitting_views(residual, prepared.problem.face_px(views))
    scales = [prepared.pictures[v].scale for v in views]
    return {v: f"rejected: reprojection {residual[k] / scales[k]:.0f} px" for k, v in enumerate(views) if bad[k]}


def _dense(solution: Solution, prepared: Prepared, stage: DenseStage, progress: Progress | None) -> Solution:
    chart = make_chart(solution.problem.deformable.head, stage.texel_mm)
    stage = tempered(stage, view_span_deg(solution.problem, solution.state, solution.registered))
    views, pictures = solution.registered, prepared.pictures
    state, report = run_dense_stage(solution.problem, solution.state, chart, stage, pictures, views, progress, solution.skin)
    # By now the mesh lies on the face to a few pixels, so its colours tell skin from what is not; later stages heed that.
    skin = solution.skin or map_skin(solution.problem, state, pictures, views)
    return dataclasses.replace(
        solution, problem=skin.heeded_by(solution.problem), state=state, reports=(*solution.reports, report), skin=skin
    )


def _surround(solution: Solution, prepared: Prepared, stage: SurroundStage, progress: Progress | None) -> Solution:
    """Scalp and neck from matches and silhouettes, the face held."""
    pictures, views = prepared.pictures, solution.registered
    skin = map_skin(solution.problem, solution.state, pictures, views, before=solution.skin)
    problem = fit_surround(solution.problem, solution.state, pictures, views, skin, stage, progress)
    return dataclasses.replace(solution, problem=problem, skin=skin)


def _without_strangers(solution: Solution, prepared: Prepared, coarse: DenseStage, progress: Progress | None) -> Solution:
    """Leave out views of another person, and solve the stage again where there were any, since they have bent the shape."""
    found = find_strangers(
        solution.problem,
        solution.state,
        prepared.pictures,
        solution.registered,
        set(prepared.calibrated),
        screening=coarse,
        stage=MIDDLE,
    )
    if progress is not None:
        others = f"another person in {how_many(len(found.strangers), 'picture')}"
        progress(others if found.strangers else "one person in all pictures", 1, 1)
    solution = dataclasses.replace(solution, notes=(*solution.notes, *([found.note] if found.note else [])))
    if not found.strangers:
        return solution
    solution = dataclasses.replace(
        solution,
        problem=_without_landmarks(solution.problem, set(found.strangers)),
        registered=[v for v in solution.registered if v not in found.strangers],
        rejected={**solution.rejected, **found.strangers},
        strangers=frozenset(found.strangers),
    )
    return _dense(solution, prepared, coarse, progress)


def _free_form(
    solution: Solution, prepared: Prepared, stage: DenseStage, levels: tuple[SweepLevel, ...], progress: Progress | None
) -> Solution:
    """What is skin, by the matches of the present mesh, then offsets from what was measured on it."""
    problem, state, views = solution.problem, solution.state, solution.registered
    chart = make_chart(problem.deformable.head, stage.texel_mm)
    matches = find_matches(problem, state, chart, StrideSamples(problem, chart, stage.stride), stage, prepared.pictures, views)
    if not matches:
        return solution
    skin = map_skin(problem, state, prepared.pictures, views, matches, before=solution.skin)
    solution = dataclasses.replace(solution, skin=skin)
    return refine_free_form(solution, prepared, stage, matches, progress, levels=levels)
