"""Calibrated cameras: the file format, the match with pictures, and what is wrong with broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from assets.errors import ConventionError, InputError
from recon.ingest import load_capture, read_view
from recon.rig import load_rig, save_cameras_json
from render.camera import Camera


def odd_camera(seed: int, width: int = 130, height: int = 110) -> Camera:
    """A camera without any symmetry: two focal lengths, skew, principal point off the middle, general rotation."""
    rng = np.random.default_rng(seed)
    rotation, _ = cv2.Rodrigues(rng.uniform(-2, 2, 3))
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3], T_cam_world[:3, 3] = rotation, rng.uniform(-1, 1, 3)
    K = np.array([[301.7 + seed, 0.4, 61.3], [0, 297.1, 57.9], [0, 0, 1]])
    return Camera(K=K, T_cam_world=T_cam_world, width=width, height=height)


def make_rig(folder: Path, *, change=None, inside: str = "") -> Path:
    """Two pictures and their cameras.json; `change` edits the JSON before it is written."""
    (folder / inside).mkdir(exist_ok=True)
    rng = np.random.default_rng(3)
    cameras = {}
    for index, name in enumerate(("a.png", "b.png")):
        Image.fromarray(rng.integers(0, 256, (110, 130, 3), dtype=np.uint8)).save(folder / inside / name)
        cameras[f"{inside}/{name}" if inside else name] = odd_camera(index)
    path = folder / "cameras.json"
    save_cameras_json(path, cameras)
    if change is not None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    return path


def test_cameras_survive_the_file_to_the_bit(tmp_path):
    cameras = {f"cam{index}.png": odd_camera(index, 130 + index, 110) for index in range(3)}
    save_cameras_json(tmp_path / "cameras.json", cameras)
    back = load_rig(tmp_path / "cameras.json")
    assert [entry.image for entry in back.cameras] == list(cameras)
    for entry in back.cameras:
        expected = cameras[entry.image]
        np.testing.assert_array_equal(entry.camera.K, expected.K)
        np.testing.assert_array_equal(entry.camera.T_cam_world, expected.T_cam_world)
        assert (entry.camera.width, entry.camera.height) == (expected.width, expected.height)
    assert [path.name for path in tmp_path.iterdir()] == ["cameras.json"]


@pytest.mark.parametrize("inside", ["", "images"])
def test_cameras_in_the_folder_make_a_metric_rig(tmp_path, inside):
    make_rig(tmp_path, inside=inside)
    for path in {tmp_path, tmp_path / inside}:
        capture = load_capture(path)
        assert capture.scale == "metric" and capture.is_calibrated
        assert [view.name for view in capture.views] == ["a.png", "b.png"]
        for index, view in enumerate(capture.views):
            assert view.camera is not None
            np.testing.assert_array_equal(view.camera.T_cam_world, odd_camera(index).T_cam_world)
            assert view.focal_px == 301.7 + index


def test_translations_in_millimetres_become_metres(tmp_path):
    def to_mm(content):
        content["units"] = "mm"

    camera = load_rig(make_rig(tmp_path, change=to_mm)).cameras[1].camera
    np.testing.assert_allclose(camera.T_cam_world[:3, 3], odd_camera(1).T_cam_world[:3, 3] / 1000, rtol=1e-12)


def test_a_picture_without_a_camera_goes_in_as_a_loose_one_and_a_camera_without_a_picture_is_noted(tmp_path):
    make_rig(tmp_path, change=lambda content: content["cameras"].update({"c.png": content["cameras"].pop("b.png")}))
    capture = load_capture(tmp_path)
    assert [(view.name, view.status, view.camera is None) for view in capture.views] == [("a.png", "ok", False), ("b.png", "ok", True)]
    assert any("no camera in cameras.json" in note and "b.png" in note for note in capture.notes)
    assert any("c.png" in note for note in capture.notes)
    assert capture.is_mixed and not capture.is_calibrated


def test_a_picture_of_another_size_than_calibrated_is_rejected_with_both_sizes(tmp_path):
    make_rig(tmp_path, change=lambda content: content["cameras"]["b.png"].update(width=260, height=220))
    view = load_capture(tmp_path).views[1]
    assert view.status == "rejected"
    assert "130x110" in view.reason and "260x220" in view.reason


def test_a_rig_for_other_pictures_is_an_error(tmp_path):
    make_rig(tmp_path, change=lambda content: content.update(cameras={f"x{name}": entry for name, entry in content["cameras"].items()}))
    with pytest.raises(InputError, match=r"xa\.png"):
        load_capture(tmp_path)


def transpose_pose(content):
    entry = content["cameras"]["a.png"]
    entry["world_to_camera"] = np.array(entry["world_to_camera"]).T.tolist()


def mirror_pose(content):
    entry = content["cameras"]["a.png"]
    entry["world_to_camera"] = (np.diag([1, -1, 1, 1]) @ np.array(entry["world_to_camera"])).tolist()


def spoil(key, value):
    return lambda content: content["cameras"]["a.png"].update({key: value})


@pytest.mark.parametrize(
    ("change", "kind", "part_of_message"),
    [
        (transpose_pose, ConventionError, "last row"),
        (mirror_pose, ConventionError, "determinant -1"),
        (spoil("K", [[-300, 0, 60], [0, 300, 60], [0, 0, 1]]), ConventionError, "positive focal"),
        (spoil("K", [[300, 60], [300, 60]]), InputError, "3x3"),
        (spoil("K", [[float("nan"), 0, 60], [0, 300, 60], [0, 0, 1]]), InputError, "finite"),
        (spoil("width", None), InputError, '"width"'),
        (spoil("distortion", [0.1, 0.2]), InputError, "distortion"),
        (lambda content: content.update(units="furlongs"), ConventionError, "furlongs"),
        (lambda content: content.pop("cameras"), InputError, "without any cameras"),
        (lambda content: content["cameras"]["a.png"].pop("world_to_camera"), InputError, "world_to_camera"),
    ],
)
def test_broken_cameras_say_what_is_wrong_and_where(tmp_path, change, kind, part_of_message):
    path = make_rig(tmp_path, change=change)
    with pytest.raises(kind) as error:
        load_capture(tmp_path)
    assert part_of_message in str(error.value)
    assert str(path) in str(error.value)


def test_a_cameras_file_that_is_missing_or_no_json_is_an_error(tmp_path):
    path = make_rig(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_capture(tmp_path, cameras=tmp_path / "other.json")
    path.write_text("{ not json")
    with pytest.raises(InputError, match="JSON"):
        load_capture(tmp_path)


def test_lens_distortion_is_taken_out_when_a_view_is_read(tmp_path):
    # A dot whose straight place is p: Brown-Conrady with k1 = 0.2 puts it at radius r (1 + 0.2 r^2) on the sensor.
    K = np.array([[300.0, 0, 200], [0, 300.0, 150], [0, 0, 1]])
    straight = np.array([340.5, 60.5])
    ray = (straight - K[:2, 2]) / 300
    distorted = ray * (1 + 0.2 * (ray @ ray)) * 300 + K[:2, 2]
    y, x = np.mgrid[0:300, 0:400] + 0.5
    dot = 255 * np.exp(-((x - distorted[0]) ** 2 + (y - distorted[1]) ** 2) / 18)
    Image.fromarray(np.repeat(dot.astype(np.uint8)[..., None], 3, 2)).save(tmp_path / "a.png")
    save_cameras_json(tmp_path / "cameras.json", {"a.png": Camera(K=K, T_cam_world=np.eye(4), width=400, height=300)})
    content = json.loads((tmp_path / "cameras.json").read_text())
    content["cameras"]["a.png"]["distortion"] = [0.2, 0, 0, 0]
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    image = read_view(load_capture(tmp_path).views[0])[..., 0].astype(float)
    found = np.array([(image * x).sum(), (image * y).sum()]) / image.sum()
    np.testing.assert_allclose(found, straight, atol=0.15)
    assert np.linalg.norm(distorted - straight) > 5
