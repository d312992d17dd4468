"""Finding the face: where the landmarks are, which face, and what is no face at all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import recon.detect
from assets.errors import DetectionError, InputError, MissingAssetError, RangeError
from recon.capture import View
from recon.detect import CROP_SIDE_PX, DetectSettings, detect, detect_capture, find_faces
from recon.ingest import load_capture

VIEW = View(name="a.png", path=Path("a.png"))
IRIS_RIGHT, IRIS_LEFT = 468, 473


def place(canvas: np.ndarray, picture: np.ndarray, x: int, y: int) -> None:
    canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture


def scaled(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(np.ascontiguousarray(image)).save(path)


@pytest.fixture(params=["bundled", "tasks"])
def settings(request, monkeypatch) -> DetectSettings:
    """Of both detectors; `tasks` is skipped where its file is absent."""
    if request.param == "tasks":
        task = request.getfixturevalue("recon_data") / "assets/face_landmarker.task"
        if not task.is_file():
            pytest.skip(f"no FaceLandmarker at {task}")
        monkeypatch.setenv("RECON_FACE_LANDMARKER", str(task))
    return DetectSettings(detector=request.param)


@pytest.fixture
def no_face() -> np.ndarray:
    """A picture of hills: smooth noise in colours, with an edge."""
    rng = np.random.default_rng(4)
    image = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (500, 400), interpolation=cv2.INTER_CUBIC)
    image[300:] = (60, 90, 30)
    return image


@pytest.mark.parametrize(
    ("centre", "side", "tilt_deg"), [((640.3, 800.7), 1400.0, -5.0), ((60.0, 90.0), 1200.0, 8.0), ((1250.0, 1590.0), 1100.0, 0.0)]
)
def test_a_crop_of_a_large_picture_smooths_only_what_it_shows(monkeypatch, centre, side, tilt_deg):
    rng = np.random.default_rng(9)
    image = cv2.resize(rng.integers(0, 256, (320, 260, 3), dtype=np.uint8), (1300, 1600), interpolation=cv2.INTER_CUBIC)
    smooth, crops, smoothed = cv2.GaussianBlur, [], []
    monkeypatch.setattr(recon.detect, "_mesh", lambda crop, *_: crops.append(crop) or [])
    monkeypatch.setattr(cv2, "GaussianBlur", lambda part, *more: smoothed.append(part.shape) or smooth(part, *more))
    recon.detect._mesh_on_crop(image, None, np.array(centre), side, tilt_deg, 0.3)
    scale, tilt = CROP_SIDE_PX / side, np.radians(tilt_deg)
    linear = scale * np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    warp = np.column_stack([linear, CROP_SIDE_PX / 2 - linear @ centre + linear @ (0.5, 0.5) - 0.5])
    whole = smooth(image, (0, 0), 0.4 / scale)
    expected = cv2.warpAffine(whole, warp, (CROP_SIDE_PX, CROP_SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(crops[0].astype(int) - expected).max() <= 1
    assert smoothed[0][0] < image.shape[0]


def test_landmarks_lie_where_the_renderer_put_the_eyes(face_render, settings):
    # The painted irises are centred on the front of the eyeballs, so their middles are known to a fraction of a pixel.
    buffers, head = face_render
    vertices = buffers.mesh.vertices
    found = detect(VIEW, buffers.beauty_srgb, settings)
    assert found is not None and found.detector == settings.detector
    for landmark, part in ((IRIS_LEFT, 2), (IRIS_RIGHT, 3)):
        eye = vertices[head.vertex_parts == part].astype(np.float64)
        towards = buffers.camera.position_world - eye.mean(0)
        front = eye.mean(0) + 0.0163 * towards / np.linalg.norm(towards)
        # The lids hide the upper rim, which draws the middle that is seen down by a few pixels.
        np.testing.assert_allclose(found.landmarks_px[landmark], buffers.camera.project(front)[0], atol=4.0)
    # Left and right are the subject's own: the left eye is on the right of the picture.
    assert found.landmarks_px[IRIS_LEFT, 0] > found.landmarks_px[IRIS_RIGHT, 0] + 50


def test_pixel_centres_are_at_a_half(face_photo, settings):
    # Corner coordinates double when every pixel becomes four; with centres at whole numbers x would become 2 x + 0.5.
    biases = []
    for shift in (0, 9, 17, 26, 35):
        photo = np.pad(face_photo, ((shift, 0), (2 * shift, 0), (0, 0)), mode="edge")
        found, doubled = detect(VIEW, photo, settings), detect(VIEW, photo.repeat(2, 0).repeat(2, 1), settings)
        assert found is not None and doubled is not None
        biases.append(np.median(doubled.landmarks_px - 2 * found.landmarks_px, axis=0))
    assert np.abs(np.median(biases, axis=0)).max() < 0.25, biases


def test_landmarks_move_with_the_picture(face_photo, settings):
    found = detect(VIEW, face_photo, settings)
    moved = detect(VIEW, np.pad(face_photo, ((13, 0), (31, 0), (0, 0)), mode="edge"), settings)
    assert found is not None and moved is not None
    np.testing.assert_allclose(np.median(moved.landmarks_px - found.landmarks_px, axis=0), (31, 13), atol=0.3)


def test_detection_is_deterministic_and_independent_of_what_came_before(face_photo, no_face, settings):
    first = detect(VIEW, face_photo, settings)
    detect(VIEW, no_face, settings)
    detect(VIEW, np.ascontiguousarray(face_photo[:, ::-1]), settings)
    again = detect(VIEW, face_photo, settings)
    assert first is not None and again is not None
    np.testing.assert_array_equal(first.landmarks_px, again.landmarks_px)
    assert first.landmarks_px.shape == (478, 2) and first.landmarks_px.dtype == np.float32
    assert first.scheme == "mediapipe478" and first.view_name == "a.png"
    assert 0 < first.jitter_px < 0.02 * first.face_size_px


def test_detection_writes_nothing_to_the_terminal(face_photo, capfd):
    detect(VIEW, face_photo)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_the_largest_of_several_faces_is_used(face_photo, settings):
    crowd = np.full((700, 1100, 3), 128, np.uint8)
    place(crowd, scaled(face_photo, 350), 20, 300)
    place(crowd, face_photo, 450, 40)
    found = detect(VIEW, crowd, settings)
    alone = detect(VIEW, face_photo, settings)
    assert found is not None and alone is not None
    assert found.num_faces == 2
    assert np.median(np.linalg.norm(found.landmarks_px - alone.landmarks_px - (450, 40), axis=1)) < 2


def test_a_small_face_in_a_big_picture_is_found(face_photo, no_face, settings):
    big = cv2.resize(no_face, (3000, 2000))
    place(big, scaled(face_photo, 300), 2500, 1500)
    found = detect(VIEW, big, settings)
    assert found is not None
    centre = found.landmarks_px.mean(0)
    assert abs(centre[0] - 2650) < 40 and abs(centre[1] - 1640) < 60


@pytest.mark.parametrize("seed", range(3))
def test_noise_hills_and_a_grey_wall_have_no_face(seed, no_face, settings):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for image in (noise, no_face, np.full((200, 200, 3), 128, np.uint8), cv2.GaussianBlur(noise, (0, 0), 8)):
        assert find_faces(image, settings) == []


def test_head_turn_has_the_sign_of_the_conventions(face_render):
    from recon.calibrate import CalibrationSettings, random_sitter
    from recon.calibrate_skin import chart_of, paint_skin
    from render import Frame, HeadPose, head_pose_matrix, look_at, render_buffers

    head = face_render[1]
    # What the camera sees from the subject's right side is a face turned to its own left.
    rng = np.random.default_rng(2)
    sitter, _ = random_sitter(head, paint_skin(chart_of(head, side=512), rng), CalibrationSettings(), rng)
    place_m = head_pose_matrix(HeadPose(-30, 0, 0)) @ (0, -0.03, 0.7)
    camera = look_at(place_m, np.array([0, -0.03, 0.03]), focal_px=900, width=420, height=420)
    image = render_buffers(sitter, Frame("a", camera), (0.2, 2.0), supersample=1).beauty_srgb
    assert 15 < find_faces(image)[0].yaw_deg < 45


def test_each_bad_picture_among_good_ones_gets_its_status(tmp_path, face_photo, no_face):
    shifted = [np.roll(face_photo, 8 * index, axis=1) for index in range(3)]
    for index, image in enumerate(shifted):
        save(tmp_path / f"good{index}.png", image)
    save(tmp_path / "no_face.png", no_face)
    crowd = np.full((700, 1100, 3), 128, np.uint8)
    place(crowd, scaled(face_photo, 350), 20, 300)
    place(crowd, face_photo, 450, 40)
    save(tmp_path / "crowd.png", crowd)
    found = detect(VIEW, face_photo)
    assert found is not None
    # What counts as blurred: sigma 6 px on a face 400 px wide.
    save(tmp_path / "blurred.png", cv2.GaussianBlur(face_photo, (0, 0), 6 * found.face_size_px / 400))
    save(tmp_path / "grey.png", cv2.cvtColor(face_photo, cv2.COLOR_RGB2GRAY))
    tiny = np.full((240, 240, 3), 128, np.uint8)
    place(tiny, scaled(face_photo, 90), 70, 70)
    save(tmp_path / "tiny.png", tiny)
    (tmp_path / "text.jpg").write_text("no picture")

    capture, detections = detect_capture(load_capture(tmp_path))
    status = {view.name: view.status for view in capture.views}
    reason = {view.name: view.reason for view in capture.views}
    assert status == {
        "good0.png": "ok",
        "good1.png": "ok",
        "good2.png": "ok",
        "no_face.png": "no_face",
        "crowd.png": "several_faces",
        "blurred.png": "blurred",
        "grey.png": "ok",
        "tiny.png": "too_small",
        "text.jpg": "not_an_image",
    }
    assert set(detections) == {"good0.png", "good1.png", "good2.png", "crowd.png", "grey.png"}
    assert all(reason[name] for name in status if not name.startswith("good"))
    assert "2 faces" in reason["crowd.png"] and "grey" in reason["grey.png"]
    sharpness = {view.name: view.sharpness for view in capture.views}
    assert sharpness["blurred.png"] < 0.07 < 0.15 < sharpness["good0.png"]


def test_blurred_pictures_are_used_where_there_is_nothing_else(tmp_path, face_photo):
    save(tmp_path / "a.png", cv2.GaussianBlur(face_photo, (0, 0), 8))
    capture, detections = detect_capture(load_capture(tmp_path))
    assert capture.views[0].status == "ok"
    assert "blurred" in capture.views[0].reason
    assert any("blurred" in note for note in capture.notes)
    assert set(detections) == {"a.png"}


def test_no_face_in_any_picture_is_an_error_in_three_parts(tmp_path, no_face):
    save(tmp_path / "a.png", no_face)
    save(tmp_path / "b.png", no_face[:, ::-1])
    with pytest.raises(DetectionError) as error:
        detect_capture(load_capture(tmp_path))
    assert "2 pictures: 2 no_face" in error.value.got
    assert error.value.expected and error.value.do


def test_a_capture_remembers_which_detector_saw_it(tmp_path, face_photo, settings):
    save(tmp_path / "a.png", face_photo)
    _, detections = detect_capture(load_capture(tmp_path), settings=settings)
    assert detections["a.png"].detector == settings.detector


def test_the_two_detectors_are_two_networks_that_agree(face_photo, monkeypatch, recon_data):
    task = recon_data / "assets/face_landmarker.task"
    if not task.is_file():
        pytest.skip(f"no FaceLandmarker at {task}")
    monkeypatch.setenv("RECON_FACE_LANDMARKER", str(task))
    bundled, tasks = (detect(VIEW, face_photo, DetectSettings(detector=name)) for name in ("bundled", "tasks"))
    assert bundled is not None and tasks is not None
    away = np.linalg.norm(bundled.landmarks_px - tasks.landmarks_px, axis=1) / bundled.face_size_px
    assert 1e-4 < np.median(away) < 0.015


def test_a_capture_without_the_file_of_its_detector_stops_before_any_picture(tmp_path, face_photo, monkeypatch):
    monkeypatch.delenv("RECON_FACE_LANDMARKER", raising=False)
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    save(tmp_path / "a.png", face_photo)
    told = []
    with pytest.raises(MissingAssetError, match="recon assets install face-landmarker --from") as error:
        detect_capture(load_capture(tmp_path), settings=DetectSettings(detector="tasks"), progress=lambda *step: told.append(step))
    assert told == [] and "bundled" in error.value.do


def test_a_broken_task_file_stops_a_capture_and_is_named(tmp_path, face_photo, monkeypatch):
    (tmp_path / "old.task").write_bytes(b"PK\x03\x04 no models")
    monkeypatch.setenv("RECON_FACE_LANDMARKER", str(tmp_path / "old.task"))
    (tmp_path / "pictures").mkdir()
    save(tmp_path / "pictures/a.png", face_photo)
    with pytest.raises(InputError, match=r"old\.task"):
        detect_capture(load_capture(tmp_path / "pictures"), settings=DetectSettings(detector="tasks"))


def test_an_unknown_detector_is_refused(face_photo):
    with pytest.raises(RangeError, match="'haar'"):
        detect(VIEW, face_photo, DetectSettings(detector="haar"))  # pyright: ignore[reportArgumentType]


def test_progress_is_told_for_every_view(tmp_path, face_photo):
    save(tmp_path / "a.png", face_photo)
    save(tmp_path / "b.png", face_photo[:, ::-1])
    told = []
    detect_capture(load_capture(tmp_path), progress=lambda *step: told.append(step))
    assert told == [("detect faces", 1, 2), ("detect faces", 2, 2)]


def test_the_smallest_face_is_a_setting(tmp_path, face_photo):
    save(tmp_path / "a.png", face_photo)
    with pytest.raises(DetectionError, match="1 too_small"):
        detect_capture(load_capture(tmp_path), settings=dataclasses.replace(DetectSettings(), min_face_px=600))


@pytest.mark.parametrize(("name", "at_least", "of"), [("studio-a", 19, 29), ("phone-b", 17, 19), ("real-d", 12, 12)])
def test_faces_of_the_captures_are_found_and_none_is_called_blurred(recon_data, name, at_least, of):
    folder = recon_data / "captures" / name
    if not folder.is_dir():
        pytest.skip(f"no capture at {folder}")
    capture, detections = detect_capture(load_capture(folder))
    counts = Counter(view.status for view in capture.views)
    assert len(capture.views) == of
    assert len(detections) >= at_least
    assert set(counts) <= {"ok", "several_faces", "no_face"}
    assert capture.scale == ("metric" if name == "studio-a" else "relative")
    # A face in a crop that is none (an ear, say) would be far smaller than the others.
    sizes = np.array([detection.face_size_px for detection in detections.values()])
    assert sizes.min() > 0.25 * np.median(sizes)
