"""Fit rendered pictures of a person whose shape, cameras and expressions are known, and get back what was put in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets import load_head
from assets.head_model import REGIONS
from assets.similarity import fit_similarity
from recon.solve.assemble import recentred_neutral
from recon.solve.pipeline import solve
from recon.solve.prepare import Prepared
from recon.solve.problem import Problem
from recon.solve.solution import Solution
from render import RayScene
from tests.recon.synthetic_person import FOCAL_PX, Person, make_person, prepare_person


@pytest.fixture(scope="module")
def person() -> Person:
    return make_person(load_head())


@pytest.fixture(scope="module")
def loose(person: Person) -> Prepared:
    # EXIF is 3 % off, as makers' nominal focal lengths are.
    return prepare_person(person, focal_px=1.03 * FOCAL_PX)


@pytest.fixture(scope="module")
def landmark_fit(loose: Prepared) -> Solution:
    return solve(loose, "full", use_dense=False, free_form=False)


@pytest.fixture(scope="module")
def dense_fit(loose: Prepared) -> Solution:
    return solve(loose, "full", use_dense=True, free_form=True)


def _face(person: Person) -> np.ndarray:
    """Vertices of the front of the face."""
    head = person.avatar.head
    return np.flatnonzero((head.vertex_regions == REGIONS.index("face")) & (person.avatar.neutral[:, 2] > -0.02))


def surface_error_mm(person: Person, solution: Solution, *, with_scale: bool = True) -> float:
    """Median distance of the true face's vertices from the fitted surface, after alignment by corresponding vertices."""
    fitted, truth, face = recentred_neutral(solution.problem, solution.state)[0], person.avatar.neutral.astype(float), _face(person)
    if with_scale:
        found = fit_similarity(fitted[face], truth[face], np.ones(len(face)))
        fitted = found.scale * fitted @ found.R.T + found.t
    closest = RayScene(fitted.astype(np.float32), person.avatar.head.triangles).closest(truth[face].astype(np.float32)).position
    return float(np.median(np.linalg.norm(closest - truth[face], axis=1))) * 1e3


def pose_errors_deg(person: Person, solution: Solution) -> np.ndarray:
    """Rotation between fitted and true camera of each view, the head frames aligned by the faces."""
    face, fitted = _face(person), recentred_neutral(solution.problem, solution.state)[0]
    R_true_fit = fit_similarity(fitted[face], person.avatar.neutral[face].astype(float), np.ones(len(face))).R
    errors = []
    for v, camera in zip(solution.registered, person.cameras, strict=True):
        R_cam_fit = solution.state.T_cam_head(solution.problem.views[v])[:3, :3]
        errors.append(np.degrees(Rotation.from_matrix(R_cam_fit @ R_true_fit.T @ camera.T_cam_world[:3, :3].T).magnitude()))
    return np.array(errors)


def test_dense_flow_takes_a_third_off_the_surface_error_of_landmarks_alone(person, landmark_fit, dense_fit):
    # The landmarks of this person are nearly exact, so that they alone come to 0.2 mm, which no detector's do.
    before, after = surface_error_mm(person, landmark_fit), surface_error_mm(person, dense_fit)
    assert after < 0.67 * before, f"landmarks {before:.3f} mm, dense {after:.3f} mm"
    assert after < 0.15


def test_dense_flow_recovers_every_pose_to_half_a_degree(person, dense_fit):
    errors = pose_errors_deg(person, dense_fit)
    assert errors.max() < 0.5, errors.round(2)


def test_dense_flow_recovers_the_focal_length_from_exif_that_is_off_by_three_percent(dense_fit):
    focal = dense_fit.state.focal_px(dense_fit.problem.views[0])
    assert focal[0] == pytest.approx(FOCAL_PX, rel=0.01)


def test_every_stage_reports_its_matches_and_its_cost_by_name(dense_fit):
    assert [report.stage for report in dense_fit.reports] == ["coarse flow", "middle flow", "fine flow"]
    assert all({"matches", "landmarks", "shape prior"} <= set(report.cost) for report in dense_fit.reports)
    assert all((report.matches_per_view > 500).all() for report in dense_fit.reports)


def test_fit_is_deterministic_to_the_bit(person):
    three = prepare_person(person, focal_px=1.03 * FOCAL_PX, used=(1, 3, 5))
    fits = [solve(three, "fast", use_dense=True, free_form=True) for _ in range(2)]
    # Flow between both pairs of neighbours had its say. From three views cross-validation adds no offsets.
    assert [report.num_pairs for report in fits[0].reports] == [2, 2]
    for field in dataclasses.fields(fits[0].state):
        np.testing.assert_array_equal(getattr(fits[0].state, field.name), getattr(fits[1].state, field.name), err_msg=field.name)
    np.testing.assert_array_equal(fits[0].problem.deformable.offsets, fits[1].problem.deformable.offsets)


def test_calibrated_rig_gives_the_head_its_metric_size_and_place():
    big = make_person(load_head(), scale=1.08, yaws_deg=(-40.0, -20.0, 2.0, 22.0, 41.0))
    solution = solve(prepare_person(big, rig=True), "fast", use_dense=True, free_form=False)
    neutral, middle = recentred_neutral(solution.problem, solution.state)
    face = _face(big)
    # No alignment: size and shape must be right as they are.
    assert surface_error_mm(big, solution, with_scale=False) < 0.6
    size = np.linalg.norm(np.ptp(neutral[face], axis=0)) / np.linalg.norm(np.ptp(big.avatar.neutral[face].astype(float), axis=0))
    assert size == pytest.approx(1.0, abs=0.01)
    # The truth's eye midpoint is the origin of the rig's world.
    T_world_head = solution.state.T_world_head(solution.problem.views[0].instant)
    place_mm = 1e3 * np.linalg.norm(T_world_head[:3, :3] @ middle + T_world_head[:3, 3])
    assert place_mm < 1.0, f"{place_mm:.2f} mm"


def test_one_photo_is_fitted_from_its_landmarks(person):
    prepared = prepare_person(person, focal_px=FOCAL_PX, used=(3,))
    solution = solve(prepared, "full", use_dense=True, free_form=True)
    assert solution.registered == [0] and solution.reports == ()
    view = solution.problem.views[0]
    yaw_error = Rotation.from_matrix(solution.state.T_cam_head(view)[:3, :3] @ person.cameras[3].T_cam_world[:3, :3].T).magnitude()
    assert np.degrees(yaw_error) < 4.0


def test_view_with_wrong_landmarks_is_rejected_with_its_figure_and_the_others_stay(person):
    wrong = person.landmarks_px[2][:, ::-1] * [0.4, 0.9] + [90.0, 10.0]  # x and y swapped and squeezed: no face looks like this
    broken = dataclasses.replace(person, landmarks_px=(*person.landmarks_px[:2], wrong, *person.landmarks_px[3:]))
    solution = solve(prepare_person(broken, focal_px=FOCAL_PX), "fast", use_dense=False, free_form=False)
    assert list(solution.rejected) == [2]
    assert solution.rejected[2].startswith("rejected: reprojection ") and solution.rejected[2].endswith(" px")
    assert float(solution.rejected[2].split()[2]) > 8  # the others stay below 2
    assert solution.registered == [0, 1, 3, 4, 5, 6]


def test_shape_prior_keeps_an_unseen_head_at_the_average(loose):
    problem: Problem = dataclasses.replace(loose.problem, landmark_weight=np.full(len(loose.problem.landmark_weight), 1e-9))
    solution = solve(dataclasses.replace(loose, problem=problem), "full", use_dense=False, free_form=False)
    assert np.abs(solution.state.coeffs).max() < 1e-3
