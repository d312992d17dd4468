"""Ray casting by Embree through Open3D's RaycastingScene: the rasterizer on the CPU, and ray casts for every room.

The only file that imports open3d, and only inside functions.
"""

from __future__ import annotations

import dataclasses
import functools
from types import ModuleType

import numpy as np

from assets import system_libraries
from assets.errors import MissingPackageError, RangeError, ShapeError
from render.buffers import Fragments
from render.camera import Camera
from render.mesh import Mesh

HOW_TO_INSTALL = f"pip install open3d-cpu (open3d outside Linux) and, on Debian or Ubuntu, {system_libraries.HOW_TO_INSTALL}"


@dataclasses.dataclass(frozen=True, eq=False)
class RayHits:
    """The first surface on each ray."""

    distance: np.ndarray
    """(N,) float32 metres from the origin, whatever the length of the direction; inf where nothing is hit."""
    triangle_index: np.ndarray
    """(N,) int32, -1 where nothing is hit."""
    barycentric: np.ndarray
    """(N, 3) float32, sums to 1, in the order of the triangle's corners; nan where nothing is hit."""


@dataclasses.dataclass(frozen=True, eq=False)
class ClosestPoints:
    """The nearest surface point of each query point."""

    distance: np.ndarray
    """(N,) float32 metres, unsigned."""
    triangle_index: np.ndarray
    """(N,) int32."""
    barycentric: np.ndarray
    """(N, 3) float32, sums to 1."""
    position: np.ndarray
    """(N, 3) float64 metres, in the frame of the vertices."""


class RayScene:
    """Triangles to cast rays at, in any one frame; built once, cast often. The one door to Embree for every room.

    Args:
        vertices: (V, 3) metres.
        triangles: (F, 3) indices.

    Raises MissingPackageError where open3d or one of its system libraries is absent, ShapeError, RangeError.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles)
        _check_columns(vertices, "vertices")
        _check_columns(triangles, "triangles")
        if not len(triangles) or not np.isfinite(vertices).all():
            got = f"{len(triangles)} triangles, {int((~np.isfinite(vertices)).any(-1).sum())} vertices with nan or inf"
            raise RangeError(expected="at least one triangle, and finite vertices", got=got, do="check what was loaded or solved")
        # Embree works in float32: a rig's world may lie tens of metres from the head, so coordinates are taken from the middle.
        self._centre = (vertices.min(0) + vertices.max(0)) / 2
        self._scene = _new_scene(vertices - self._centre, triangles)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> RayHits:
        """First hits of rays with origins (N, 3) or (3,) and directions (N, 3), of any length but zero; both sides count."""
        directions = np.asarray(directions, np.float64)
        _check_columns(directions, "directions")
        origins = np.broadcast_to(np.asarray(origins, np.float64) - self._centre, directions.shape)
        t, index, barycentric = _cast(self._scene, np.concatenate([origins, directions], -1, dtype=np.float32))
        return RayHits(t * np.linalg.norm(directions, axis=-1).astype(np.float32), index, barycentric)

    def closest(self, points: np.ndarray) -> ClosestPoints:
        """Nearest surface points of query points (N, 3)."""
        points = np.asarray(points, np.float64)
        _check_columns(points, "points")
        tensor = _open3d().core.Tensor((points - self._centre).astype(np.float32))
        found = self._scene.compute_closest_points(tensor)
        position = found["points"].numpy().astype(np.float64) + self._centre
        distance = np.linalg.norm(points - position, axis=-1).astype(np.float32)
        return ClosestPoints(
            distance, found["primitive_ids"].numpy().astype(np.int32), _barycentric(found["primitive_uvs"].numpy()), position
        )

    def visible(self, points: np.ndarray, camera: Camera, offset_m: float = 1e-4) -> np.ndarray:
        """(N,) bool: the point (N, 3) lies before the camera, and no surface nearer to it than `offset_m` short of the point.

        Points outside the picture's borders may be visible; test `camera.project` for those.
        """
        points = np.asarray(points, np.float64)
        _check_columns(points, "points")
        rays = points - camera.position_world
        hits = self.cast(camera.position_world, rays)
        is_before = camera.to_camera(points)[:, 2] > 0
        return is_before & ~(hits.distance < np.linalg.norm(rays, axis=-1) - offset_m)


class EmbreeView:
    """A mesh in the camera's own frame, sampled by rays from the origin: the ray parameter is then the depth itself.

    Casting in the camera frame, with float64 up to there, keeps float32 depth exact to 1e-6 wherever the world's origin is.
    """

    def __init__(self, mesh: Mesh, camera: Camera) -> None:
        self._camera = camera
        vertices_cam = camera.to_camera(mesh.vertices)
        self._scene = _new_scene(vertices_cam, mesh.triangles) if len(mesh.triangles) else None

    def sample(self, px: np.ndarray) -> Fragments:
        """Fragments of shape (...,) at pixel coordinates (..., 2)."""
        shape = px.shape[:-1]
        if self._scene is None:
            return Fragments(np.full(shape, -1, np.int32), np.full((*shape, 3), np.nan, np.float32), np.full(shape, np.inf, np.float32))
        rays = np.zeros((*shape, 6), np.float32)
        rays[..., 3], rays[..., 4] = self._camera.slopes(px)
        rays[..., 5] = 1
        depth, face_id, barycentric = _cast(self._scene, rays)
        return Fragments(face_id, barycentric, depth)


def why_not_embree() -> str | None:
    """Reason why open3d cannot be used here, None where it can. Importing it takes seconds the first time."""
    try:
        _open3d()
    except MissingPackageError as error:
        return error.got
    return None


@functools.cache
def _open3d() -> ModuleType:
    try:
        import open3d
    except ModuleNotFoundError as error:
        raise MissingPackageError(expected="the package open3d", got=str(error), do=HOW_TO_INSTALL) from error
    except (ImportError, OSError) as error:
        # A shared library of the system is absent: "libusb-1.0.so.0: cannot open shared object file".
        raise MissingPackageError(expected="the system libraries that open3d loads", got=str(error), do=HOW_TO_INSTALL) from error
    return open3d


def _new_scene(vertices: np.ndarray, triangles: np.ndarray):
    o3d = _open3d()
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)), o3d.core.Tensor(np.ascontiguousarray(triangles, np.uint32))
    )
    return scene


def _cast(scene, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ray parameter (...,), triangle index (...,), barycentric (..., 3) of rays (..., 6) float32."""
    o3d = _open3d()
    found = scene.cast_rays(o3d.core.Tensor(np.ascontiguousarray(rays)))
    # INVALID_ID is the largest uint32, which is -1 once read as int32.
    index = found["primitive_ids"].numpy().view(np.int32)
    barycentric = _barycentric(found["primitive_uvs"].numpy())
    barycentric[index < 0] = np.nan
    return found["t_hit"].numpy(), index, barycentric


def _barycentric(corner_weights: np.ndarray) -> np.ndarray:
    """(..., 3) from Embree's weights of the second and third corner (..., 2)."""
    out = np.zeros((*corner_weights.shape[:-1], 3), np.float32)
    out[..., 0] = 1 - corner_weights[..., 0] - corner_weights[..., 1]
    out[..., 1:] = corner_weights
    return out


def _check_columns(array: np.ndarray, name: str) -> None:
    if array.ndim != 2 or array.shape[1] != 3:
        raise ShapeError(expected=f"{name} of shape (n, 3)", got=f"shape {array.shape}", do="reshape to one row an element")
