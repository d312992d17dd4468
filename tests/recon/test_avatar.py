"""Posing an avatar: signs, pivots and the order of expression, gaze, head turn and world."""

import dataclasses

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import DegenerateGeometryError, RangeError
from assets.head_model import PARTS
from recon.avatar import Avatar, FittedView
from render.camera import Camera
from render.sweep import Frame, Gaze, HeadPose, Posable
from tests.recon.toy_head import EYE_RADIUS_M, toy_avatar, toy_head

HEAD = toy_head()
CAMERA = Camera(np.array([[500.0, 0, 256], [0, 500, 256], [0, 0, 1]]), np.eye(4), 512, 512)
# 90 degrees about +Y and a shift: x -> -z, z -> x.
T_WORLD = np.array([[0, 0, 1, 0.5], [0, 1, 0, -0.25], [-1, 0, 0, 2.0], [0, 0, 0, 1]])


def plain(**changes) -> Avatar:
    zero = {"identity_coeffs": np.zeros(3, np.float32), "offsets": np.zeros_like(HEAD.vertices)}
    return toy_avatar(**({"head": HEAD} | zero | changes))


def iris(side: str) -> int:
    ball = np.flatnonzero(HEAD.vertex_parts == PARTS.index(f"eye_{side}"))
    return int(ball[HEAD.vertices[ball, 2].argmax()])


def test_the_avatar_is_a_posable():
    posable: Posable = toy_avatar(HEAD)
    assert posable.pose(Frame("0", CAMERA)).vertices.shape == HEAD.vertices.shape
    assert posable.albedo_srgb.dtype == np.uint8 and posable.light.sh_linear.shape == (9, 3)


def test_neutral_is_basis_plus_free_form_offsets():
    avatar = toy_avatar(HEAD)
    expected = HEAD.vertices + 0.5 * HEAD.identity_basis[0] - 0.3 * HEAD.identity_basis[1] + HEAD.identity_basis[2] + avatar.offsets
    np.testing.assert_allclose(avatar.neutral, expected, atol=1e-8)
    np.testing.assert_array_equal(avatar.pose(Frame("0", CAMERA)).vertices, avatar.neutral)


@pytest.mark.parametrize("side", ["left", "right"])
def test_gaze_20_degrees_to_the_subjects_left_moves_the_iris_to_plus_x_and_up_to_plus_y(side):
    avatar, tip = plain(), iris(side)
    start = avatar.neutral[tip]
    moved = avatar.pose(Frame("0", CAMERA, gaze=Gaze(yaw_deg=20))).vertices[tip] - start
    np.testing.assert_allclose(moved, EYE_RADIUS_M * np.array([np.sin(np.radians(20)), 0, np.cos(np.radians(20)) - 1]), atol=1e-6)
    moved = avatar.pose(Frame("0", CAMERA, gaze=Gaze(pitch_deg=20))).vertices[tip] - start
    np.testing.assert_allclose(moved, EYE_RADIUS_M * np.array([0, np.sin(np.radians(20)), np.cos(np.radians(20)) - 1]), atol=1e-6)


def test_gaze_moves_eyeballs_only_and_keeps_their_centres():
    avatar = toy_avatar(HEAD)
    turned = avatar.pose(Frame("0", CAMERA, gaze=Gaze(-25, 10))).vertices
    skin = HEAD.vertex_parts == PARTS.index("skin")
    np.testing.assert_array_equal(turned[skin], avatar.neutral[skin])
    np.testing.assert_allclose(HEAD.eye_centres(turned), avatar.eye_centres, atol=1e-7)


def test_eye_centres_and_neck_joint_follow_the_identity():
    shift = np.array([0.001, -0.004, 0.002], np.float32)
    moved = plain(offsets=np.broadcast_to(shift, HEAD.vertices.shape).copy())
    np.testing.assert_allclose(moved.eye_centres, plain().eye_centres + shift, atol=1e-7)
    np.testing.assert_allclose(moved.neck_joint, HEAD.neck_joint + shift, atol=1e-7)
    np.testing.assert_allclose(plain().neck_joint, HEAD.neck_joint, atol=1e-9)


def test_look_weights_and_gaze_add_up():
    deltas = HEAD.blendshape_deltas.copy()
    deltas[2, iris("left")] = (-0.001, 0, 0)  # eyeLookInLeft: the left eye looks to the subject's right.
    avatar = plain(head=dataclasses.replace(HEAD, blendshape_deltas=deltas))
    both = avatar.pose(Frame("0", CAMERA, weights={"eyeLookInLeft": 1.0}, gaze=Gaze(yaw_deg=20))).vertices[iris("left")]
    gaze = avatar.pose(Frame("0", CAMERA, gaze=Gaze(yaw_deg=20))).vertices[iris("left")]
    turned_delta = -0.001 * np.array([np.cos(np.radians(20)), 0, -np.sin(np.radians(20))])
    np.testing.assert_allclose(both - gaze, turned_delta, atol=1e-7)


def test_head_yaw_turns_the_nose_to_the_subjects_left_about_the_neck_joint():
    avatar = plain()
    nose = int(HEAD.vertices[:, 2].argmax())
    lever = HEAD.vertices[nose] - HEAD.neck_joint
    turned = avatar.pose(Frame("0", CAMERA, head_pose=HeadPose(yaw_deg=90))).vertices[nose] - HEAD.neck_joint
    np.testing.assert_allclose(turned, (lever[2], lever[1], -lever[0]), atol=1e-6)  # +Z goes to +X, +X to -Z.


def test_head_turn_is_rigid_with_expression_and_gaze():
    avatar = toy_avatar(HEAD)
    frame = Frame("0", CAMERA, HeadPose(31, -17, 8), {"jawOpen": 0.7}, Gaze(5, 9))
    still = avatar.pose(dataclasses.replace(frame, head_pose=HeadPose())).vertices.astype(np.float64)
    turned = avatar.pose(frame).vertices.astype(np.float64)
    pairs = np.random.default_rng(0).integers(len(still), size=(500, 2))
    before, after = (np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1) for points in (still, turned))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_the_world_is_applied_last():
    avatar = toy_avatar(HEAD, T_world_head=T_WORLD)
    frame = Frame("0", CAMERA, HeadPose(yaw_deg=40), {"jawOpen": 1.0})
    local = toy_avatar(HEAD).pose(frame).vertices
    expected = np.stack([local[:, 2] + 0.5, local[:, 1] - 0.25, -local[:, 0] + 2.0], 1)
    np.testing.assert_allclose(avatar.pose(frame).vertices, expected, atol=1e-6)
    np.testing.assert_array_equal(avatar.mesh(frame="head").vertices, avatar.neutral)
    np.testing.assert_array_equal(avatar.mesh(frame="world").vertices, avatar.pose(Frame("0", CAMERA)).vertices)


def test_a_fitted_view_is_posed_by_its_own_pose_and_weights():
    view = FittedView("a.jpg", "ok", "", CAMERA, T_WORLD, {"jawOpen": 0.5}, 1.2, 0.0, 0.0, 0.0)
    local = toy_avatar(HEAD).vertices({"jawOpen": 0.5})
    expected = np.stack([local[:, 2] + 0.5, local[:, 1] - 0.25, -local[:, 0] + 2.0], 1)
    np.testing.assert_allclose(toy_avatar(HEAD).pose_view(view).vertices, expected, atol=1e-6)


def test_bad_requests_are_three_part_errors():
    with pytest.raises(RangeError, match="jawOpen"):
        toy_avatar(HEAD).pose(Frame("0", CAMERA, weights={"jawOpn": 1.0}))
    lost = FittedView("b.jpg", "no_face", "no face found", None, None, {}, np.nan, np.nan, np.nan, np.nan)
    with pytest.raises(DegenerateGeometryError, match=r"b\.jpg.*no_face"):
        toy_avatar(HEAD).pose_view(lost)


def test_corrected_shapes_move_by_head_model_plus_correction_and_the_others_by_the_head_model():
    correction = np.random.default_rng(8).normal(0, 1e-3, HEAD.vertices.shape).astype(np.float32)
    plain_deltas = plain(expression_scale=1.25).blendshape_deltas
    avatar = plain(expression_scale=1.25, shape_corrections={"mouthSmileLeft": correction})
    for name, with_it, without in zip(ARKIT_BLENDSHAPES, avatar.blendshape_deltas, plain_deltas, strict=True):
        np.testing.assert_allclose(with_it - without, correction if name == "mouthSmileLeft" else 0, atol=1e-9, err_msg=name)
    half = avatar.vertices({"mouthSmileLeft": 0.5}) - plain(expression_scale=1.25).vertices({"mouthSmileLeft": 0.5})
    below_the_eyes = HEAD.vertices[:, 1] < -0.03
    np.testing.assert_allclose(half[below_the_eyes], 0.5 * correction[below_the_eyes], atol=2e-8)


def test_a_correction_of_a_shape_that_nobody_knows_is_refused():
    with pytest.raises(RangeError, match="jawOpen"):
        plain(shape_corrections={"jawOpn": np.zeros_like(HEAD.vertices)}).blendshape_deltas  # noqa: B018
