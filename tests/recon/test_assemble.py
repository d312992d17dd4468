"""From the solver's state to the avatar: the avatar's records pose the same vertices and project to the same pixels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import recon.texture
from assets import load_head
from assets.errors import RangeError
from recon import FitSettings, fit
from recon.avatar import Avatar
from recon.capture import Capture
from recon.fitting import NO_PARALLAX_NOTE, ONE_PHOTO_NOTE, _with_texture, assemble
from recon.solve.prepare import Prepared
from recon.solve.solution import Solution
from recon.solve.start import empty_state
from recon.texture import BakedTexture
from render import DEFAULT_LIGHT
from tests.recon.synthetic_person import Person, make_person, prepare_person


@pytest.fixture(scope="module")
def person() -> Person:
    return make_person(load_head(), yaws_deg=(-20.0, 25.0))


def solution_of(prepared: Prepared, *, log_scale: float) -> Solution:
    """Arbitrary shape, offsets, poses and expressions: a smiling, talking head, never at rest, that no solver has touched."""
    rng = np.random.default_rng(11)
    problem = prepared.problem
    problem = dataclasses.replace(
        problem, deformable=problem.deformable.with_offsets(rng.normal(0, 5e-4, problem.deformable.offsets.shape))
    )
    count = 1 + max(view.instant for view in problem.views)
    state = empty_state(problem, num_focals=len(problem.focal_sd), num_instants=count)
    state = dataclasses.replace(
        state,
        coeffs=rng.normal(0, 0.5, len(state.coeffs)),
        log_scale=log_scale,
        rotations=state.rotations @ Rotation.from_euler("xyz", rng.uniform(-25, 25, (count, 3)), degrees=True).as_matrix(),
        translations=state.translations + rng.normal(0, 0.02, (count, 3)),
        weights=rng.uniform(0.05, 0.9, state.weights.shape),
    )
    return Solution(state, problem, list(range(len(problem.views))), {}, ())


def assembled(prepared: Prepared, solution: Solution, person: Person, **settings) -> Avatar:
    capture = Capture(Path(), prepared.views, "metric" if prepared.is_rig else "relative")
    return assemble(capture, prepared, solution, person.avatar.landmarks, FitSettings(**settings))


def solved_px(prepared: Prepared, solution: Solution, index: int) -> np.ndarray:
    """(V, 2) view pixels of the head as the solver poses it."""
    view, picture = solution.problem.views[index], prepared.pictures[index]
    px, _ = solution.state.camera_in_head(view).project(solution.problem.posed(solution.state)[index].astype(np.float64))
    return px / picture.scale + picture.origin_px


def test_a_rigs_avatar_poses_each_view_as_the_solver_did_whatever_the_solved_scale(person):
    prepared = prepare_person(person, rig=True)
    solution = solution_of(prepared, log_scale=np.log(1.3))
    avatar = assembled(prepared, solution, person)
    for index, view in enumerate(avatar.views):
        T = solution.state.T_world_head(solution.problem.views[index].instant)
        expected = solution.problem.posed(solution.state)[index] @ T[:3, :3].T + T[:3, 3]
        np.testing.assert_allclose(avatar.pose_view(view).vertices, expected, atol=2e-6)


def test_a_rig_of_which_no_two_cameras_saw_one_instant_is_not_called_metric(person):
    prepared = prepare_person(person, rig=True)
    both = solution_of(prepared, log_scale=0.0)
    assert both.problem.views[0].instant == both.problem.views[1].instant
    assert assembled(prepared, both, person).scale == "metric"
    alone = assembled(prepared, dataclasses.replace(both, registered=[0]), person)
    assert alone.scale == "relative" and NO_PARALLAX_NOTE in alone.notes


@pytest.mark.parametrize("interpupillary_mm", [0.0, 50.0, 75.0])
def test_a_stated_size_changes_no_pixel_of_a_smiling_photo(person, interpupillary_mm):
    prepared = prepare_person(person, focal_px=600.0)
    solution = solution_of(prepared, log_scale=0.0)
    avatar = assembled(prepared, solution, person, interpupillary_mm=interpupillary_mm)
    if interpupillary_mm:
        assert avatar.scale == "metric"
        assert 1e3 * np.linalg.norm(np.subtract(*avatar.eye_centres)) == pytest.approx(interpupillary_mm, abs=1e-3)
    for index, view in enumerate(avatar.views):
        assert view.camera is not None
        px, _ = view.camera.project(avatar.pose_view(view).vertices.astype(np.float64))
        np.testing.assert_allclose(px, solved_px(prepared, solution, index), atol=5e-3)


@pytest.mark.parametrize("distance_mm", [-63.0, 0.063, 6.3, 630.0, float("nan"), float("inf")])
def test_a_distance_between_pupils_that_nobody_has_is_refused_before_any_work(distance_mm):
    with pytest.raises(RangeError, match="40 to 90 millimetres"):
        fit(Capture(Path(), (), "relative"), FitSettings(interpupillary_mm=distance_mm))


@pytest.mark.parametrize("notes", [(), (ONE_PHOTO_NOTE,)])
def test_the_note_on_a_single_photo_stands_once(person, notes):
    prepared = prepare_person(person, used=(0,))
    capture = Capture(Path(), prepared.views, "relative", notes=notes)
    avatar = assemble(capture, prepared, solution_of(prepared, log_scale=0.0), person.avatar.landmarks, FitSettings())
    assert [note for note in avatar.notes if "one" in note.lower()] == [ONE_PHOTO_NOTE]


def test_the_texture_is_told_which_pictures_are_grey_and_its_notes_reach_the_avatar(person, monkeypatch):
    told = []

    def bake(avatar, images, *, grey_views, progress):
        told.append(grey_views)
        return BakedTexture(avatar.albedo_srgb, avatar.confidence, DEFAULT_LIGHT, {}, ("texture from 1 of 2 views",), avatar.views)

    monkeypatch.setattr(recon.texture, "bake_texture", bake)
    views = tuple(dataclasses.replace(view, is_grey=view.name == "1.png") for view in prepare_person(person).views)
    avatar = dataclasses.replace(person.avatar, notes=("first",))
    assert _with_texture(avatar, Capture(Path(), views, "relative"), None).notes == ("first", "texture from 1 of 2 views")
    assert told == [{"1.png"}]
