"""The solver core, the residuals and their derivatives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.errors import DegenerateGeometryError
from recon.solve.bundle import evidence
from recon.solve.deformable import DeformableHead
from recon.solve.landmark_bias import add_landmarks, estimate_shifts, landmark_rows, shift_directions
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.problem import Problem, restfulness
from recon.solve.residuals import left_null_basis, match_rows, project, sample_surface, tangents
from recon.solve.state import HeadState, SolveView


def _view() -> SolveView:
    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3], T_cam_world[:3, 3] = np.diag([1.0, -1.0, -1.0]) @ turn, [0.02, -0.03, 0.7]
    return SolveView("a", 1, 0, np.array([900.0, 950.0]), np.array([410.0, 330.0]), T_cam_world, 800, 600, None)


def _state() -> HeadState:
    rotations = np.stack([np.eye(3), np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])])
    return HeadState(np.zeros(2), 0.0, np.array([0.05]), rotations, np.array([[0, 0, 0.0], [0.01, 0.02, 0.03]]), np.zeros((2, 3)))


def test_solver_finds_the_weighted_least_squares_answer_worked_by_hand():
    # x observed as 2 (weight 1) and 5 (weight 2), prior 0 with sd 1: (1 * 2 + 2 * 5) / (1 + 2 + 1) = 3. y observed as 2 y = 8.
    equations = NormalEquations(3)
    equations.add_rows("x", np.array([0]), np.ones((2, 1)), np.array([2.0, 5.0]), np.array([1.0, 2.0]))
    equations.add_rows("y", np.array([2]), np.array([[2.0]]), np.array([8.0]), np.array([1.0]))
    equations.add_prior("prior", np.array([0]), np.array([0.0]), 1.0)
    step = equations.solve(np.array([True, False, True]), damping=0.0)
    np.testing.assert_allclose(step, [3.0, 0.0, 4.0], atol=1e-6)
    # Half of 1 * 2^2 + 2 * 5^2.
    assert equations.cost["x"] == pytest.approx(27.0)


def test_solver_holds_parameters_that_are_not_free_even_when_the_rows_pull_on_them():
    equations = NormalEquations(2)
    equations.add_rows("sum", np.array([0, 1]), np.ones((1, 2)), np.array([6.0]), np.array([1.0]))
    assert equations.solve(np.array([False, True]), damping=0.0).tolist() == [0.0, 6.0]


def test_undetermined_system_is_refused_with_what_to_do():
    equations = NormalEquations(2)
    equations.add_rows("only x", np.array([0]), np.ones((1, 1)), np.array([1.0]), np.array([1.0]))
    with pytest.raises(DegenerateGeometryError, match="hold parameters fixed"):
        equations.solve(np.array([True, True]))


def test_cauchy_weight_is_one_at_zero_and_half_at_its_scale():
    np.testing.assert_allclose(cauchy_weight(np.array([0.0, 2.0, 6.0]), 2.0), [1.0, 0.5, 0.1])


def test_robust_weights_leave_the_line_of_the_majority():
    # Nine observations of 1 and one of 100: the mean is 10.9, the Cauchy estimate stays near 1.
    observed, estimate = np.array([1.0] * 9 + [100.0]), 10.9
    for _ in range(30):
        equations = NormalEquations(1)
        equations.add_rows("all", np.array([0]), np.ones((10, 1)), observed - estimate, cauchy_weight(np.abs(observed - estimate), 1.0))
        estimate += equations.solve(np.array([True]), damping=0.0)[0]
    assert estimate == pytest.approx(1.0, abs=0.02)


def test_projection_derivatives_agree_with_finite_differences():
    view, state = _view(), _state()
    points = np.array([[0.03, -0.05, 0.04], [-0.06, 0.02, -0.01], [0.0, 0.07, 0.02]])
    here, layout, h = project(points, state, view), state.layout, 1e-6
    for column, analytic in [
        (layout.focal(0), here.d_log_focal[..., 0]),
        *zip(layout.pose(1), np.moveaxis(here.d_pose, 2, 0), strict=True),
    ]:
        step = np.zeros(layout.size)
        step[column] = h
        numeric = (project(points, state.moved(step), view).px - project(points, state.moved(-step), view).px) / (2 * h)
        np.testing.assert_allclose(analytic, numeric, rtol=1e-5, atol=1e-3, err_msg=f"column {column}")
    for axis in range(3):
        moved = h * np.eye(3)[axis]
        numeric = (project(points + moved, state, view).px - project(points - moved, state, view).px) / (2 * h)
        np.testing.assert_allclose(here.d_point[:, :, axis], numeric, rtol=1e-5, atol=1e-3)


def test_pose_of_another_instant_does_not_move_this_view():
    view, state = _view(), _state()
    points, step = np.array([[0.03, -0.05, 0.04]]), np.zeros(state.layout.size)
    step[state.layout.pose(0)] = 0.3
    np.testing.assert_array_equal(project(points, state, view).px, project(points, state.moved(step), view).px)


def test_null_basis_is_orthonormal_and_vanishes_on_both_columns():
    columns = np.random.default_rng(0).standard_normal((50, 4, 2)) * np.array([1.0, 900.0])
    columns[0, :, 1] = 0.5 * columns[0, :, 0] + 1e-3  # nearly parallel, as for skin seen along its surface
    null = left_null_basis(columns)
    np.testing.assert_allclose(null @ np.swapaxes(null, 1, 2), np.broadcast_to(np.eye(2), (50, 2, 2)), atol=1e-12)
    np.testing.assert_allclose(null @ columns, 0, atol=1e-9)


def test_match_residual_ignores_sliding_along_the_skin_but_not_depth():
    first = _view()
    second = dataclasses.replace(first, T_cam_world=np.array([[1, 0, 0, 0.1], [0, -1, 0, 0.0], [0, 0, -1, 0.6], [0, 0, 0, 1.0]]))
    state, point, normal = _state(), np.array([[0.01, 0.02, 0.05]]), np.array([[0.36, 0.48, 0.8]])
    slid = point + 2e-4 * tangents(normal)[:, :, 0] - 1e-4 * tangents(normal)[:, :, 1]
    deeper = point - 2e-4 * normal
    residual = {}
    for name, seen in (("slid", slid), ("deeper", deeper)):
        observed = [project(seen, state, view).px for view in (first, second)]
        rows = match_rows(*observed, project(point, state, first), project(point, state, second), normal)
        residual[name] = float(np.linalg.norm(rows.residual))
    # A fifth of a millimetre in depth is some tenths of a pixel; the same distance along the skin leaves only second order.
    assert residual["deeper"] > 0.05
    assert residual["slid"] < 0.01 * residual["deeper"]


def test_broad_expressions_are_put_back_only_where_calm_views_exist():
    views = [dataclasses.replace(_view(), instant=k) for k in range(4)]
    state = dataclasses.replace(_state(), rotations=np.tile(np.eye(3), (4, 1, 1)), translations=np.zeros((4, 3)))
    mixed = dataclasses.replace(state, weights=np.array([[0.1, 0, 0], [0.2, 0.1, 0], [0.1, 0, 0.2], [1.0, 0.5, 0]]))
    trust = restfulness(mixed, views)
    assert trust[:3].min() > 0.9 and trust[3] < 0.1
    all_smile = dataclasses.replace(state, weights=np.tile([1.0, 0.5, 0.0], (4, 1)))
    assert restfulness(all_smile, views).min() > 0.9


def test_matches_are_believed_more_where_they_agree_better_within_limits():
    assert evidence(0.9) == 1.0
    assert evidence(0.25) == pytest.approx(4.0)
    assert evidence(1e-9) == 16.0


def test_landmark_rows_agree_with_finite_differences_over_all_unknowns():
    """Gradient of the landmark term by every parameter, with each landmark's shift at its optimum, against the pixels themselves."""
    problem, state = _tiny_problem()
    layout, rng = state.layout, np.random.default_rng(5)
    state = state.moved(0.05 * rng.standard_normal(layout.size))
    equations = NormalEquations(layout.size)
    add_landmarks(equations, problem, state, [0], [_posed(problem, state)], weight=1.0, contour_weight=0.0)

    def predicted(step: np.ndarray) -> np.ndarray:
        moved = state.moved(step)
        return project(problem.landmarks.points(_posed(problem, moved)), moved, problem.views[0]).px

    directions, h = shift_directions(problem, state), 1e-4
    rows = landmark_rows(problem, state, 0, _posed(problem, state), directions, 1.0, 0.0)
    _, (weight,), precision = estimate_shifts([rows])
    residual = problem.views[0].landmarks_px - predicted(np.zeros(layout.size))
    points = problem.landmarks.points(_posed(problem, state))
    left = np.empty_like(residual)
    for k in range(len(residual)):
        shifted = [project(points[k : k + 1] + 1e-3 * h * directions[k, :, j], state, problem.views[0]).px[0] for j in (0, 1)]
        by_shift = np.stack([(px - predicted(np.zeros(layout.size))[k]) / h for px in shifted], 1)
        stacked = np.concatenate([np.sqrt(weight[k]) * by_shift, np.sqrt(precision[k]) * np.eye(2)])
        shift = np.linalg.lstsq(stacked, np.concatenate([np.sqrt(weight[k]) * residual[k], [0, 0]]), rcond=None)[0]
        left[k] = residual[k] - by_shift @ shift
    for column in range(layout.size):
        step = np.zeros(layout.size)
        step[column] = h
        numeric = (predicted(step) - predicted(-step)) / (2 * h)
        expected = float((weight[:, None] * numeric * left).sum())
        assert equations.gradient[column] == pytest.approx(expected, rel=2e-3, abs=2e-3), f"column {column}"


def _posed(problem: Problem, state: HeadState) -> np.ndarray:
    return problem.deformable.posed(problem.neutral(state), state.weights[problem.views[0].instant])


class _SkinAlone:
    """What the solver asks of a head model, for one without eyes: vertices of skin."""

    def __init__(self, vertices: np.ndarray) -> None:
        self.vertices, self.num_vertices = vertices, len(vertices)
        self.triangles, self.triangle_parts = np.array([[0, 1, 2]], np.int32), np.ones(1, np.uint8)
        self.vertex_parts, self.vertex_regions = np.ones(len(vertices), np.uint8), np.ones(len(vertices), np.uint8)
        self.blendshape_deltas = np.zeros((52, len(vertices), 3), np.float32)


def _tiny_problem() -> tuple[Problem, HeadState]:
    """Six vertices, two modes, three shapes, one view with six landmarks some pixels off; the scale is free."""
    rng = np.random.default_rng(6)
    vertices = rng.uniform(-0.08, 0.08, (6, 3)).astype(np.float32)
    modes, shapes = (rng.normal(0, 5e-3, (n, 6, 3)).astype(np.float32) for n in (2, 3))
    head = _SkinAlone(vertices)
    deformable = DeformableHead(head, modes, 2, shapes, ("a", "b", "c"), np.full((6, 3), 1e-3, np.float32))  # pyright: ignore
    samples = sample_surface(
        np.array([[0, 1, 2], [3, 4, 5], [1, 3, 5], [0, 2, 4], [2, 3, 4], [0, 1, 5]]), np.full((6, 3), 1 / 3), modes, shapes
    )
    state = _state()
    seen = project(samples.points(vertices), state, _view()).px + rng.normal(0, 4.0, (6, 2))
    view = dataclasses.replace(_view(), landmarks_px=seen)
    problem = Problem(deformable, (view,), samples, np.ones(6), np.zeros(6, bool), np.array([0.1]), True)
    return problem, state
