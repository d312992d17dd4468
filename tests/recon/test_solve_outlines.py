"""Outlines in the bundle: they bring shape, pose and focal length to the picture's edge, and a head of hair brings nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.drawn import drawn_triangles
from assets.head_model import PARTS
from recon.solve.deformable import make_deformable
from recon.solve.normal_equations import NormalEquations
from recon.solve.outlines import OutlineSamples, add_outlines, find_outlines, sample_outlines
from recon.solve.problem import Matches, Problem, add_priors
from recon.solve.residuals import project, sample_surface
from recon.solve.stages import SURROUND
from recon.solve.state import HeadState
from recon.solve.surround_evidence import head_or_hair
from recon.solve.unlike_skin import agreement_of, map_skin
from render import vertex_normals
from tests.recon.test_solve_surround import _camera, _picture, _problem, _skin_colours
from tests.recon.toy_head import toy_head

YAWS_DEG = (-85.0, -35.0, 5.0, 60.0)


def _outlines(problem: Problem, state: HeadState, pictures: list) -> list[OutlineSamples]:
    views = list(range(len(pictures)))
    skin = map_skin(problem, state, pictures, views)
    return sample_outlines(problem, find_outlines(problem, state, pictures, views), skin)


def _misses_px(problem: Problem, state: HeadState, outlines: list[OutlineSamples]) -> np.ndarray:
    """How far the picture's edges lie outside of the mesh's outline, all views."""
    posed = problem.posed(state)
    return np.concatenate(
        [
            (o.normal_px * (o.edge_px - project(o.samples.points(posed[o.view]), state, problem.views[o.view]).px)).sum(1)[o.weight > 0.1]
            for o in outlines
        ]
    )


@pytest.fixture(scope="module")
def narrow_person():
    """A head that its identity modes explain, seen by cameras whose focal length is 3 % off: problem, state at the average, pictures."""
    head = toy_head()
    deformable = make_deformable(head)
    cameras = [_camera(yaw) for yaw in YAWS_DEG]
    problem, state = _problem(deformable, cameras)
    coeffs = np.zeros(len(deformable.modes))
    coeffs[: head.num_identity] = np.resize([1.6, -1.9, 0.8], head.num_identity)
    truth = deformable.neutral(coeffs, 0.0)
    pictures = [_picture(truth, _skin_colours(head), drawn_triangles(head), camera, i) for i, camera in enumerate(cameras)]
    return problem, state, pictures, coeffs


def test_outlines_alone_bring_the_modes_to_the_pictures_edges(narrow_person):
    problem, state, pictures, _ = narrow_person
    before = np.abs(_misses_px(problem, state, _outlines(problem, state, pictures)))
    free = np.zeros(state.layout.size, bool)
    free[state.layout.modes] = True
    for _ in range(4):
        outlines, equations = _outlines(problem, state, pictures), NormalEquations(state.layout.size)
        add_priors(equations, problem, state, [0])
        add_outlines(equations, problem, state, outlines, problem.posed(state))
        state = state.moved(equations.solve(free))
    after = np.abs(_misses_px(problem, state, _outlines(problem, state, pictures)))
    assert np.quantile(before, 0.9) > 2.0
    assert np.median(after) < 0.25 * np.median(before) and np.quantile(after, 0.9) < 0.35 * np.quantile(before, 0.9)


def test_gradient_of_the_outlines_is_that_of_their_cost(narrow_person):
    """By differences, over modes, scale, focal length, turn and shift: what a wrong sign or a missing factor would break."""
    problem, state, pictures, _ = narrow_person
    # The weights of the robust loss are held in the gradient, not in the difference, so the two agree for small misses only.
    outlines, posed = [], problem.posed(state)
    for o in _outlines(problem, state, pictures):
        px = project(o.samples.points(posed[o.view]), state, problem.views[o.view]).px
        outlines.append(dataclasses.replace(o, edge_px=px + 0.02 * (o.edge_px - px)))
    equations = NormalEquations(state.layout.size)
    add_outlines(equations, problem, state, outlines, problem.posed(state))

    def cost(moved: HeadState) -> float:
        fresh = NormalEquations(state.layout.size)
        add_outlines(fresh, problem, moved, outlines, problem.posed(moved))
        return fresh.cost["outlines"]

    layout = state.layout
    for column in (int(layout.modes[0]), int(layout.modes[1]), layout.scale, layout.focal(0), *layout.pose(0).tolist()):
        step = np.zeros(layout.size)
        step[column] = 1e-4
        slope = (cost(state.moved(step)) - cost(state.moved(-step))) / 2e-4
        # `gradient` holds J^T W r of what is observed minus predicted: the direction in which the cost falls.
        assert slope == pytest.approx(-equations.gradient[column], rel=0.02, abs=1e-3 * np.abs(equations.gradient).max())


def test_hair_outside_of_the_skull_counts_for_nothing_and_nothing_grows_inwards():
    outside_m = np.array([0.03, SURROUND.hair_m, 0.0, -0.02])
    np.testing.assert_array_equal(head_or_hair(outside_m, np.ones(4), SURROUND.hair_m), 1.0)
    hair = head_or_hair(outside_m, np.zeros(4), SURROUND.hair_m)
    assert hair[0] < 0.01 and 0.1 < hair[1] < 0.5
    np.testing.assert_array_equal(hair[2:], 1.0)


def test_a_bump_that_all_views_see_alike_is_no_disagreement():
    head = toy_head(24, 32)
    deformable = make_deformable(head)
    problem, state = _problem(deformable, [_camera(-22.0), _camera(3.0), _camera(26.0)])
    front = np.repeat(np.flatnonzero((head.triangle_parts == 1) & (head.vertices[head.triangles].mean(1)[:, 2] > -0.03)), 6)
    samples = sample_surface(head.triangles[front].astype(np.int64), np.full((len(front), 3), 1 / 3), deformable.modes, deformable.shapes)
    height = 0.004 * np.exp(-np.square(np.linalg.norm(head.vertices - head.vertices[samples.corners[len(front) // 3, 0]], axis=1) / 0.03))
    height[head.vertex_parts != PARTS.index("skin")] = 0.0
    bumped = samples.points(head.vertices + height[:, None] * vertex_normals(head.vertices, head.triangles))
    rng = np.random.default_rng(5)
    seen = [project(bumped, state, view).px + rng.normal(0, 0.2, (len(bumped), 2)) for view in problem.views]
    matches = [Matches(a, b, samples, seen[a], seen[b], np.ones(len(bumped)), 1.0) for a, b in ((0, 1), (1, 2), (0, 2))]
    on_bump = height > 0.0025
    missed_px = np.linalg.norm(project(samples.points(head.vertices), state, problem.views[0]).px - seen[0], axis=1)
    assert on_bump.sum() > 3 and np.median(missed_px[height[samples.corners].max(1) > 0.0025]) > 0.8
    assert np.nanmin(agreement_of(problem, state, matches)[on_bump]) > 0.8
