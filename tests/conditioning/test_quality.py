"""Adherence of a frame: numbers by hand with a stand-in detector, and the real detector on a photo."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from assets.errors import ShapeError
from conditioning import quality
from conditioning.quality import measure_adherence, summarise
from recon.capture import Detection
from render.camera import Camera
from render.head_pose import HeadPose, head_pose_matrix


def face_points() -> np.ndarray:
    """(478, 3) an uneven shell like a face, metres, eye corners 8 cm apart."""
    rng = np.random.default_rng(2)
    xy = rng.uniform(-0.07, 0.07, (478, 2))
    points = np.column_stack([xy, 0.06 - 8 * (xy**2).sum(1)])
    points[33], points[263] = (-0.04, 0.03, 0.0), (0.04, 0.03, 0.0)
    return points


def found(monkeypatch, pixels):
    """Make the detector answer with these pixels (None: no face)."""

    def detect(view, image):
        return None if pixels is None else Detection("x", "mediapipe478", pixels * image.shape[1] / 512, num_faces=1)

    monkeypatch.setattr(quality, "detect", detect)


def camera() -> Camera:
    """512 px, focal length 600 px, 0.8 m before the face and looking at it."""
    T_cam_world = np.diag([1.0, -1.0, -1.0, 1.0])
    T_cam_world[2, 3] = 0.8
    return Camera(np.array([[600.0, 0, 256], [0, 600.0, 256], [0, 0, 1]]), T_cam_world, 512, 512)


def measure(points, pixels, view):
    return measure_adherence(np.zeros((view.height, view.width, 3), np.uint8), pixels, landmarks_world=points, camera=view, name="a")


def test_shift_of_six_pixels_is_a_tenth_of_the_inter_ocular_distance(monkeypatch):
    # 0.08 m at 0.8 m and 600 px is 60 px; a shift of 3.6 and 4.8 px is 6 px, so 0.1.
    points, view = face_points(), camera()
    asked, _ = view.project(points)
    found(monkeypatch, asked + (3.6, 4.8))
    result = measure(points, asked, view)
    assert result.status == "ok" and result.nme == pytest.approx(0.1, abs=1e-6) and result.enlarged == 1


@pytest.mark.parametrize("pose", [HeadPose(5, 0, 0), HeadPose(0, 4, 0), HeadPose(0, 0, -3), HeadPose(6, -2, 3)])
def test_a_head_turned_too_far_gives_its_turn_with_its_sign(monkeypatch, pose):
    points, view = face_points(), camera()
    asked, _ = view.project(points)
    turned, _ = view.project(points @ head_pose_matrix(pose).T)
    found(monkeypatch, turned)
    result = measure(points, asked, view)
    assert (result.yaw_error_deg, result.pitch_error_deg, result.roll_error_deg) == pytest.approx(
        (pose.yaw_deg, pose.pitch_deg, pose.roll_deg), abs=0.01
    )


def test_profile_does_not_blow_up_the_normalised_error(monkeypatch):
    points = face_points() @ head_pose_matrix(HeadPose(yaw_deg=90)).T
    view = camera()
    asked, _ = view.project(points)
    found(monkeypatch, asked + (6, 0))
    assert measure(points, asked, view).nme == pytest.approx(0.1, rel=0.1)


def test_small_pictures_are_enlarged_and_the_points_brought_back(monkeypatch):
    points, view = face_points(), camera().resized(width=128, height=128)
    asked, _ = view.project(points)
    found(monkeypatch, asked * 4)
    result = measure(points, asked, view)
    assert result.enlarged == 4 and result.nme == pytest.approx(0, abs=1e-6)


def test_no_face_is_counted_apart(monkeypatch):
    points, view = face_points(), camera()
    asked, _ = view.project(points)
    found(monkeypatch, asked + (6, 0))
    good = measure(points, asked, view)
    found(monkeypatch, None)
    lost = measure(points, asked, view)
    assert lost.status == "no_face" and math.isnan(lost.nme)
    summary = summarise([good, lost, good])
    assert (summary.num_frames, summary.num_no_face) == (3, 1) and summary.nme_median == pytest.approx(0.1)
    assert math.isnan(summarise([lost]).nme_median)


def test_picture_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="camera's size"):
        measure_adherence(np.zeros((8, 8, 3), np.uint8), np.zeros((478, 2)), landmarks_world=face_points(), camera=camera())


def test_the_real_detector_finds_a_photo_true_to_itself_and_a_shifted_one_shifted():
    photos = Path(os.environ.get("RECON_DATA", "../shared")) / "captures" / "real-d" / "images"
    if not photos.is_dir():
        pytest.skip(f"no photos at {photos}")
    from recon.detect import find_faces

    rgb = np.asarray(Image.open(sorted(photos.iterdir())[0]).convert("RGB"))
    scale = 1024 / max(rgb.shape[:2])
    rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = rgb.shape[:2]
    faces = find_faces(rgb)
    assert faces, "the photo has a face"
    landmarks = faces[0].landmarks
    # A weak-perspective head at 1 m with the detector's own relief is enough for a rotation.
    focal = 1.2 * width
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    depth = 1 + landmarks[:, 2:] / focal
    points = np.concatenate([(landmarks[:, :2] - (width / 2, height / 2)) / focal * depth, depth], axis=1)
    view = Camera(K, np.eye(4), width, height)
    true = measure_adherence(rgb, landmarks[:, :2], landmarks_world=points, camera=view)
    assert true.status == "ok" and true.nme < 0.03
    assert max(abs(true.yaw_error_deg), abs(true.pitch_error_deg), abs(true.roll_error_deg)) < 2
    moved = np.roll(rgb, 20, axis=1)
    expected = 20 / np.linalg.norm(landmarks[33] - landmarks[263])
    assert measure_adherence(moved, landmarks[:, :2], landmarks_world=points, camera=view).nme == pytest.approx(expected, rel=0.2)
    assert measure_adherence(np.full_like(rgb, 90), landmarks[:, :2], landmarks_world=points, camera=view).status == "no_face"
