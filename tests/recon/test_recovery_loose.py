"""A person outside the head's basis in loose photos and a clip: shape, cameras and lens come back from pixels alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.geometry_rows import pose_of, rotation_errors_deg
from recon import Avatar, FitSettings, fit, load_capture
from tests.recon.recovery_captures import (
    STRANGER,
    TRUE_FOCAL_35MM,
    Rendered,
    average_error,
    make_clip,
    make_loose,
    make_rig,
    neutral_error,
    studio_of,
)  # fmt: skip

FAST = FitSettings(preset="fast", texture=False)
YAWS = (-80, -52, -26, 3, 28, 50, 78)
"""Both ends lie beyond the detector's reach."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return make_loose(tmp_path_factory.mktemp("photos"), yaws=YAWS)


@pytest.fixture(scope="module")
def avatar(photos: Rendered) -> Avatar:
    return fit(load_capture(photos.folder / "images"), FAST)


def _angles_deg(rendered: Rendered, avatar: Avatar) -> np.ndarray:
    used = [view for view in avatar.views if view.camera is not None and view.name in rendered.frames]
    return rotation_errors_deg([(pose_of(view), rendered.frames[view.name].T_cam_head[:3, :3]) for view in used])


def _focal_error(rendered: Rendered, avatar: Avatar) -> float:
    focal = np.median([view.camera.K[0, 0] for view in avatar.views if view.camera is not None])
    return float(abs(focal / rendered.focal - 1))


def test_shape_comes_back_from_seven_photos(photos, avatar):
    found, average = neutral_error(photos, avatar, align=True), average_error(photos, avatar.head)
    assert avatar.scale == "relative"
    assert found.median_mm < 0.6 * average.median_mm and found.p95_mm < average.p95_mm, (found, average)


def test_cameras_of_photos_come_back_to_a_degree(photos, avatar):
    angles = _angles_deg(photos, avatar)
    assert np.median(angles) < 0.6 and angles.max() < 2.0, angles.round(2)


def test_profiles_beyond_the_detector_are_registered_from_their_neighbours(photos, avatar):
    by_name = {view.name: view for view in avatar.views}
    profiles = [by_name["IMG_00.jpg"], by_name["IMG_06.jpg"]]
    assert all(view.camera is not None for view in profiles), [(view.status, view.reason) for view in profiles]
    assert [round(view.yaw_deg) for view in profiles] == pytest.approx([-80, 78], abs=4)


def test_right_exif_keeps_the_focal_length_within_two_percent(photos, avatar):
    assert _focal_error(photos, avatar) < 0.02


@pytest.fixture(scope="module")
def inner(photos: Rendered) -> list[Path]:
    """The five photos in which the detector finds a face."""
    return sorted((photos.folder / "images").iterdir())[1:-1]


@pytest.mark.parametrize("focal_35mm", [pytest.param(None, id="no EXIF"), pytest.param(1.3 * TRUE_FOCAL_35MM, id="EXIF 30 % too long")])
def test_focal_length_and_shape_come_back_without_and_with_wrong_exif(photos, inner, tmp_path, focal_35mm):
    for path in inner:
        exif = Image.Exif()
        if focal_35mm is not None:
            exif.get_ifd(0x8769)[0xA405] = round(focal_35mm)
        Image.open(path).save(tmp_path / path.name, "JPEG", quality="keep", exif=exif.tobytes())
    avatar = fit(load_capture(tmp_path), FAST)
    found, average = neutral_error(photos, avatar, align=True), average_error(photos, avatar.head)
    assert _focal_error(photos, avatar) < 0.06, _focal_error(photos, avatar)
    assert found.median_mm < 0.75 * average.median_mm, (found, average)


def test_strangers_photo_is_set_aside_and_named(photos, inner, tmp_path):
    stranger = make_loose(tmp_path / "stranger", STRANGER, yaws=(15,))
    for path in inner:
        shutil.copy(path, tmp_path / "stranger" / "images" / path.name)
    capture = load_capture(stranger.folder / "images")
    avatar = fit(capture, FAST)
    other = next(view for view in avatar.views if view.name == "IMG_00.jpg")
    assert other.camera is None and other.reason, (other.status, other.reason)
    assert [view.name for view in avatar.views if view.camera is None] == ["IMG_00.jpg"]
    assert neutral_error(photos, avatar, align=True).median_mm < 0.75 * average_error(photos, avatar.head).median_mm


@pytest.mark.slow
def test_clip_without_exif_gives_shape_and_cameras(tmp_path):
    clip = make_clip(tmp_path)
    avatar = fit(load_capture(clip.folder / "video.mp4"), FAST)
    found, average = neutral_error(clip, avatar, align=True), average_error(clip, avatar.head)
    assert found.median_mm < 0.75 * average.median_mm, (found, average)
    assert np.median(_angles_deg(clip, avatar)) < 1.0


def test_photos_and_a_rig_of_one_person_go_into_one_solve(photos, tmp_path):
    rig = make_rig(tmp_path / "rig", studio_of(photos.person.spec).person.spec, yaws=(-36, 0, 36))
    few = tmp_path / "few"
    few.mkdir()
    for number in (1, 5):
        shutil.copy(photos.folder / "images" / f"IMG_{number:02d}.jpg", few)
    avatar = fit(load_capture([rig.folder / "images", few], cameras=rig.folder / "cameras.json"), FAST)
    assert avatar.scale == "metric" and all(view.camera is not None for view in avatar.views)
    found, average = neutral_error(rig, avatar, align=False), average_error(rig, avatar.head)
    assert found.median_mm < 0.7 * average.median_mm, (found, average)
