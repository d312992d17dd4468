"""Place the pictures in which no face was detected (profiles): a first pose from image features, kept where dense flow confirms it."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.bundle import Progress, StrideSamples, find_matches, solve_matches
from recon.solve.chart import FaceChart, make_chart
from recon.solve.prepare import Prepared
from recon.solve.register import LiftedFeatures, find_features, lift_features, register
from recon.solve.solution import Solution
from recon.solve.stages import DenseStage
from recon.solve.state import HeadState

TOO_FEW_FEATURES = "rejected: no face detected, and too few features agree with the other views"
# A picture without landmarks is kept when flow matches this many points and this share of the skin that it has in common with its
# neighbours (unrelated patterns reach about 0.2), and the matches end this close to the mesh.
MIN_CONFIRMING_MATCHES, MIN_CONFIRMING_SHARE = 300, 0.35
MAX_CONFIRMED_RESIDUAL_PX = 2.5


def missed_views(solution: Solution, prepared: Prepared) -> list[int]:
    """Views of this person, as far as is known, that have no pose yet."""
    return [v for v in range(len(prepared.views)) if v not in solution.registered and v not in solution.strangers]


def register_missed(solution: Solution, prepared: Prepared, stage: DenseStage, progress: Progress | None) -> Solution:
    """Pose the views without landmarks one after the other and keep those that dense flow confirms."""
    missing = missed_views(solution, prepared)
    lifted: dict[int, LiftedFeatures] = {}
    chart = make_chart(solution.problem.deformable.head, stage.texel_mm)
    grid = StrideSamples(solution.problem, chart, stage.stride)
    for done, v in enumerate(missing):
        posed = _first_pose(solution, prepared, v, lifted)
        reason = TOO_FEW_FEATURES if posed is None else ""
        if posed is not None:
            posed, reason = _confirm(posed, solution, prepared, chart, grid, stage, v)
        if posed is None:
            # A figure from the landmarks says more than that nothing matched, so it stays.
            solution = dataclasses.replace(solution, rejected={v: reason, **solution.rejected})
        else:
            rejected = {u: why for u, why in solution.rejected.items() if u != v}
            solution = dataclasses.replace(solution, state=posed, registered=sorted([*solution.registered, v]), rejected=rejected)
        if progress is not None:
            progress("register pictures without a detected face", done + 1, len(missing))
    return solution


def _first_pose(solution: Solution, prepared: Prepared, v: int, lifted: dict[int, LiftedFeatures]) -> HeadState | None:
    """A state in which view v has a pose: known already where its instant is seen by another calibrated camera, else from features."""
    views, state = solution.problem.views, solution.state
    if views[v].instant in {views[u].instant for u in solution.registered}:
        return state
    for u in solution.registered:
        if u not in lifted:
            lifted[u] = lift_features(solution.problem, state, u, find_features(prepared.pictures[u]))
    posed = [lifted[u] for u in solution.registered]
    found = register(solution.problem, state, prepared.pictures, v, find_features(prepared.pictures[v]), posed)
    if found is None:
        return None
    return state.with_pose(views[v].instant, np.linalg.inv(views[v].T_cam_world) @ found.T_cam_head)


def _confirm(
    state: HeadState, solution: Solution, prepared: Prepared, chart: FaceChart, grid: StrideSamples, stage: DenseStage, v: int
) -> tuple[HeadState | None, str]:
    """Settle the pose of view v by flow with everything else held; None and the reason where flow does not agree with it.

    A wrong pose shows by few matches, since patches that are not the same skin fail to correlate and to return.
    """
    problem, views = solution.problem, sorted([*solution.registered, v])
    settle = dataclasses.replace(stage, free=frozenset({"pose"}))
    shared_instant = problem.views[v].instant in {problem.views[u].instant for u in solution.registered}
    share, residual = 0.0, float("nan")
    for _ in range(3):
        matches = find_matches(problem, state, chart, grid, settle, prepared.pictures, views, only={v})
        num_matches, share = sum(len(pair.px_a) for pair in matches), max((pair.share for pair in matches), default=0.0)
        if shared_instant and num_matches >= MIN_CONFIRMING_MATCHES and share >= MIN_CONFIRMING_SHARE:
            return state, ""
        if shared_instant or num_matches < MIN_CONFIRMING_MATCHES:
            return None, f"rejected: no face detected, and only {100 * share:.0f} % of the skin matches the other views"
        state, report = solve_matches(problem, state, settle, matches, views, [v])
        residual = report.median_residual_px
    if share < MIN_CONFIRMING_SHARE:
        return None, f"rejected: no face detected, and only {100 * share:.0f} % of the skin matches the other views"
    if residual > MAX_CONFIRMED_RESIDUAL_PX:
        return None, f"rejected: no face detected, and matches with the other views miss by {residual:.1f} px"
    return state, ""
