"""The rasterizer and ray casts against closed formulas."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from assets.errors import MissingPackageError, RangeError, ShapeError
from render import Camera, Mesh, RayScene, look_at, rasterize
from render.rasterize import BACKENDS, BackendName, embree
from tests.render.posables import sphere_mesh
from tests.render.test_camera import skew_camera


def one_quad(corners: np.ndarray) -> Mesh:
    """Two triangles over four corners (4, 3) in order; uv (0, 0) at the first, (1, 1) at the third."""
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return Mesh(corners.astype(np.float32), triangles, uvs, triangles, np.array([1, 2], np.uint8))


def tilted_plane(camera: Camera) -> tuple[Mesh, np.ndarray, float]:
    """A large quad on the plane normal . p = offset, before the camera."""
    normal = np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
    offset = -0.11
    along = np.cross(normal, [0, 1, 0])
    along /= np.linalg.norm(along)
    across = np.cross(normal, along)
    corners = np.stack([offset * normal + 3 * (a * along + b * across) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    return one_quad(corners), normal, offset


@pytest.mark.parametrize("backend", get_args(BackendName))
def test_depth_of_a_tilted_plane_is_camera_z_to_1e_5(backend: str) -> None:
    camera = skew_camera()
    mesh, normal, offset = tilted_plane(camera)
    fragments = rasterize(mesh, camera, backend=backend)
    origins, directions = camera.rays()
    expected = (offset - origins @ normal) / (directions @ normal)  # Directions have camera z = 1.
    assert (fragments.face_id >= 0).all()
    np.testing.assert_allclose(fragments.depth, expected, rtol=1e-5)
    slanted = np.abs(expected * np.linalg.norm(directions, axis=-1) - expected)
    assert slanted.max() > 0.05, "the test would notice ray length in place of camera z"


@pytest.mark.parametrize("backend", get_args(BackendName))
def test_depth_is_exact_a_kilometre_from_the_origin_of_the_world(backend: str) -> None:
    shift = np.array([800.0, -300, 500])
    camera = look_at(shift + (0, 0, 1), shift, fov_y_deg=30, width=32, height=32)
    # float32 vertices a kilometre out are only good to 6e-5 m; the quad's corners are exactly representable.
    mesh = one_quad(shift + np.array([[-1, -1, 0.25], [1, -1, 0.25], [1, 1, 0.25], [-1, 1, 0.25]]))
    np.testing.assert_allclose(rasterize(mesh, camera, backend=backend).depth, 0.75, rtol=1e-6)


def test_depth_of_a_fine_sphere_meets_the_formula() -> None:
    camera = look_at(np.array([0.2, 0.1, 0.7]), np.zeros(3), fov_y_deg=20, width=200, height=160)
    fragments = rasterize(sphere_mesh(0.1, num_rings=400, num_sectors=800), camera)
    origins, directions = camera.rays()
    a, b = (directions**2).sum(-1), (directions * origins).sum(-1)
    discriminant = b * b - a * ((origins**2).sum(-1) - 0.01)
    inside = discriminant > 5e-4  # The angle between ray and normal is below 77 degrees.
    expected = (-b - np.sqrt(np.maximum(discriminant, 0))) / a
    assert inside.sum() > 5000
    # Facets of 1/800 turn lie up to 2 * 0.1 * (1 - cos(pi / 800)) = 1.5e-6 m under the sphere; divided by cos 77 degrees: 7e-6.
    assert np.abs(fragments.depth - expected)[inside].max() < 1e-5
    assert np.isinf(fragments.depth[discriminant < -1e-4]).all()
    assert (fragments.face_id[discriminant < -1e-4] == -1).all()


def test_barycentrics_reproduce_the_position_under_each_pixel() -> None:
    camera = skew_camera()
    mesh = sphere_mesh(0.12)
    fragments = rasterize(mesh, camera)
    hit = fragments.face_id >= 0
    corners = mesh.vertices[mesh.triangles[fragments.face_id[hit]]]
    position = np.einsum("nk,nkc->nc", fragments.barycentric[hit], corners)
    px, depth = camera.project(position)
    np.testing.assert_allclose(px, camera.pixel_centres()[hit], atol=2e-3)
    np.testing.assert_allclose(depth, fragments.depth[hit], rtol=2e-6)
    np.testing.assert_allclose(fragments.barycentric[hit].sum(-1), 1, atol=1e-6)
    assert np.isnan(fragments.barycentric[~hit]).all()


def test_the_nearer_surface_wins_and_both_sides_count() -> None:
    near = np.array([[-0.1, -0.1, 0.3], [0.1, -0.1, 0.3], [0.1, 0.1, 0.3], [-0.1, 0.1, 0.3]])
    far = near * (3, 3, 1) - (0, 0, 0.5)
    quad = one_quad(np.concatenate([near, far]))
    triangles = np.concatenate([quad.triangles, quad.triangles[:, ::-1] + 4])  # The far one is seen from its back.
    mesh = Mesh(quad.vertices, triangles, quad.uvs, np.concatenate([quad.triangle_uvs] * 2), np.ones(4, np.uint8))
    depth = rasterize(mesh, look_at(np.array([0, 0, 1.0]), np.zeros(3), fov_y_deg=20, width=64, height=64)).depth
    np.testing.assert_allclose(depth[32, 32], 0.7, rtol=1e-6)
    np.testing.assert_allclose(depth[4, 32], 1.2, rtol=1e-6)


def test_a_mesh_without_triangles_leaves_every_pixel_empty() -> None:
    none = np.zeros((0, 3), np.int32)
    mesh = Mesh(np.zeros((3, 3), np.float32), none, np.zeros((3, 2), np.float32), none, np.zeros(0, np.uint8))
    fragments = rasterize(mesh, skew_camera())
    assert (fragments.face_id == -1).all() and np.isinf(fragments.depth).all() and fragments.barycentric.shape == (480, 640, 3)


def test_rays_return_metres_whatever_the_length_of_the_direction() -> None:
    quad = one_quad(np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]]))
    scene = RayScene(quad.vertices, quad.triangles)
    hits = scene.cast(np.array([[0.5, -0.25, 0.0]] * 3), np.array([[0, 0, 1.0], [0, 0, 7.0], [0, 0, -1.0]]))
    np.testing.assert_allclose(hits.distance, [2, 2, np.inf], rtol=1e-6)
    assert hits.triangle_index.tolist() == [0, 0, -1]
    # (0.5, -0.25) = -1 + 2 * (b1 + b2), -1 + 2 * b2: b2 = 0.375, b1 = 0.375, b0 = 0.25.
    np.testing.assert_allclose(hits.barycentric[0], [0.25, 0.375, 0.375], atol=1e-6)
    assert np.isnan(hits.barycentric[2]).all()


def test_closest_point_lies_at_its_barycentrics() -> None:
    mesh = sphere_mesh(0.1)
    queries = np.random.default_rng(0).uniform(-0.3, 0.3, (50, 3)) + (5.0, 0, 0)
    scene = RayScene(mesh.vertices + (5.0, 0, 0), mesh.triangles)
    found = scene.closest(queries)
    corners = (mesh.vertices + (5.0, 0, 0))[mesh.triangles[found.triangle_index]]
    np.testing.assert_allclose(np.einsum("nk,nkc->nc", found.barycentric, corners), found.position, atol=1e-6)
    np.testing.assert_allclose(found.distance, np.abs(np.linalg.norm(queries - (5.0, 0, 0), axis=-1) - 0.1), atol=3e-4)


def test_visible_points_are_those_on_the_near_half_of_a_sphere() -> None:
    mesh = sphere_mesh(0.1)
    camera = look_at(np.array([0.0, 0, 1]), np.zeros(3), fov_y_deg=20, width=64, height=64)
    visible = RayScene(mesh.vertices, mesh.triangles).visible(mesh.vertices, camera, 1e-4)
    # The horizon seen from distance 1 lies at z = r^2 / d = 0.01.
    z = mesh.vertices[:, 2]
    assert visible[z > 0.017].all()
    assert not visible[z < 0.003].any()
    behind = look_at(np.array([0.0, 0, 1]), np.array([0.0, 0, 2]), fov_y_deg=20, width=64, height=64)
    assert not RayScene(mesh.vertices, mesh.triangles).visible(mesh.vertices, behind).any()


def test_broken_meshes_are_refused() -> None:
    good = sphere_mesh()
    bad = good.vertices.copy()
    bad[17, 1] = np.nan
    with pytest.raises(RangeError, match="vertex 17"):
        rasterize(Mesh(bad, good.triangles, good.uvs, good.triangle_uvs, good.triangle_parts), skew_camera())
    with pytest.raises(RangeError, match="triangles within"):
        rasterize(Mesh(good.vertices[:100], good.triangles, good.uvs, good.triangle_uvs, good.triangle_parts), skew_camera())
    with pytest.raises(ShapeError, match="triangle_parts"):
        rasterize(Mesh(good.vertices, good.triangles, good.uvs, good.triangle_uvs, good.triangle_parts[:5]), skew_camera())
    with pytest.raises(RangeError, match="at least one triangle"):
        RayScene(good.vertices, good.triangles[:0])


def test_every_backend_name_is_registered_and_others_are_refused() -> None:
    assert set(BACKENDS) == set(get_args(BackendName))
    with pytest.raises(RangeError, match="embree"):
        rasterize(sphere_mesh(), skew_camera(), backend="opengl")


def test_a_missing_system_library_names_the_packages_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_usb(name: str, *args, **kwargs):
        if name == "open3d":
            raise OSError("libusb-1.0.so.0: cannot open shared object file: No such file or directory")
        return real_import(name, *args, **kwargs)

    embree._open3d.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without_usb)
    assert "libusb-1.0.so.0" in (embree.why_not_embree() or "")
    with pytest.raises(MissingPackageError, match=r"libgl1 libegl1 libx11-6 libusb-1\.0-0 libgomp1"):
        rasterize(sphere_mesh(), skew_camera())
    with pytest.raises(MissingPackageError, match=r"libusb-1\.0-0"):
        RayScene(sphere_mesh().vertices, sphere_mesh().triangles)


def test_importing_render_loads_no_heavy_package() -> None:
    heavy = "open3d", "torch", "anny", "mediapipe", "diffusers", "transformers", "trimesh"
    code = f"import render, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
