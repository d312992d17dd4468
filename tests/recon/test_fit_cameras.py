"""Focal lengths before the fit, and which pictures show one instant."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from recon.cameras import EXIF_FOCAL_SD, UNKNOWN_FOCAL_SD, believed_focal_sd, focal_prior, group_instants, principal_point_px
from recon.capture import View
from render import look_at
from tests.recon.synthetic_expressions import deformable_head, rig_problem


def _view(name: str, **fields) -> View:
    return View(name=name, path=Path(name), **({"width": 800, "height": 1000} | fields))


def _rig_view(name: str, angle_deg: float) -> View:
    x, z = np.sin(np.radians(angle_deg)), np.cos(np.radians(angle_deg))
    camera = look_at(np.array([x, 0.1, z]), np.zeros(3), up=np.array([0.0, 1.0, 0.0]), focal_px=1500.0, width=700, height=600)
    return _view(name, camera=camera, width=700, height=600)


def test_focal_without_exif_is_a_portrait_lens_known_to_a_fifth():
    prior = focal_prior([_view("a.jpg")])
    assert prior.focal_px.tolist() == [[1200.0, 1200.0]]
    assert prior.sd.tolist() == [UNKNOWN_FOCAL_SD] and not prior.is_known[0]


def test_portrait_and_landscape_of_one_camera_share_their_focal_and_a_guess_never_joins_exif():
    views = [_view("a", focal_px=900.0), _view("b", focal_px=903.0, width=1000, height=800), _view("c"), _view("d", focal_px=1400.0)]
    prior = focal_prior(views)
    assert prior.group[0] == prior.group[1]
    assert len({int(prior.group[k]) for k in (0, 2, 3)}) == 3
    assert prior.sd[prior.group[0]] == EXIF_FOCAL_SD and prior.sd[prior.group[2]] == UNKNOWN_FOCAL_SD


def test_calibrated_cameras_keep_both_focal_lengths_and_their_principal_point():
    view = _rig_view("a_cam00.png", 10.0)
    assert focal_prior([view]).focal_px.tolist() == [[1500.0, 1500.0]]
    assert focal_prior([view]).sd[0] < 1e-5
    assert principal_point_px(view).tolist() == [350.0, 300.0]
    assert principal_point_px(_view("b")).tolist() == [400.0, 500.0]


def test_exif_is_held_as_long_as_it_may_be_right_and_let_go_where_it_cannot():
    sd, found = np.array([EXIF_FOCAL_SD, EXIF_FOCAL_SD, EXIF_FOCAL_SD, UNKNOWN_FOCAL_SD]), np.log([1.02, 1.04, 1.3, 1.15])
    rounded, focused, cropped, guessed = np.abs(found) / believed_focal_sd(sd, found) ** 2
    # The pull back to the start: of a rounded entry nearly the full one, of a cropped picture's less than of one much nearer.
    assert rounded == pytest.approx(np.log(1.02) / EXIF_FOCAL_SD**2, rel=0.15)
    assert focused > rounded and cropped < 0.1 * focused
    assert guessed == pytest.approx(np.log(1.15) / UNKNOWN_FOCAL_SD**2, rel=0.2)


def test_doubt_of_focal_lengths_leaves_calibrated_cameras_alone():
    problem, _ = rig_problem(deformable_head(), 2)
    doubting = dataclasses.replace(problem, focal_sd=np.array([1e-6, EXIF_FOCAL_SD, 0.4])).doubting_focals()
    assert doubting.focal_sd.tolist() == [1e-6, UNKNOWN_FOCAL_SD, 0.4]


def test_loose_pictures_are_each_an_instant_of_their_own():
    assert group_instants([_view("smile_cam00.jpg"), _view("smile_cam01.jpg")]).tolist() == [0, 1]


def test_names_of_a_rig_tell_the_instants():
    names = ["smile_cam00.jpg", "neutral_cam00.jpg", "smile_cam03.jpg", "neutral_cam03.jpg"]
    views = [_rig_view(name, 20.0 * (k % 2)) for k, name in enumerate(names)]
    assert group_instants(views).tolist() == [1, 0, 1, 0]


def test_rig_given_inverted_is_still_one_instant_so_that_the_fit_can_notice():
    # Inverted, all cameras that look at one point from one distance have the same centre.
    views = [_rig_view(f"IMG_{k}.jpg", 20.0 * k) for k in range(3)]
    cameras = [dataclasses.replace(view.camera, T_cam_world=np.linalg.inv(view.camera.T_cam_world)) for view in views if view.camera]
    np.testing.assert_allclose([camera.position_world for camera in cameras], [cameras[0].position_world] * 3, atol=1e-9)
    inverted = [dataclasses.replace(view, camera=camera) for view, camera in zip(views, cameras, strict=True)]
    assert group_instants(inverted).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("angles", "instants"), [((0.0, 20.0, 40.0), [0, 0, 0]), ((0.0, 20.0, 0.0), [0, 1, 2])])
def test_rig_without_telling_names_is_one_instant_only_if_every_camera_occurs_once(angles, instants):
    views = [_rig_view(f"IMG_{k}.jpg", angle) for k, angle in enumerate(angles)]
    assert group_instants(views).tolist() == instants
