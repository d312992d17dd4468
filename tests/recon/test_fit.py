"""`recon.fit` from files to avatar, on the sample capture and on what is left of it in bad cases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import recon
from assets.errors import DetectionError
from recon import FitSettings
from recon.fitting import ONE_PHOTO_NOTE

SAMPLE = Path(__file__).parents[2] / "assets" / "sample"
FEW = ("neutral_02.jpg", "neutral_04.jpg", "neutral_06.jpg", "smile_00.jpg")


def _folder(path: Path, names: tuple[str, ...]) -> Path:
    path.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(SAMPLE / name, path / name)
    return path


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> recon.Avatar:
    """Four photos and a text file that calls itself a photo, landmarks and coarse flow, no texture."""
    folder = _folder(tmp_path_factory.mktemp("few"), FEW)
    (folder / "notes.jpg").write_text("not a photo")
    stages: list[str] = []
    avatar = recon.fit(
        recon.load_capture(folder), FitSettings(preset="fast", free_form=False, texture=False), progress=lambda s, _d, _t: stages.append(s)
    )
    assert any(s.startswith("landmarks: 4 views") for s in stages) and any(s.startswith("middle flow") for s in stages)
    return avatar


def test_every_picture_comes_back_with_a_status_and_the_bad_one_says_why(few):
    by_name = {view.name: view for view in few.views}
    assert set(by_name) == {*FEW, "notes.jpg"}
    assert all(by_name[name].status == "ok" and by_name[name].camera is not None for name in FEW)
    assert by_name["notes.jpg"].status == "not_an_image" and by_name["notes.jpg"].camera is None
    assert np.isnan(by_name["notes.jpg"].yaw_deg)


def test_head_pose_of_each_photo_is_the_true_one(few):
    truth = {frame["file"]: np.array(frame["camera"]["world_to_camera"]) for frame in _truth() if "camera" in frame}
    compared = [view for view in few.views if view.camera is not None and view.name in truth]
    assert {view.name for view in compared} == set(FEW)
    for view in compared:
        # The truth's world is the head frame, so yaw can be read off the direction of the head's +Z in the camera.
        forward = truth[view.name][:3, 2]
        yaw_deg = np.degrees(np.arctan2(forward[0], -forward[2]))
        assert view.yaw_deg == pytest.approx(yaw_deg, abs=4.0), view.name


def _truth() -> list[dict]:
    return json.loads((SAMPLE / "gt" / "frames.json").read_text())["frames"]


def test_loose_photos_share_the_head_frame_as_their_world(few):
    assert few.scale == "relative"
    np.testing.assert_array_equal(few.T_world_head, np.eye(4))
    np.testing.assert_allclose(few.eye_centres.mean(0), 0.0, atol=1e-6)
    for view in few.views:
        if view.camera is not None:
            np.testing.assert_array_equal(view.T_world_head, np.eye(4))


def test_camera_of_a_photo_puts_the_mesh_onto_the_detected_landmarks(few):
    for view in few.views:
        if view.camera is not None:
            assert view.residual_px < 0.02 * view.camera.width, view.name
            px, depth = view.camera.project(few.landmarks.points(few.vertices(view.weights), few.head.triangles).astype(float))
            assert (depth > 0.1).all() and (px > 0).all() and (px < [view.camera.width, view.camera.height]).all()


def test_smile_is_seen_in_the_smiling_photo_alone(few):
    smile = {view.name: view.weights.get("mouthSmileLeft", 0.0) + view.weights.get("mouthSmileRight", 0.0) for view in few.views}
    assert smile["smile_00.jpg"] > 0.3
    assert smile["smile_00.jpg"] > 2 * smile["neutral_04.jpg"]
    assert all(0.0 <= weight <= 1.0 for view in few.views for weight in view.weights.values())


def test_known_interpupillary_distance_makes_loose_photos_metric(tmp_path):
    folder = _folder(tmp_path, ("neutral_04.jpg",))
    avatar = recon.fit(recon.load_capture(folder), FitSettings(interpupillary_mm=70.0, texture=False))
    left, right = avatar.eye_centres
    assert 1e3 * np.linalg.norm(left - right) == pytest.approx(70.0, abs=1e-3)
    assert avatar.scale == "metric"
    # The camera has moved away with the size, so that the picture stays what it was.
    assert avatar.views[0].camera is not None and avatar.views[0].residual_px < 15
    px, _ = avatar.views[0].camera.project(avatar.vertices(avatar.views[0].weights).astype(float))
    assert (px.max(0) - px.min(0))[0] < avatar.views[0].camera.width


def test_one_photo_works_and_says_what_it_cannot_give(tmp_path):
    avatar = recon.fit(recon.load_capture(_folder(tmp_path, ("neutral_04.jpg",))), FitSettings(texture=False))
    assert [note for note in avatar.notes if "one p" in note.lower()] == [ONE_PHOTO_NOTE]
    assert avatar.views[0].status == "ok"


def test_no_face_anywhere_is_an_error_in_three_parts(tmp_path):
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with pytest.raises(DetectionError) as caught:
        recon.fit(recon.load_capture(tmp_path), FitSettings(texture=False))
    assert caught.value.expected and caught.value.got and caught.value.do
