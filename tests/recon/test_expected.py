"""What lies outside of what the skin around it lets a head model expect, and what that makes of a beard and of a shadow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.head_model import PARTS, REGIONS
from recon.solve.deformable import make_deformable
from recon.solve.expected import excess_sd, expected_surface, local_mean, vertex_areas_m2
from recon.solve.problem import Problem
from recon.solve.residuals import sample_surface
from recon.solve.state import HeadState, SolveView
from recon.solve.unlike_skin import LABELS, MAX_DISTANCE_OUTSIDE, MAX_SKIN_DISTANCE, SkinMap
from render import vertex_normals
from tests.recon.toy_head import toy_head

HEAD = toy_head(24, 32)
FACE = (HEAD.vertex_regions == REGIONS.index("face")) & (HEAD.vertex_parts == PARTS.index("skin"))
CHIN = FACE & (HEAD.vertices[:, 1] < np.quantile(HEAD.vertices[FACE, 1], 0.3))


def _problem_with(offsets: np.ndarray) -> tuple[Problem, HeadState]:
    """The person of the second identity mode, with something grown on it."""
    deformable = make_deformable(HEAD).with_offsets(offsets)
    view = SolveView("v", 0, 0, np.full(2, 700.0), np.full(2, 170.0), np.eye(4), 340, 340, None)
    landmarks = sample_surface(HEAD.triangles[:5].astype(np.int64), np.full((5, 3), 1 / 3), deformable.modes, deformable.shapes)
    problem = Problem(deformable, (view,), landmarks, np.ones(5), np.zeros(5, bool), np.array([0.1]), has_scale=True)
    coeffs = np.zeros(len(deformable.modes))
    coeffs[1] = 0.8
    state = HeadState(coeffs, 0.0, np.zeros(1), np.eye(3)[None], np.zeros((1, 3)), np.zeros((1, len(deformable.shapes))))
    return problem, state


def _grown(depth_m: float) -> np.ndarray:
    return np.where(CHIN, depth_m, 0.0)[:, None] * vertex_normals(HEAD.vertices, HEAD.triangles)


@pytest.mark.parametrize(("depth_m", "low", "high"), [(0.009, 2.5, 20.0), (0.0, 0.0, 0.5), (-0.009, 0.0, 0.5)])
def test_a_beard_lies_outside_of_the_expected_a_chin_and_what_lies_inside_do_not(depth_m: float, low: float, high: float):
    problem, state = _problem_with(_grown(depth_m))
    unlike = CHIN.astype(float)
    excess = excess_sd(problem, state, (FACE & ~CHIN).astype(float), unlike)
    assert low <= np.nanmedian(excess[CHIN]) <= high


def test_nothing_is_expected_from_a_fifth_of_a_face_or_where_nothing_is_in_question():
    problem, state = _problem_with(_grown(0.009))
    top = FACE & (HEAD.vertices[:, 1] > np.quantile(HEAD.vertices[FACE, 1], 0.9))
    assert np.isnan(excess_sd(problem, state, top.astype(float), CHIN.astype(float))).all()
    assert np.isnan(excess_sd(problem, state, FACE.astype(float), np.zeros(HEAD.num_vertices))).all()


def test_the_modes_find_a_person_of_their_own_under_the_beard():
    problem, state = _problem_with(_grown(0.009))
    bare, _ = _problem_with(np.zeros((HEAD.num_vertices, 3)))
    vertices = np.flatnonzero(FACE)
    expected, sd = expected_surface(problem, state, vertices, (~CHIN[vertices]).astype(float))
    miss = np.linalg.norm(expected - bare.neutral(state)[vertices], axis=1)[CHIN[vertices]]
    assert 1e3 * np.median(miss) < 1.0 and (sd > 0).all()
    assert np.median(sd[CHIN[vertices]]) > np.median(sd[~CHIN[vertices]])


def test_local_means_follow_their_weights_and_say_what_they_rest_on():
    points = np.stack([np.arange(60) * 0.004, np.zeros(60), np.zeros(60)], 1)
    values, weights = np.where(np.arange(60) < 30, 2.0, 8.0), np.ones(60)
    weights[20:30] = 0.0
    mean, total = local_mean(points, values, weights, 0.006)
    assert mean[5] == pytest.approx(2.0) and mean[50] == pytest.approx(8.0) and mean[28] > 7.0
    assert total[24] < 0.3 * total[5]
    assert (local_mean(points, values, np.zeros(60), 0.006)[0] == 0).all()


def test_the_areas_of_vertices_sum_to_the_head():
    corners = HEAD.vertices[HEAD.triangles].astype(np.float64)
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    assert vertex_areas_m2(HEAD).sum() == pytest.approx(area)


def test_a_colour_between_skin_and_hair_is_hair_only_where_it_lies_outside_of_the_expected():
    between = 0.5 * (MAX_DISTANCE_OUTSIDE + MAX_SKIN_DISTANCE)
    skin = SkinMap(
        np.where(CHIN, between, 0.5).astype(np.float32),
        np.zeros(HEAD.num_vertices, bool),
        {},
        np.full(HEAD.num_vertices, np.nan, np.float32),
    )
    beard = dataclasses.replace(skin, excess=np.full(HEAD.num_vertices, 3.0, np.float32))
    assert skin.trust[CHIN].min() > 0.85 and (skin.labels[CHIN] == LABELS.index("skin")).all()
    assert beard.trust[CHIN].max() < 0.1 and (beard.labels[CHIN] == 2).all()
    assert beard.trust[~CHIN].min() > 0.9 and (beard.labels[~CHIN] == LABELS.index("skin")).all()
    problem, _ = _problem_with(_grown(0.009))
    trust = beard.heeded_by(problem).landmark_trust
    assert trust is not None and trust.shape == (5,) and (trust > 0).all()
