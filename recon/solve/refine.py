"""The last millimetre: sweeps of a rig's calm views solved for the modes of the head, then free-form offsets, of rigs and photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recon.solve.bundle import Progress, StrideSamples, find_matches, solve_matches
from recon.solve.chart import make_chart
from recon.solve.freeform import FreeFormStage, solve_offsets
from recon.solve.height_modes import solve_modes
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem
from recon.solve.smoothness import choose_width_m
from recon.solve.stages import DenseStage
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows, match_surface_rows
from recon.solve.sweep import HELD_OUT_EVERY, SweepLevel
from recon.solve.swept import calmest_views, sweep_calm

if TYPE_CHECKING:
    from recon.solve.prepare import Prepared
    from recon.solve.solution import Solution

MODE_LEVELS = (SweepLevel(1.1, 1.0, 9, 4.0, 17), SweepLevel(1.1, 1.0, 9, 3.0, 17), SweepLevel(0.56, 0.35, 15, 2.0, 17))
"""For the modes: what flow leaves is at most about 3 mm, and within 2 mm the finer texels find the height."""
OFFSET_LEVELS = (SweepLevel(1.1, 1.0, 9, 3.0, 17), SweepLevel(0.56, 0.35, 9, 1.5, 17))
"""For the offsets: small patches, since what no basis spans is small, and the smoothness is chosen for the noise that they bring."""
PATCHES_A_WIDTH = 4.0
"""A patch of the sweep has one height: dents whose width is less than this part of it are its noise."""
FAST_MODE_LEVELS, FAST_OFFSET_LEVELS = MODE_LEVELS[::2], (SweepLevel(0.56, 0.35, 9, 2.0, 17),)


def refine_modes(
    solution: Solution, prepared: Prepared, progress: Progress | None = None, *, levels: Sequence[SweepLevel] = MODE_LEVELS
) -> Solution:
    """Sweep the calmest instant of a rig and bring the modes of the head to the heights found; other captures stay as they are.

    Loose pictures are left to flow: their poses and focal lengths are a third of a degree and half a percent off, which shifts the
    height of the best correlation by more than matches, whose cameras are solved with them, are off.
    """
    problem, state = solution.problem, solution.state
    swept_at = swept_views(solution, prepared)
    for done, level in enumerate(levels if swept_at else ()):
        stride = 2 if level.texel_mm > 1 else 3
        chart = make_chart(problem.deformable.head, level.texel_mm)
        swept = sweep_calm(problem, state, prepared.pictures, swept_at, chart, level, solution.skin)
        present, before = problem.posed(state)[swept_at[0]], problem.posed(solution.state)[swept_at[0]]
        before = _in_head_of(state, solution.state, problem.views[swept_at[0]].instant, before)
        state = solve_modes(problem, state, swept, stride=stride, silent=swept.silent_rows(before, present, 2 * stride))
        if progress is not None:
            progress(f"sweep: {100 * swept.found.heights.known.mean():.0f} % of the skin, {swept.median_mm:.2f} mm", done + 1, len(levels))
    return dataclasses.replace(solution, state=state)


def _in_head_of(state: HeadState, other: HeadState, instant: int, points: np.ndarray) -> np.ndarray:
    """Points (V, 3) of another state's head frame at an instant in this state's."""
    T_head_other = np.linalg.inv(state.T_world_head(instant)) @ other.T_world_head(instant)
    return points @ T_head_other[:3, :3].T + T_head_other[:3, 3]


def refine_free_form(
    solution: Solution,
    prepared: Prepared,
    stage: DenseStage,
    first: list[Matches],
    progress: Progress | None = None,
    *,
    levels: Sequence[SweepLevel] = OFFSET_LEVELS,
) -> Solution:
    """Offsets once a level, as smooth as left-out pairs of views ask for, with poses and expressions settling in between.

    By heights of the sweep where a rig allows it, else by matches; `first` are the present mesh's.
    """
    swept_at = swept_views(solution, prepared)
    problem, state, views, pictures = solution.problem, solution.state, solution.registered, prepared.pictures
    head = problem.deformable.head
    # The sweep has its views' pose right already; the other instants settle once on the head that it found.
    chart, settled = make_chart(head, stage.texel_mm), [v for v in views if v not in swept_at]
    grid = StrideSamples(problem, chart, stage.stride)
    hold_shape = dataclasses.replace(stage, free=frozenset({"pose", "expression"}))
    width: float | None = None

    def match_again(problem: Problem, state: HeadState) -> list[Matches]:
        return _trusted(find_matches(problem, state, chart, grid, stage, pictures, views), solution, pictures)

    for done, level in enumerate(levels):
        matches: list[Matches] = []
        if swept_at:
            swept = sweep_calm(problem, state, pictures, swept_at, make_chart(head, level.texel_mm), level, solution.skin)
            parts = [[swept.rows(heights, 2)] for heights in (swept.found.heights, swept.found.kept, swept.found.held_out)]
        else:
            matches = _trusted(first, solution, pictures) if done == 0 else match_again(problem, state)
            parts = [_match_rows(problem, state, chosen, stage) for chosen in (matches, *split_pairs(matches))]
        if swept_at or done == 0:
            finest_m = level.patch_m / PATCHES_A_WIDTH if swept_at else 0.0
            width = choose_width_m(head, parts[1], parts[2], problem.deformable.offsets, finest_m=finest_m)
        if width is not None:
            offsets = solve_offsets(head, parts[0], problem.deformable.offsets, FreeFormStage(width_m=width))
            problem = dataclasses.replace(problem, deformable=problem.deformable.with_offsets(offsets))
        elif not swept_at:
            # Without offsets nothing has moved, so there is nothing to match or settle again.
            if progress is not None:
                progress(f"free-form: {_bend(width, problem)}", len(levels), len(levels))
            return solution
        if swept_at and settled and done == len(levels) - 1:
            # The offsets of a swept head are a fraction of a texel, over which the matches of the head before them hold.
            matches = _trusted(first, solution, pictures)
        if matches and settled:
            state, _ = solve_matches(problem, state, hold_shape, matches, views, settled)
        if progress is not None:
            progress(f"free-form: {_bend(width, problem)}", done + 1, len(levels))
    return dataclasses.replace(solution, problem=problem, state=state)


def _bend(width: float | None, problem: Problem) -> str:
    if width is None:
        return "none needed"
    return f"up to {1e3 * np.linalg.norm(problem.deformable.offsets, axis=1).max():.1f} mm, bending over {1e3 * width:.1f} mm"


def split_pairs(matches: Sequence[Matches]) -> tuple[list[Matches], list[Matches]]:
    """Two thirds of the pairs of views, and every third one."""
    held_out = [m for number, m in enumerate(matches) if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    return [m for m in matches if m not in held_out], held_out


def _match_rows(problem: Problem, state: HeadState, matches: list[Matches], stage: DenseStage) -> list[SurfaceRows]:
    if not matches:
        return []
    return [match_surface_rows(problem, state, matches, noise_px=stage.robust_px, robust_px=stage.robust_px)]


def _trusted(matches: list[Matches], solution: Solution, pictures: Sequence[WorkingPicture]) -> list[Matches]:
    return matches if solution.skin is None else solution.skin.trusted(matches, pictures)


def swept_views(solution: Solution, prepared: Prepared) -> list[int]:
    """The views to sweep; none for loose pictures and for instants of few cameras, which are refined by matches."""
    return calmest_views(solution.problem, solution.state, solution.registered) if prepared.is_rig else []
