"""Landmark shifts, the gauge between a face and what it does, trust by place, and corrections of lively instants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.head_model import REGIONS
from assets.similarity import fit_similarity
from recon.solve import landmark_bias
from recon.solve.bundle import choose_pairs, landmark_residual_px
from recon.solve.corrections import lively_instants, solve_correction
from recon.solve.expression_prior import (
    add_expression_prior,
    add_gentle_prior,
    instant_scales,
    rest_sd,
    resting_totals,
    side_pairs,
    with_rest,
)
from recon.solve.landmark_bias import add_landmarks, estimate_shifts, landmark_residuals_px, landmark_rows, shift_directions
from recon.solve.normal_equations import NormalEquations
from recon.solve.problem import add_priors, displaced_mm, free_columns, shape_trust
from tests.recon.synthetic_expressions import HEAD, deformable_head, exact_matches, front_samples, rig_problem, with_landmarks

DEFORMABLE = deformable_head()
NAMES = DEFORMABLE.shape_names
PLAYED = ({}, {"jawOpen": 0.6, "mouthSmileLeft": 0.7}, {"browInnerUp": 0.8})


def weights_of(**by_name: float) -> np.ndarray:
    return np.array([by_name.get(name, 0.0) for name in NAMES])


def played(state):
    return dataclasses.replace(state, weights=np.stack([weights_of(**weights) for weights in PLAYED]))


def test_elimination_leaves_the_step_of_the_whole_system():
    # Three parameters and two groups of two unknowns each, against one dense solve of all seven.
    rng = np.random.default_rng(0)
    jacobian, by_group = rng.normal(size=(12, 3)), np.zeros((12, 2, 2))
    by_group[:6, 0], by_group[6:, 1] = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    residual, weight = rng.normal(size=12), rng.uniform(0.5, 2.0, 12)
    equations = NormalEquations(3)
    equations.add_rows("rows", np.arange(3), jacobian, residual, weight)
    cross = np.einsum("rp,r,rbk->pbk", jacobian, weight, by_group)
    inner = np.einsum("rbj,r,rbk->bjk", by_group, weight, by_group) + 0.3 * np.eye(2)
    equations.eliminate("rows", cross, inner, np.einsum("rbk,r,r->bk", by_group, weight, residual))
    whole = np.concatenate([jacobian, by_group.reshape(12, 4)], 1)
    matrix = whole.T @ (weight[:, None] * whole) + np.diag([0, 0, 0, 0.3, 0.3, 0.3, 0.3])
    expected = np.linalg.solve(matrix, whole.T @ (weight * residual))[:3]
    np.testing.assert_allclose(equations.solve(np.ones(3, bool), damping=0.0), expected, rtol=1e-4)


def _fit_landmarks(problem, state):
    mask = free_columns(state.layout, frozenset({"pose", "expression"}), {view.instant for view in problem.views})
    views = list(range(len(problem.views)))
    for _ in range(8):
        equations = NormalEquations(state.layout.size)
        add_priors(equations, problem, state, views)
        add_gentle_prior(equations, state, [0, 1, 2])
        add_landmarks(equations, problem, state, views, problem.posed(state), weight=1.0, contour_weight=0.0)
        state = state.moved(equations.solve(mask))
    return state


def test_a_persons_own_landmarks_do_not_become_an_expression(monkeypatch):
    """Landmarks up to 5 mm off, alike in all pictures, and expressions on top: the calm instant stays calm, the others are found."""
    problem, start = rig_problem(DEFORMABLE, 3)
    directions = shift_directions(problem, start)
    planted = np.random.default_rng(1).normal(0, 2.5e-3, (90, 2))
    problem = with_landmarks(problem, played(start), np.einsum("lck,lk->lc", directions, planted))
    found = _fit_landmarks(problem, start)
    assert np.abs(found.weights[0]).max() < 0.08
    assert np.corrcoef(found.weights[1:].ravel(), played(start).weights[1:].ravel())[0, 1] > 0.8
    rows = [landmark_rows(problem, found, v, problem.posed(found)[v], directions, 1.0, 0.0) for v in range(len(problem.views))]
    assert np.corrcoef(estimate_shifts(rows)[0].ravel(), planted.ravel())[0, 1] > 0.95
    monkeypatch.setattr(landmark_bias, "BETWEEN_PEOPLE_SHARE", 0.01)
    assert np.abs(_fit_landmarks(problem, start).weights[0]).max() > 2 * np.abs(found.weights[0]).max()


def test_the_residual_that_is_told_leaves_out_the_shifts_that_all_pictures_share_and_keeps_what_one_has_alone():
    problem, start = rig_problem(DEFORMABLE, 1)
    directions = shift_directions(problem, start)
    planted = np.random.default_rng(2).normal(0, 2.5e-3, (90, 2))
    problem = with_landmarks(problem, start, np.einsum("lck,lk->lc", directions, planted))
    views = list(range(len(problem.views)))
    before = [landmark_residual_px(problem, start, v) for v in views]
    after = landmark_residuals_px(problem, start, views)
    # Shifts are drawn towards zero by their prior, so that a part of them stays.
    assert max(after[v] / before[v] for v in views) < 0.4
    alone = landmark_residuals_px(problem, start, [1])
    assert alone == {1: pytest.approx(before[1])}
    moved = dataclasses.replace(problem.views[2], landmarks_px=problem.views[2].landmarks_px + np.array([6.0, -8.0]))
    wrong = dataclasses.replace(problem, views=(*problem.views[:2], moved, *problem.views[3:]))
    assert landmark_residuals_px(wrong, start, views)[2] > 7


def test_one_picture_tells_as_much_of_its_expression_as_if_nothing_were_the_persons_own(monkeypatch):
    problem, start = rig_problem(DEFORMABLE, 1)
    problem = with_landmarks(problem, dataclasses.replace(start, weights=weights_of(jawOpen=0.3)[None]), np.zeros(3))
    jaw = start.layout.weights(0)[NAMES.index("jawOpen")]

    def information(share: float) -> float:
        monkeypatch.setattr(landmark_bias, "BETWEEN_PEOPLE_SHARE", share)
        equations = NormalEquations(start.layout.size)
        add_landmarks(equations, problem, start, [1], problem.posed(start), weight=1.0, contour_weight=0.0)
        return float(equations.hessian[jaw, jaw])

    # A shift lies in the skin, which the camera sees foreshortened, so that a little less is taken for the person's.
    assert 0.9 < information(0.6) / information(1e-4) < 2.0


def test_what_all_instants_share_is_the_face_and_what_one_has_alone_is_its_expression():
    totals = np.stack([weights_of(mouthPucker=0.1, jawForward=-0.2, mouthSmileLeft=0.8 * (k == 2)) for k in range(6)])
    rest = resting_totals(totals, rest_sd(NAMES), instant_scales(totals))
    assert rest[NAMES.index("mouthPucker")] == pytest.approx(0.1, abs=0.02)
    assert rest[NAMES.index("jawForward")] == pytest.approx(-0.2, abs=0.03)
    assert abs(rest[NAMES.index("mouthSmileLeft")]) < 0.02


def test_gaze_and_blinks_are_nobodys_resting_face():
    totals = np.tile(weights_of(eyeBlinkLeft=0.5, eyeLookDownRight=0.4), (4, 1))
    assert not resting_totals(totals, rest_sd(NAMES), instant_scales(totals)).any()


def test_moving_weights_into_the_face_at_rest_moves_no_vertex():
    problem, state = rig_problem(DEFORMABLE, 3)
    shared = weights_of(mouthPucker=0.3, browDownLeft=0.25)
    state = dataclasses.replace(played(state), weights=played(state).weights + shared)
    settled = with_rest(problem, state, [0, 1, 2])
    assert settled.rest is not None and settled.rest[NAMES.index("mouthPucker")] > 0.2
    assert np.abs(settled.weights[0]).max() < 0.1
    skin = HEAD.vertex_parts == 1
    for before, after in zip(problem.posed(state), problem.posed(settled), strict=True):
        np.testing.assert_allclose(after[skin], before[skin], atol=2e-6)


def test_strong_weights_are_shrunk_less_than_weak_ones():
    problem, state = rig_problem(DEFORMABLE, 2)
    strong, weak = NAMES.index("jawOpen"), NAMES.index("mouthLeft")
    state = dataclasses.replace(state, weights=np.stack([weights_of(), weights_of(jawOpen=0.8, mouthLeft=0.05)]))
    equations = NormalEquations(state.layout.size)
    add_expression_prior(equations, problem, state, [0, 1])
    columns = state.layout.weights(1)
    precision = np.diag(equations.hessian)[columns]
    assert precision[strong] < 0.2 * precision[weak]
    assert equations.gradient[columns[strong]] < 0


def test_a_smile_is_believed_about_the_forehead_but_not_about_the_cheeks():
    displaced = np.zeros((2, 8))
    displaced[0, 6:] = 6.0  # the first point moves by 6 mm in the last two of eight views, the second in none
    trust = shape_trust(displaced, (1, 7))
    assert trust[0] < 0.02 and trust[1] == 1.0
    assert shape_trust(displaced, (0, 1)).tolist() == [1.0, 1.0]
    assert shape_trust(np.full((2, 8), 6.0), (1, 7)).tolist() == [1.0, 1.0]


def test_displacements_are_those_of_the_posed_head():
    samples, weights = front_samples(DEFORMABLE, 40, 0), weights_of(jawOpen=0.7, mouthSmileRight=0.2)
    neutral = DEFORMABLE.neutral(np.zeros(len(DEFORMABLE.modes)), 0.0)
    moved = samples.points(neutral + np.tensordot(weights.astype(np.float32), DEFORMABLE.shapes, 1)) - samples.points(neutral)
    found = displaced_mm(samples, np.stack([np.zeros_like(weights), weights]))
    np.testing.assert_allclose(found[:, 1], 1e3 * np.linalg.norm(moved, axis=1), atol=1e-2)
    assert not found[:, 0].any()


def test_a_rig_is_matched_within_instants_and_each_lively_view_with_the_calm_one_from_its_side():
    problem, state = rig_problem(DEFORMABLE, 3)
    state = played(state)
    pairs = choose_pairs(problem, state, list(range(len(problem.views))))
    across = [(a, b) for a, b in pairs if problem.views[a].instant != problem.views[b].instant]
    # Four cameras: view k + 4 i is camera k at instant i, and instant 0 is calm.
    assert sorted(across) == sorted((k, k + 4 * i) for k in range(4) for i in (1, 2))
    assert {(0, 1), (5, 6), (10, 11)} <= set(pairs)


def _personal(problem, state, instant: int) -> np.ndarray:
    """A quarter more of the expression than the generic shapes have, and a little to the subject's left."""
    generic = np.tensordot(state.weights[instant].astype(np.float32), problem.deformable.shapes, 1)
    field = 0.2 * generic + 0.15 * np.linalg.norm(generic, axis=1, keepdims=True) * np.array([1.0, 0.0, 0.0])
    return np.where((HEAD.vertex_parts == 1)[:, None], field, 0.0)


def _front(limit_m: float, displaced: np.ndarray) -> np.ndarray:
    return (HEAD.vertex_parts == 1) & (HEAD.vertices[:, 2] > -0.03) & (displaced > limit_m)


def test_a_personal_expression_seen_by_several_cameras_is_recovered_in_all_directions():
    problem, state = rig_problem(DEFORMABLE, 3)
    state, instant = played(state), 1
    planted, surfaces = _personal(problem, state, instant), {}
    for i in range(3):
        surfaces[i] = DEFORMABLE.posed(problem.neutral(state), state.weights[i]) + (planted if i == instant else 0)
    pairs = [(4, 5), (5, 6), (6, 7), (0, 4), (1, 5), (2, 6), (3, 7)]
    found = solve_correction(problem, state, exact_matches(problem, state, surfaces, pairs), {}, instant)
    assert found is not None
    moving = _front(5e-4, np.linalg.norm(planted, axis=1))
    error = np.linalg.norm(found - planted, axis=1)[moving]
    assert moving.sum() > 20 and np.linalg.norm(planted[moving], axis=1).max() > 1.4e-3
    assert np.median(error) < 1e-4 and np.quantile(error, 0.9) < 3e-4
    assert not found[HEAD.vertex_parts != 1].any()


def test_a_correction_solved_again_about_itself_is_the_whole_correction_and_not_what_it_still_lacks():
    problem, state = rig_problem(DEFORMABLE, 3)
    state, instant = played(state), 1
    planted = _personal(problem, state, instant)
    surfaces = {i: DEFORMABLE.posed(problem.neutral(state), state.weights[i]) + (planted if i == instant else 0) for i in range(3)}
    matches = exact_matches(problem, state, surfaces, [(4, 5), (5, 6), (6, 7), (0, 4), (1, 5), (2, 6), (3, 7)])
    first = solve_correction(problem, state, matches, {}, instant)
    assert first is not None
    again = solve_correction(problem, state, matches, {instant: first}, instant)
    from_half = solve_correction(problem, state, matches, {instant: 0.5 * first}, instant)
    assert again is not None and from_half is not None
    moving = _front(5e-4, np.linalg.norm(planted, axis=1))
    for found in (again, from_half):
        assert np.median(np.linalg.norm(found - planted, axis=1)[moving]) < 1e-4
        assert np.abs(found - first).max() < 3e-4


def test_a_loose_picture_is_corrected_across_its_line_of_sight_only_and_where_nothing_moves_not_at_all():
    problem, state = rig_problem(DEFORMABLE, 3)
    state, instant = played(state), 2
    still = np.linalg.norm(np.tensordot(state.weights[instant].astype(np.float32), DEFORMABLE.shapes, 1), axis=1) < 1e-5
    planted, surfaces = _personal(problem, state, instant), {}
    for i in range(3):
        surfaces[i] = DEFORMABLE.posed(problem.neutral(state), state.weights[i]) + (planted if i == instant else 0)
    found = solve_correction(problem, state, exact_matches(problem, state, surfaces, [(2, 10)]), {}, instant)
    assert found is not None
    sight = problem.views[10].T_cam_world[2, :3]
    moving = _front(4e-4, np.linalg.norm(planted, axis=1))
    across = (found - planted) - ((found - planted) @ sight)[:, None] * sight
    assert np.median(np.linalg.norm(across, axis=1)[moving]) < 0.3 * np.median(np.linalg.norm(planted, axis=1)[moving])
    assert np.linalg.norm(found[still], axis=1).max() < 2e-4


def test_calm_instants_and_those_with_few_matches_get_no_correction():
    problem, state = rig_problem(DEFORMABLE, 3)
    state = played(state)
    assert set(lively_instants(problem, state, list(range(12)))) == {1, 2}
    surfaces = {i: DEFORMABLE.posed(problem.neutral(state), state.weights[i]) for i in range(3)}
    matches = exact_matches(problem, state, surfaces, [(0, 1)])
    assert solve_correction(problem, state, matches, {}, 1) is None


def _settled(seen_rows: list[tuple[list[str], float]]) -> dict[str, float]:
    """Weights of the second of two instants that the priors and rows (names, sum of their weights) of it come to."""
    problem, state = rig_problem(DEFORMABLE, 2)
    layout = state.layout
    for _ in range(30):
        equations = NormalEquations(layout.size)
        add_priors(equations, problem, state, [0, 4])
        add_expression_prior(equations, problem, state, [0, 1])
        for names, value in seen_rows:
            columns = [NAMES.index(name) for name in names]
            missing = np.array([value - state.weights[1, columns].sum()])
            equations.add_rows("seen", layout.weights(1)[columns], np.ones((1, len(columns))), missing, np.array([0.02**-2]))
        step = equations.solve(free_columns(layout, frozenset({"expression"}), {0, 1}), damping=0.0)
        state = with_rest(problem, state.moved(step), [0, 1])
    return dict(zip(NAMES, state.weights[1], strict=True))


def test_the_side_that_no_picture_shows_does_as_the_other_one_and_directions_are_no_sides():
    pairs = {(NAMES[left], NAMES[right]) for left, right in side_pairs(NAMES)}
    assert {("mouthSmileLeft", "mouthSmileRight"), ("eyeBlinkLeft", "eyeBlinkRight")} <= pairs
    assert not any(name.startswith(("jaw", "eyeLook")) or name in ("mouthLeft", "mouthRight") for pair in pairs for name in pair)
    # Seen: the smile's left side at 0.7, and both brows, of which only the right one is down.
    found = _settled([(["mouthSmileLeft"], 0.7), (["browDownLeft"], 0.0), (["browDownRight"], 0.6)])
    assert found["mouthSmileLeft"] == pytest.approx(0.7, abs=0.08)
    assert found["mouthSmileRight"] == pytest.approx(0.7, abs=0.15)
    assert found["browDownLeft"] < 0.08 and found["browDownRight"] > 0.5


def test_what_one_side_shows_is_a_smile_rather_than_a_mouth_pulled_to_that_side():
    # From the left alone the corner of the mouth goes back by either of two movements, or by some of each.
    found = _settled([(["mouthSmileLeft", "mouthLeft"], 0.7)])
    assert found["mouthLeft"] < 0.1 < 0.5 < found["mouthSmileLeft"]
    assert found["mouthSmileRight"] > 0.4


def test_pulls_of_priors_in_millimetres_do_not_shrink_a_head_whose_size_nothing_tells():
    problem, state = rig_problem(DEFORMABLE, 2)
    growth = DEFORMABLE.growth
    coeffs = 1e-3 * growth / (growth @ growth)
    face = HEAD.vertex_regions == REGIONS.index("face")
    grown = fit_similarity(HEAD.vertices[face], DEFORMABLE.neutral(coeffs, 0.0)[face].astype(float), np.ones(face.sum()))
    assert grown.scale - 1 == pytest.approx(1e-3, rel=0.02)
    sizes = {}
    for has_scale in (True, False):
        problem, equations = dataclasses.replace(problem, has_scale=has_scale), NormalEquations(state.layout.size)
        add_priors(equations, problem, state, [0, 4])
        # A pull that makes the face two thirds of its size where only the shape prior holds it.
        equations.gradient[state.layout.modes] -= 0.33 / (growth @ growth) * growth
        sizes[has_scale] = float(1 + growth @ equations.solve(free_columns(state.layout, frozenset({"shape"}), set()))[state.layout.modes])
    assert sizes[True] < 0.7 and sizes[False] > 0.98, sizes
