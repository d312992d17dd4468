"""AOVs, texture lookup, shading and anti-aliasing: values known by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.errors import RangeError, ShapeError
from render import (
    BACKGROUND_SRGB,
    DEFAULT_LIGHT,
    Camera,
    Frame,
    Mesh,
    linear_to_srgb,
    look_at,
    orbit,
    rasterize,
    render_buffers,
    sample_texture,
    sh_basis,
    srgb_to_linear,
    vertex_normals,
)
from render import aovs as aov
from render.shading import ambient_light, distant_light, irradiance, linear_to_srgb_bytes
from render.texture import Texture
from tests.render.posables import Ball, sphere_mesh
from tests.render.test_camera import skew_camera
from tests.render.test_rasterize import one_quad


@dataclasses.dataclass(frozen=True, eq=False)
class Still:
    """A posable that is one mesh with one texture, white ambient light."""

    mesh: Mesh
    albedo_srgb: np.ndarray
    T_world_head: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(4))

    def pose(self, frame: Frame) -> Mesh:
        return self.mesh

    @property
    def light(self):
        return ambient_light()

    @property
    def landmarks(self):
        embedding = Ball().landmarks
        return dataclasses.replace(embedding, triangle_index=np.zeros(478, np.int32))


def wall(width: int, height: int) -> tuple[Mesh, Camera]:
    """A wall at depth 1 whose uv chart exactly fills a width x height picture, v = 1 at the top row."""
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float64)
    camera = Camera(K, np.eye(4), width, height)
    half = height / width / 2
    # The camera frame has y down: v grows upwards.
    return one_quad(np.array([[-0.5, half, 1], [0.5, half, 1], [0.5, -half, 1], [-0.5, -half, 1]])), camera


def test_a_texture_checker_lands_on_its_pixels_to_the_half_pixel() -> None:
    # One texel a pixel: nearest or bilinear, any half-pixel slip would mix neighbours of random colour.
    texture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    mesh, camera = wall(40, 30)
    mesh = dataclasses.replace(mesh, triangle_parts=np.ones(2, np.uint8))  # Parts of one kind, so that no edge is smoothed.
    buffers = render_buffers(Still(mesh, texture), Frame("0", camera), (0.5, 2))
    np.testing.assert_array_equal(buffers.albedo_srgb, texture)
    difference = buffers.beauty_srgb[2:-2, 2:-2].astype(int) - texture[2:-2, 2:-2]
    assert np.abs(difference).max() <= 1, "white ambient light shows the texture itself"
    np.testing.assert_allclose(buffers.uv[0, 0], [0.5 / 40, 1 - 0.5 / 30], atol=1e-6)


def test_sample_texture_is_bilinear_between_texel_centres_with_the_origin_bottom_left() -> None:
    image = np.array([[[10.0], [20.0]], [[40.0], [80.0]]], np.float32)
    uv = np.array([[0.25, 0.75], [0.75, 0.25], [0.5, 0.5], [0.5, 0.75], [0.25, 0.375], [-1, 2]])
    # (0.25, 0.375) lies a quarter of the way from the lower-left texel (40) to the upper-left one (10).
    np.testing.assert_allclose(sample_texture(image, uv)[:, 0], [10, 80, 37.5, 15, 32.5, 10], rtol=1e-6)
    with pytest.raises(ShapeError):
        sample_texture(image[..., 0], uv)


def test_distance_is_ray_length_and_depth_is_camera_z() -> None:
    mesh, camera = wall(40, 30)
    fragments = rasterize(mesh, camera)
    expected = np.linalg.norm(camera.rays()[1], axis=-1)
    np.testing.assert_allclose(fragments.depth, 1, rtol=1e-6)
    np.testing.assert_allclose(aov.distance(fragments, camera), expected, rtol=1e-6)
    sheared = Camera(skew_camera().K + np.array([[0, 9.0, 0], [0, 0, 0], [0, 0, 0]]), skew_camera().T_cam_world, 640, 480)
    fragments = rasterize(sphere_mesh(0.12), sheared)
    position = aov.position_world(fragments, sphere_mesh(0.12))
    hit = aov.mask(fragments)
    length = np.linalg.norm(position[hit] - sheared.position_world, axis=-1)
    np.testing.assert_allclose(aov.distance(fragments, sheared)[hit], length, rtol=1e-5)


def test_normals_of_a_sphere_are_its_radii_and_face_minus_z_in_the_camera() -> None:
    camera = look_at(np.array([0.6, 0.2, 0.5]), np.zeros(3), fov_y_deg=20, width=65, height=65)
    mesh = sphere_mesh(0.1)
    fragments = rasterize(mesh, camera)
    hit = aov.mask(fragments)
    normals = aov.normal_world(fragments, mesh)
    position = aov.position_world(fragments, mesh)
    np.testing.assert_allclose(normals[hit], position[hit] / np.linalg.norm(position[hit], axis=-1, keepdims=True), atol=1e-2)
    np.testing.assert_allclose(aov.normal_cam(normals, camera)[32, 32], [0, 0, -1], atol=3e-3)
    assert np.isnan(normals[~hit]).all()


def test_normals_are_not_flipped_towards_a_viewer_inside() -> None:
    mesh = sphere_mesh(0.1)
    inside = look_at(np.zeros(3), np.array([0, 0, 1.0]), fov_y_deg=40, width=9, height=9)
    normals = aov.normal_cam(aov.normal_world(rasterize(mesh, inside), mesh), inside)
    np.testing.assert_allclose(normals[4, 4], [0, 0, 1], atol=1e-2)


def test_vertex_normals_weigh_triangles_by_area() -> None:
    vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]], np.float32)
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    # Areas 1 (towards +Z) and 1/2 (towards +X): the shared corner has normal (1, 0, 2) / sqrt(5).
    np.testing.assert_allclose(normals[0], np.array([1, 0, 2]) / np.sqrt(5), atol=1e-6)
    np.testing.assert_array_equal(normals[4], 0)


def test_part_ids_follow_triangles_and_empty_is_zero() -> None:
    mesh, camera = wall(40, 30)
    part = aov.part_id(rasterize(mesh, dataclasses.replace(camera, width=60)), mesh)
    # The second triangle (corners bottom-left, top-right, top-left) has part 2: the upper left of the wall.
    assert (part[2, 2], part[28, 37], part[15, 50]) == (2, 1, 0)


def test_sh_basis_is_orthonormal_over_the_sphere() -> None:
    # Gauss-Legendre in z and a uniform ring are exact for products of second-order harmonics.
    z, weights = np.polynomial.legendre.leggauss(8)
    angle = np.arange(16) * np.pi / 8
    r = np.sqrt(1 - z * z)
    normals = np.stack([r[:, None] * np.cos(angle), r[:, None] * np.sin(angle), np.broadcast_to(z[:, None], (8, 16))], -1)
    basis = sh_basis(normals)
    gram = np.einsum("ija,ijb,i->ab", basis, basis, weights * 2 * np.pi / 16)
    np.testing.assert_allclose(gram, np.eye(9), atol=1e-5)


def test_sh_basis_has_the_stated_order() -> None:
    x, y, z = n = np.array([0.48, 0.6, 0.64])
    expected = [0.282095, 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z]
    expected += [0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)]
    np.testing.assert_allclose(sh_basis(n), expected, rtol=1e-6)


def test_distant_light_is_the_second_order_fit_of_a_clamped_cosine() -> None:
    light = distant_light(np.array([0.0, 3, 4]), (1, 0.5, 0))
    towards, away = np.array([0, 0.6, 0.8]), np.array([0, -0.6, -0.8])
    # Ramamoorthi & Hanrahan: 1/4 + cos/2 + 5/32 (3 cos^2 - 1): 17/16 facing the light, 1/16 away from it.
    np.testing.assert_allclose(irradiance(towards, light), np.array([1, 0.5, 0]) * 17 / 16, atol=1e-5)
    np.testing.assert_allclose(irradiance(away, light), np.array([1, 0.5, 0]) / 16, atol=1e-5)
    np.testing.assert_allclose(irradiance(np.array([0.6, -0.64, 0.48]), ambient_light((0.2, 0.3, 0.4))), [0.2, 0.3, 0.4], atol=1e-6)


def test_default_light_comes_from_the_subjects_front_left_above() -> None:
    left, right, above, below, front, back = (
        irradiance(np.array(n, np.float64), DEFAULT_LIGHT).mean()
        for n in ((0.7, 0, 0.7), (-0.7, 0, 0.7), (0, 0.7, 0.7), (0, -0.7, 0.7), (0, 0, 1), (0, 0, -1))
    )
    assert left > right > 0.2 and above > below > 0.2 and front > back > 0.1
    assert max(left, above, front) < 1, "white skin does not burn out"


def test_srgb_follows_the_standard_both_ways() -> None:
    # IEC 61966-2-1: 0.5 -> 0.21404, the linear toe below 0.04045, middle grey 0.18 -> 0.46135.
    np.testing.assert_allclose(srgb_to_linear(np.array([0.5, 0.04, 1.0])), [0.214041, 0.04 / 12.92, 1], rtol=1e-5)
    np.testing.assert_allclose(linear_to_srgb(np.array([0.18, 2.0, -1.0])), [0.461356, 1, 0], rtol=1e-5)
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(linear_to_srgb_bytes(srgb_to_linear(every)), every)


def test_alpha_of_a_straight_edge_is_its_coverage() -> None:
    # A half-plane whose edge leans: its coverage of pixel column 20 + k is known from where it crosses.
    width, height = 40, 32
    _, camera = wall(width, height)
    x_top, x_bottom = 12.0, 28.0  # Edge positions in pixels at the top and bottom of the picture.
    to_world = lambda x, y: [(x - width / 2) / width, (y - height / 2) / width, 1]  # noqa: E731
    mesh = one_quad(np.array([to_world(-9, 32), to_world(x_bottom, 32), to_world(x_top, 0), to_world(-9, 0)]))
    buffers = render_buffers(Still(mesh, np.full((4, 4, 3), 255, np.uint8)), Frame("0", camera), (0.5, 2), supersample=4)
    rows = np.arange(height)
    covered = x_top + (x_bottom - x_top) * (rows + 0.5) / height
    np.testing.assert_allclose(buffers.alpha.sum(1), covered, atol=0.13)
    # The edge moves half a pixel a row, so each crossed pixel is covered between 1/4 and 3/4 or wholly; 16 points give 1/16.
    exact = np.clip(covered[:, None] - np.arange(width), 0, 1)
    assert np.abs(buffers.alpha - exact).max() <= 0.13
    assert set(np.unique(buffers.mask)) == {False, True}
    # Colour is averaged in linear light: half white over the background is brighter than the mean of the sRGB values.
    background = srgb_to_linear(np.array(BACKGROUND_SRGB, np.uint8))
    expected = linear_to_srgb_bytes(background + buffers.alpha[..., None] * (1 - background))
    assert np.abs(buffers.beauty_srgb.astype(int) - expected).max() <= 1


def test_supersampling_leaves_ids_and_depth_untouched() -> None:
    ball, frame = Ball(), orbit(Ball(), yaw_deg=[35], width=96, height=80).frames[0]
    sharp, smooth = (render_buffers(ball, frame, (0.1, 2), supersample=n) for n in (1, 4))
    for name in ("mask", "depth", "part_id", "uv", "albedo_srgb"):
        np.testing.assert_array_equal(getattr(sharp, name), getattr(smooth, name))
    np.testing.assert_array_equal(sharp.alpha, sharp.mask)
    partial = (smooth.alpha > 0) & (smooth.alpha < 1)
    assert 100 < partial.sum() < 1000
    interior = np.ones_like(partial)
    interior[~sharp.mask] = False
    unchanged = (sharp.beauty_srgb == smooth.beauty_srgb).all(-1)
    assert unchanged.mean() > 0.8 and not unchanged[partial].all()


def test_edges_agree_with_a_brute_force_supersampling_of_every_pixel() -> None:
    frame = orbit(Ball(), yaw_deg=[35], width=96, height=80).frames[0]
    smooth = render_buffers(Ball(), frame, (0.1, 2), supersample=4)
    fine = dataclasses.replace(frame, camera=frame.camera.resized(width=8 * 96, height=8 * 80))
    brute = render_buffers(Ball(), fine, (0.1, 2), supersample=1)
    alpha = brute.alpha.reshape(80, 8, 96, 8).mean((1, 3))
    assert np.abs(alpha - smooth.alpha).max() < 0.14
    colour = srgb_to_linear(brute.beauty_srgb).reshape(80, 8, 96, 8, 3).mean((1, 3))
    difference = np.abs(linear_to_srgb(colour) * 255 - smooth.beauty_srgb)
    assert difference.mean() < 1.5 and np.quantile(difference, 0.99) < 20


def test_a_fine_texture_far_away_shows_its_mean_in_linear_light() -> None:
    checker = np.where(((np.mgrid[0:256, 0:256].sum(0)) % 2)[..., None], np.uint8(255), np.uint8(0)) * np.ones(3, np.uint8)
    mesh, camera = wall(16, 16)
    buffers = render_buffers(Still(mesh, checker), Frame("0", camera), (0.5, 2))
    assert np.abs(buffers.beauty_srgb[4:-4, 4:-4].astype(int) - 188).max() <= 2, "linear 0.5 is sRGB 188"


def test_texture_levels_interpolate() -> None:
    texture = Texture.from_srgb(np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8))
    assert [level.shape[:2] for level in texture.levels_linear] == [(64, 32), (32, 16), (16, 8), (8, 4)]
    uv = np.array([[0.4, 0.3]])
    low, high = (texture.sample_linear(uv, np.array([level])) for level in (1.0, 2.0))
    np.testing.assert_allclose(texture.sample_linear(uv, np.array([1.25])), 0.75 * low + 0.25 * high, atol=1e-6)
    np.testing.assert_allclose(texture.sample_linear(uv, np.array([-3.0])), texture.sample_linear(uv, np.array([0.0])))


def test_landmarks_are_surface_points_and_hidden_ones_say_so() -> None:
    frame = orbit(Ball(), yaw_deg=[0], width=128, height=128).frames[0]
    buffers = render_buffers(Ball(), frame, (0.1, 2))
    assert buffers.landmarks_px.shape == (478, 2)
    px, _ = frame.camera.project(buffers.landmarks_world)
    np.testing.assert_allclose(buffers.landmarks_px, px, atol=1e-4)
    z = buffers.landmarks_world[:, 2]
    assert buffers.landmarks_visible[z > 0.03].all()
    assert not buffers.landmarks_visible[z < -0.005].any()


def test_empty_pixels_hold_the_stated_values() -> None:
    frame = orbit(Ball(), yaw_deg=[20], width=64, height=48).frames[0]
    buffers = render_buffers(Ball(), frame, (0.1, 2))
    empty = ~buffers.mask
    assert np.isinf(buffers.depth[empty]).all() and np.isinf(buffers.distance[empty]).all()
    for name in ("position_world", "normal_world", "normal_cam", "uv"):
        values = getattr(buffers, name)
        assert np.isnan(values[empty]).all() and np.isfinite(values[~empty]).all() and values.dtype == np.float32
    assert (buffers.part_id[empty] == 0).all() and (buffers.part_id[~empty] > 0).all()
    assert (buffers.albedo_srgb[empty] == BACKGROUND_SRGB).all()
    assert (buffers.beauty_srgb[buffers.alpha == 0] == BACKGROUND_SRGB).all()


def test_impossible_requests_are_refused() -> None:
    frame = orbit(Ball(), yaw_deg=[0], width=16, height=16).frames[0]
    with pytest.raises(RangeError, match="near < far"):
        render_buffers(Ball(), frame, (1.0, 0.5))
    with pytest.raises(RangeError, match="supersample"):
        render_buffers(Ball(), frame, (0.5, 1.0), supersample=0)
