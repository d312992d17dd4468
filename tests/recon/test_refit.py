"""One more picture with a held avatar: pose, expression, focal length and exposure of a rendering come back; identity does not move."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from assets import load_head
from assets.detector_model import load_detector_model
from assets.errors import DetectionError
from recon.avatar import FittedView
from recon.capture import Detection, View
from recon.refit import Refitter
from render import Frame, look_at, render_buffers, sh_basis, srgb_to_linear
from render.shading import linear_to_srgb_bytes
from tests.recon.synthetic_person import TARGET, make_person, skin_embedding

WEIGHTS = {"jawOpen": 0.35, "mouthSmileLeft": 0.5, "browInnerUp": 0.4, "mouthLeft": 0.15}
GAIN = np.array([0.7, 0.8, 0.95], np.float32)
"""A darker picture with a blue cast."""
YAW_DEG, SIZE_PX, FOCAL_PX = 22.0, 520, 900.0


@pytest.fixture(scope="module")
def held():
    """An avatar, a picture of it, the picture's landmarks with noise, and the camera."""
    head = load_head()
    avatar = make_person(head, yaws_deg=()).avatar
    avatar = dataclasses.replace(avatar, confidence=np.full((64, 64), 255, np.uint8))
    yaw = np.radians(YAW_DEG)
    camera = look_at(
        TARGET + 0.5 * np.array([np.sin(yaw), 0.1, np.cos(yaw)]),
        TARGET + (0.01, 0.0, 0.0),
        up=np.array([0.08, 1.0, 0.0]),
        focal_px=FOCAL_PX,
        width=SIZE_PX,
        height=SIZE_PX + 40,
    )
    buffers = render_buffers(avatar, Frame("new", camera, weights=WEIGHTS), (0.1, 2.0))
    rng = np.random.default_rng(5)
    linear = srgb_to_linear(buffers.beauty_srgb) * GAIN
    photo = np.clip(linear_to_srgb_bytes(linear) + rng.normal(0, 1.5, linear.shape), 0, 255).astype(np.uint8)
    # The detector's landmarks lie where its calibration has them for this yaw, not where the sparse test embedding does.
    model = load_detector_model(head)
    points = model.points(buffers.mesh.vertices, head.triangles, YAW_DEG)
    landmarks = camera.project(points)[0] + rng.normal(0, 2.0, (len(points), 2))
    avatar = dataclasses.replace(avatar, landmarks=skin_embedding(head, len(points)))
    return avatar, photo, Detection("new.png", "mediapipe478", landmarks.astype(np.float32), 1), camera


def view_of(photo, **changes) -> View:
    return View("new.png", Path("new.png"), width=photo.shape[1], height=photo.shape[0], **changes)


@pytest.fixture(scope="module")
def found(held) -> FittedView:
    avatar, photo, detection, camera = held
    return Refitter(avatar).fit(view_of(photo, camera=camera), photo, detection=detection)


def test_the_head_of_a_calibrated_picture_is_found_in_the_world(held, found):
    turn = found.T_world_head[:3, :3]
    assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 0.3
    assert 1e3 * np.linalg.norm(found.T_world_head[:3, 3]) < 1.0
    assert found.camera is held[3]


def test_its_expression_is_found_one_sided_as_it_is(found):
    for name, weight in WEIGHTS.items():
        assert found.weights[name] == pytest.approx(weight, abs=0.12), name
    assert found.weights["mouthSmileLeft"] > found.weights.get("mouthSmileRight", 0.0) + 0.3


def test_the_posed_surface_is_right_to_a_fraction_of_a_millimetre(held, found):
    avatar = held[0]
    truth, face = avatar.vertices(WEIGHTS), avatar.head.vertex_regions == 1
    off_mm = 1e3 * np.linalg.norm(avatar.pose_view(found).vertices - truth, axis=1)[face]
    assert np.median(off_mm) < 0.5 and np.percentile(off_mm, 95) < 1.5


def test_exposure_and_white_balance_are_found(found):
    np.testing.assert_allclose(found.gain_linear, GAIN, rtol=0.03)


def test_a_loose_picture_gives_pose_and_focal_length_together(held):
    avatar, photo, detection, camera = held
    found = Refitter(avatar).fit(view_of(photo, focal_px=0.97 * FOCAL_PX), photo, detection=detection)
    # From the subject's left the head is seen turned to its right.
    assert found.yaw_deg == pytest.approx(-YAW_DEG, abs=2.0)
    projected = found.camera.project(avatar.pose_view(found).vertices)[0]
    truth = camera.project(avatar.vertices(WEIGHTS))[0]
    face = avatar.head.vertex_regions == 1
    assert np.median(np.linalg.norm(projected - truth, axis=1)[face]) < 1.0
    # A held head of known size tells the focal length only by perspective: what EXIF says is believed, to its two per cent.
    assert found.camera.K[0, 0] == pytest.approx(FOCAL_PX, rel=0.05)


def test_an_avatar_of_another_size_is_fitted_in_its_own(held):
    """Where a stated distance made the head larger, poses come out in its millimetres."""
    avatar, photo, detection, _ = held
    size = 1.07
    larger = dataclasses.replace(
        avatar,
        offsets=(size * avatar.neutral - avatar.head.neutral(avatar.identity_coeffs)).astype(np.float32),
        expression_scale=size,
    )
    found = Refitter(larger).fit(view_of(photo, focal_px=FOCAL_PX), photo, detection=detection)
    plain = Refitter(avatar).fit(view_of(photo, focal_px=FOCAL_PX), photo, detection=detection)
    np.testing.assert_allclose(found.camera.position_world, size * plain.camera.position_world, rtol=0.01)
    assert found.yaw_deg == pytest.approx(plain.yaw_deg, abs=0.2)


def test_a_picture_without_a_face_is_refused(held):
    avatar = held[0]
    wall = np.full((300, 300, 3), 128, np.uint8)
    with pytest.raises(DetectionError, match=r"none in new\.png"):
        Refitter(avatar).fit(view_of(wall), wall)


def test_the_light_of_a_rig_stays_in_the_world_when_its_camera_is_the_origin(held):
    """Stereo rigs take the reference camera for their world: it is calibrated, however its extrinsics look."""
    avatar, photo, detection, camera = held
    T_new_old = camera.T_cam_world
    turned = dataclasses.replace(avatar, T_world_head=T_new_old @ avatar.T_world_head, light=turned_light(avatar.light, T_new_old[:3, :3]))
    at_origin = dataclasses.replace(camera, T_cam_world=np.eye(4))
    found = Refitter(turned).fit(view_of(photo, camera=at_origin), photo, detection=detection)
    np.testing.assert_allclose(found.gain_linear, GAIN, rtol=0.03)
    np.testing.assert_allclose(found.T_world_head, T_new_old, atol=2e-3)


def turned_light(light, turn: np.ndarray):
    """The light whose irradiance on a turned normal is the old one's on the normal, by least squares over the sphere."""
    normals = np.random.default_rng(0).standard_normal((400, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    wanted = sh_basis(normals) @ light.sh_linear
    return dataclasses.replace(light, sh_linear=np.linalg.lstsq(sh_basis(normals @ turn.T), wanted, rcond=None)[0].astype(np.float32))
