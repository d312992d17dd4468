"""Buffers on disk decode back to what they were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from assets.errors import ArtifactError, RangeError
from render import RenderBuffers, orbit, render_sweep, save_buffers
from render.writing import depth_from_uint16, depth_to_uint16, load_depth16, normal_to_rgb
from tests.render.posables import Ball


@pytest.fixture(scope="module")
def buffers() -> RenderBuffers:
    return next(render_sweep(Ball(), orbit(Ball(), yaw_deg=[25], width=64, height=48)))


def test_pictures_decode_back_to_the_buffers(buffers: RenderBuffers, tmp_path: Path) -> None:
    paths = save_buffers(tmp_path, buffers)
    assert all(path.is_file() for path in paths)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths), "nothing is left beside"
    rgb = cv2.imread(str(tmp_path / "beauty" / "0000.png"))[..., ::-1]
    np.testing.assert_array_equal(rgb, buffers.beauty_srgb)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "albedo/0000.png"))[..., ::-1], buffers.albedo_srgb)
    grey = cv2.IMREAD_UNCHANGED
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "part_id" / "0000.png"), grey), buffers.part_id)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "mask" / "0000.png"), grey), buffers.mask * 255)


def test_numbers_decode_back_exactly(buffers: RenderBuffers, tmp_path: Path) -> None:
    names = ("depth", "distance", "position_world", "normal_cam", "normal_world", "uv")
    save_buffers(tmp_path, buffers, names)
    for name in names:
        with np.load(tmp_path / name / "0000.npz") as file:
            np.testing.assert_array_equal(file["values"], getattr(buffers, name))
            np.testing.assert_array_equal(file["T_cam_world"], buffers.camera.T_cam_world)


def test_16_bit_depth_decodes_to_half_a_step_and_empty_to_inf(buffers: RenderBuffers, tmp_path: Path) -> None:
    (path,) = save_buffers(tmp_path, buffers, ["depth16"])
    depth = load_depth16(path)
    near, far = buffers.depth_range_m
    assert np.isinf(depth[~buffers.mask]).all()
    error = np.abs(depth[buffers.mask] - buffers.depth[buffers.mask])
    assert error.max() <= 0.5 * (far - near) / 65534 + 1e-7
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert raw.dtype == np.uint16 and (raw[~buffers.mask] == 65535).all()


def test_16_bit_depth_has_the_stated_ends() -> None:
    depth = np.array([[0.5, 1.5, 1.0, np.inf, 0.1, 9.0]], np.float32)
    levels = depth_to_uint16(depth, (0.5, 1.5))
    assert levels.tolist() == [[0, 65534, 32767, 65535, 0, 65534]]
    np.testing.assert_allclose(depth_from_uint16(levels, (0.5, 1.5))[0, :4], [0.5, 1.5, 1.0, np.inf])


def test_normal_preview_is_light_blue_towards_the_viewer() -> None:
    assert normal_to_rgb(np.array([[[0, 0, -1.0]]]), in_camera=True)[0, 0].tolist() == [128, 128, 255]
    # OpenCV's +Y is down: a normal that points up in the picture is green.
    assert normal_to_rgb(np.array([[[0, -1.0, 0]]]), in_camera=True)[0, 0].tolist() == [128, 255, 128]
    assert normal_to_rgb(np.array([[[1.0, 0, 0]]]), in_camera=False)[0, 0].tolist() == [255, 128, 128]
    assert normal_to_rgb(np.full((1, 1, 3), np.nan), in_camera=True)[0, 0].tolist() == [0, 0, 0]


def test_unknown_aovs_and_foreign_files_are_refused(buffers: RenderBuffers, tmp_path: Path) -> None:
    with pytest.raises(RangeError, match="zdepth"):
        save_buffers(tmp_path, buffers, ["zdepth"])
    cv2.imwrite(str(tmp_path / "other.png"), np.zeros((4, 4), np.uint16))
    with pytest.raises(ArtifactError, match="depth_range_m"):
        load_depth16(tmp_path / "other.png")


def test_a_frame_name_that_leaves_the_folder_is_refused(buffers: RenderBuffers, tmp_path: Path) -> None:
    for name in ("../../evil", "a/b", "..", ""):
        with pytest.raises(RangeError, match="plain file stem"):
            save_buffers(tmp_path / "render" / "deep", dataclasses.replace(buffers, name=name), ["mask"])
    assert not list(tmp_path.iterdir())
