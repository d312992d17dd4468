"""The camera: projection, rays, resizing, cropping, interop and its door."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assets.errors import ArtifactError, ConventionError, DegenerateGeometryError, RangeError, ShapeError
from render import Camera, look_at


def skew_camera() -> Camera:
    """Nothing about it is symmetric: fx != fy, the principal point off the middle, rotated about all axes."""
    camera = look_at(
        np.array([0.3, -0.2, 0.9]), np.array([0.02, 0.05, -0.03]), up=np.array([0.1, 1, 0.2]), focal_px=700.0, width=640, height=480
    )
    return Camera(np.array([[700.0, 0, 301.5], [0, 650.0, 262.25], [0, 0, 1]]), camera.T_cam_world, 640, 480)


def points(num: int = 200) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.15, 0.15, (num, 3))


def test_a_point_on_axis_lands_on_the_principal_point_at_its_camera_z() -> None:
    camera = Camera(np.array([[500.0, 0, 310], [0, 400, 200], [0, 0, 1]]), np.eye(4), 640, 480)
    px, depth = camera.project(np.array([[0.0, 0, 2], [0.2, 0, 2], [0, 0.2, 2]]))
    # 500 * 0.2 / 2 = 50 px to the right; 400 * 0.2 / 2 = 40 px down, because +Y is down.
    np.testing.assert_allclose(px, [[310, 200], [360, 200], [310, 240]])
    np.testing.assert_allclose(depth, 2)


def test_unproject_inverts_project() -> None:
    px, depth = skew_camera().project(points())
    np.testing.assert_allclose(skew_camera().unproject(px, depth), points(), atol=1e-12)


def test_unproject_inverts_project_with_a_sheared_sensor() -> None:
    K = skew_camera().K + np.array([[0, 13.0, 0], [0, 0, 0], [0, 0, 0]])
    camera = Camera(K, skew_camera().T_cam_world, 640, 480)
    px, depth = camera.project(points())
    np.testing.assert_allclose(camera.unproject(px, depth), points(), atol=1e-12)


def test_points_behind_the_camera_have_no_pixel() -> None:
    px, depth = Camera(np.diag([500.0, 500, 1]), np.eye(4), 10, 10).project(np.array([[0.1, 0, -1.0]]))
    assert np.isnan(px).all()
    assert depth[0] == -1


def test_rays_go_through_pixel_centres_at_plus_half() -> None:
    camera = skew_camera()
    origins, directions = camera.rays()
    assert directions.shape == (480, 640, 3)
    px, depth = camera.project(origins + 0.7 * directions)
    np.testing.assert_allclose(px[0, 0], [0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(px[100, 300], [300.5, 100.5], atol=1e-9)
    np.testing.assert_allclose(depth, 0.7, atol=1e-12)
    np.testing.assert_allclose(origins[7, 9], camera.position_world, atol=1e-12)


def test_resized_projects_to_scaled_pixels_without_a_half_pixel() -> None:
    camera = skew_camera()
    px, _ = camera.project(points())
    px_resized, _ = camera.resized(width=960, height=240).project(points())
    np.testing.assert_allclose(px_resized, px * (1.5, 0.5), atol=1e-9)


def test_cropped_projects_to_shifted_pixels() -> None:
    camera = skew_camera()
    px, _ = camera.project(points())
    crop = camera.cropped(x0=37, y0=-12, width=100, height=50)
    np.testing.assert_allclose(crop.project(points())[0], px - (37, -12), atol=1e-9)
    assert (crop.width, crop.height) == (100, 50)


def test_look_at_puts_the_target_in_the_middle_and_up_up() -> None:
    position, target = np.array([1.0, 2, 3]), np.array([0.5, 0.1, -0.2])
    camera = look_at(position, target, fov_y_deg=30, width=300, height=200)
    px, depth = camera.project(np.stack([target, target + (0, 0.1, 0)]))
    np.testing.assert_allclose(px[0], [150, 100], atol=1e-9)
    np.testing.assert_allclose(depth[0], np.linalg.norm(position - target))
    np.testing.assert_allclose(camera.position_world, position, atol=1e-12)
    assert px[1, 1] < 100, "a higher point lies higher in the picture"
    np.testing.assert_allclose(px[1, 0], 150, atol=1e-9)


def test_field_of_view_is_vertical() -> None:
    camera = look_at(np.array([0.0, 0, 2]), np.zeros(3), fov_y_deg=40, width=300, height=200)
    edge = 2 * np.tan(np.radians(20))
    np.testing.assert_allclose(camera.project(np.array([0, edge, 0]))[0], [150, 0], atol=1e-9)


def test_opengl_camera_looks_along_minus_z_with_y_up() -> None:
    camera = look_at(np.array([0.0, 0, 2]), np.zeros(3), fov_y_deg=40, width=300, height=200)
    # Straight in front of the subject an OpenGL camera needs no rotation at all.
    np.testing.assert_allclose(camera.to_opengl(), [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]], atol=1e-12)


def test_opengl_round_trip() -> None:
    camera = skew_camera()
    back = Camera.from_opengl(camera.to_opengl(), K=camera.K, width=640, height=480)
    np.testing.assert_allclose(back.T_cam_world, camera.T_cam_world, atol=1e-12)


def test_moved_projects_points_of_the_new_frame() -> None:
    camera, T_world_new = skew_camera(), skew_camera().T_cam_world
    points_world = points() @ T_world_new[:3, :3].T + T_world_new[:3, 3]
    np.testing.assert_allclose(camera.moved(T_world_new).to_camera(points()), camera.to_camera(points_world), atol=1e-12)


def test_json_round_trip_is_exact() -> None:
    camera = skew_camera()
    back = Camera.from_dict(json.loads(json.dumps(camera.to_dict())))
    assert np.array_equal(back.K, camera.K) and np.array_equal(back.T_cam_world, camera.T_cam_world)
    assert (back.width, back.height) == (640, 480)
    with pytest.raises(ArtifactError, match="'K', 'T_cam_world', 'height', 'width'"):
        Camera.from_dict({"K": []})


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"K": np.eye(4)}, ShapeError, r"shape \(4, 4\)"),
        ({"K": np.diag([500, np.nan, 1])}, RangeError, "nan"),
        ({"K": np.diag([-500.0, 500, 1])}, RangeError, "fx = -500"),
        ({"K": np.array([[500.0, 0, 0], [0, 500, 0], [320, 240, 1]])}, ConventionError, "transpose"),
        ({"T_cam_world": np.diag([1.0, 1, -1, 1])}, ConventionError, "determinant -1"),
        ({"T_cam_world": np.diag([2.0, 2, 2, 1])}, ConventionError, "orthonormal"),
        ({"T_cam_world": np.eye(4) + 0.5 * np.eye(4, k=-3)}, ConventionError, "bottom row"),
        ({"width": 0}, RangeError, "width"),
        ({"height": 10.5}, RangeError, "10.5"),
    ],
)
def test_the_door_refuses_what_is_no_camera(change: dict, error: type[Exception], text: str) -> None:
    good = {"K": np.diag([500.0, 500, 1]), "T_cam_world": np.eye(4), "width": 640, "height": 480}
    Camera(**good)
    with pytest.raises(error, match=text):
        Camera(**(good | change))


def test_look_at_refuses_what_has_no_answer() -> None:
    with pytest.raises(DegenerateGeometryError):
        look_at(np.array([0, 1.0, 0]), np.zeros(3), fov_y_deg=30, width=10, height=10)
    with pytest.raises(RangeError, match="exactly one"):
        look_at(np.ones(3), np.zeros(3), width=10, height=10)
