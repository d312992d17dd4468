"""The pinhole camera: OpenCV axes (+X right, +Y down, +Z forward), `T_cam_world`, pixel centres at +0.5."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from assets.errors import ArtifactError, ConventionError, DegenerateGeometryError, RangeError, ShapeError

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""(4, 4) camera axes OpenCV <-> OpenGL / Blender / glTF (+X right, +Y up, looks along -Z); its own inverse."""


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """`x_px = K @ (T_cam_world @ p_world)[:3]`, divided by its third component.

    Raises at construction: ShapeError, RangeError (not finite, size or focal length not positive), ConventionError (the
    rotation is no rotation, or the bottom row is not 0 0 0 1, as when a matrix was transposed).
    """

    K: np.ndarray
    """(3, 3) float64 intrinsics, pixels; (0, 0) is the outer corner of the top-left pixel."""
    T_cam_world: np.ndarray
    """(4, 4) float64, world to camera (= COLMAP's cam_from_world, a view matrix in OpenCV axes)."""
    width: int
    height: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", _matrix(self.K, (3, 3), "K"))
        object.__setattr__(self, "T_cam_world", _matrix(self.T_cam_world, (4, 4), "T_cam_world"))
        object.__setattr__(self, "width", _size(self.width, "width"))
        object.__setattr__(self, "height", _size(self.height, "height"))
        _check_intrinsics(self.K)
        _check_rigid(self.T_cam_world)

    @property
    def T_world_cam(self) -> np.ndarray:
        """(4, 4) camera to world."""
        R_world_cam = self.T_cam_world[:3, :3].T
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = R_world_cam, -R_world_cam @ self.T_cam_world[:3, 3]
        return T

    @property
    def position_world(self) -> np.ndarray:
        """(3,) centre of projection in the world, metres."""
        return -self.T_cam_world[:3, :3].T @ self.T_cam_world[:3, 3]

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) float64 camera-frame points of world points (..., 3)."""
        return np.asarray(points, np.float64) @ self.T_cam_world[:3, :3].T + self.T_cam_world[:3, 3]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (..., 3) to pixels (..., 2) and depth (...,), camera z in metres.

        Points at or behind the camera plane (depth <= 0) get nan pixels; points outside the picture are kept.
        """
        points_cam = self.to_camera(_last_axis(points, 3, "points"))
        depth = points_cam[..., 2]
        safe = np.where(depth > 0, depth, np.nan)
        homogeneous = (points_cam / safe[..., None]) @ self.K.T
        return homogeneous[..., :2], depth

    def unproject(self, px: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """World points (..., 3) of pixels (..., 2) at camera z `depth` (...,), metres; the inverse of project."""
        points_cam = self.directions_cam(_last_axis(px, 2, "px")) * np.asarray(depth, np.float64)[..., None]
        return (points_cam - self.T_cam_world[:3, 3]) @ self.T_cam_world[:3, :3]

    def directions_cam(self, px: np.ndarray) -> np.ndarray:
        """(..., 3) float64 viewing directions in the camera frame with z = 1 (not unit) through pixels (..., 2)."""
        x, y = self.slopes(px)
        return np.stack([x, y, np.ones_like(x)], -1)

    def slopes(self, px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x/z and y/z (...,) float64 in the camera frame of the viewing directions through pixels (..., 2)."""
        px = np.asarray(px, np.float64)
        y = (px[..., 1] - self.K[1, 2]) / self.K[1, 1]
        return (px[..., 0] - self.K[0, 2] - self.K[0, 1] * y) / self.K[0, 0], y

    def pixel_centres(self) -> np.ndarray:
        """(H, W, 2) float64 pixel coordinates of all pixel centres: [0, 0] holds (0.5, 0.5)."""
        x, y = np.arange(self.width) + 0.5, np.arange(self.height) + 0.5
        return np.stack(np.meshgrid(x, y), -1)

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Origins and directions (H, W, 3) float64 in the world, through the pixel centres.

        Directions have camera z = 1 instead of unit length, so `origins + depth[..., None] * directions` is the surface.
        """
        directions = self.directions_cam(self.pixel_centres()) @ self.T_cam_world[:3, :3]
        return np.broadcast_to(self.position_world, directions.shape), directions

    def resized(self, *, width: int, height: int) -> Camera:
        """The camera of the same picture stretched to another size: pixel coordinates scale, corners stay corners.

        With centres at +0.5 no half pixel enters: `resized.project(p) = scale * project(p)`.
        """
        width, height = _size(width, "width"), _size(height, "height")
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return Camera(scale @ self.K, self.T_cam_world, width, height)

    def cropped(self, *, x0: int, y0: int, width: int, height: int) -> Camera:
        """The camera of the window whose top-left pixel is (x0, y0); may reach over the border (a padded picture)."""
        K = self.K.copy()
        K[:2, 2] -= x0, y0
        return Camera(K, self.T_cam_world, width, height)

    def moved(self, T_world_new: np.ndarray) -> Camera:
        """The same camera in another world frame `new`, given (4, 4) new to world."""
        return dataclasses.replace(self, T_cam_world=self.T_cam_world @ T_world_new)

    def to_opengl(self) -> np.ndarray:
        """(4, 4) camera-to-world in OpenGL / Blender / glTF camera axes: a camera's node matrix. K is kept apart."""
        return self.T_world_cam @ OPENGL_FROM_OPENCV

    @classmethod
    def from_opengl(cls, T_world_camgl: np.ndarray, *, K: np.ndarray, width: int, height: int) -> Self:
        """The camera of a node matrix (4, 4) in OpenGL axes (+X right, +Y up, looks along -Z); the inverse of to_opengl."""
        T_world_camgl = _matrix(T_world_camgl, (4, 4), "T_world_camgl")
        _check_rigid(T_world_camgl)
        return cls(K, np.linalg.inv(T_world_camgl @ OPENGL_FROM_OPENCV), width, height)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: K and T_cam_world as nested lists (float64 survives the round trip exactly), width, height."""
        return {"K": self.K.tolist(), "T_cam_world": self.T_cam_world.tolist(), "width": self.width, "height": self.height}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of to_dict; raises ArtifactError where a key is missing or unknown."""
        keys = {"K", "T_cam_world", "width", "height"}
        if not isinstance(values, Mapping) or set(values) != keys:
            got = sorted(values) if isinstance(values, Mapping) else type(values).__name__
            raise ArtifactError(expected=f"a camera with the keys {sorted(keys)}", got=repr(got), do="write it with Camera.to_dict")
        return cls(**values)


def look_at(
    position: np.ndarray,
    target: np.ndarray,
    *,
    up: np.ndarray = (0.0, 1.0, 0.0),  # pyright: ignore[reportArgumentType]
    fov_y_deg: float | None = None,
    focal_px: float | None = None,
    width: int,
    height: int,
) -> Camera:
    """A camera at `position` (3,) whose optical axis goes through `target` (3,), both world metres.

    Give the vertical field of view or the focal length in pixels, not both. `up` (3,) points up in the picture. Pixels are
    square and the principal point is the middle of the picture. Raises DegenerateGeometryError where position equals target
    or `up` is parallel to the viewing direction.
    """
    if (fov_y_deg is None) == (focal_px is None):
        raise RangeError(expected="exactly one of fov_y_deg and focal_px", got=f"{fov_y_deg=}, {focal_px=}", do="give one of them")
    if fov_y_deg is not None and not 0 < fov_y_deg < 180:
        raise RangeError(expected="0 < fov_y_deg < 180", got=repr(fov_y_deg), do="25 is a portrait lens")
    focal = focal_px if fov_y_deg is None else 0.5 * height / np.tan(np.radians(fov_y_deg) / 2)
    position, target, up = (np.asarray(v, np.float64) for v in (position, target, up))
    R_cam_world = _looking_rotation(target - position, up)
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3], T_cam_world[:3, 3] = R_cam_world, -R_cam_world @ position
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float64)
    return Camera(K, T_cam_world, width, height)


def _looking_rotation(forward: np.ndarray, up: np.ndarray) -> np.ndarray:
    right = np.cross(forward, up)
    size = np.linalg.norm(right)
    if not size > 1e-9 * np.linalg.norm(forward) * np.linalg.norm(up):
        raise DegenerateGeometryError(
            expected="a target away from the position, and an up that is not along the viewing direction",
            got=f"viewing direction {forward.tolist()}, up {up.tolist()}",
            do="give another up, such as (0, 0, 1)",
        )
    right, forward = right / size, forward / np.linalg.norm(forward)
    return np.stack([right, np.cross(forward, right), forward])


def _matrix(values: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    matrix = np.array(values, np.float64)
    if matrix.shape != shape:
        raise ShapeError(expected=f"{name} of shape {shape}", got=f"shape {matrix.shape}", do="give the full matrix")
    if not np.isfinite(matrix).all():
        raise RangeError(expected=f"{name} with finite numbers", got=repr(matrix.tolist()), do="find the nan or inf upstream")
    matrix.setflags(write=False)
    return matrix


def _size(value: int, name: str) -> int:
    if int(value) != value or value <= 0:
        raise RangeError(expected=f"{name} as a whole number above 0", got=repr(value), do="give the picture size in pixels")
    return int(value)


def _last_axis(values: np.ndarray, size: int, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 0 or array.shape[-1] != size:
        raise ShapeError(expected=f"{name} of shape (..., {size})", got=f"shape {array.shape}", do="put the coordinates on the last axis")
    return array


def _check_intrinsics(K: np.ndarray) -> None:
    if not (K[0, 0] > 0 and K[1, 1] > 0):
        got = f"fx = {K[0, 0]}, fy = {K[1, 1]}"
        raise RangeError(expected="focal lengths in pixels above 0", got=got, do="flip axes in T_cam_world, not in K")
    if K[1, 0] != 0 or not np.array_equal(K[2], (0, 0, 1)):
        raise ConventionError(
            expected="K = [[fx, s, cx], [0, fy, cy], [0, 0, 1]] for column vectors",
            got=repr(K.tolist()),
            do="transpose K if rows and columns are swapped",
        )


def _check_rigid(T: np.ndarray) -> None:
    if not np.allclose(T[3], (0, 0, 0, 1), atol=1e-9):
        got = f"bottom row {T[3].tolist()}"
        raise ConventionError(expected="a rigid (4, 4) with bottom row 0 0 0 1", got=got, do="transpose it if it is for row vectors")
    R = T[:3, :3]
    error = np.abs(R @ R.T - np.eye(3)).max()
    if error > 1e-3 or np.linalg.det(R) < 0:
        raise ConventionError(
            expected="a rotation: orthonormal with determinant +1",
            got=f"determinant {np.linalg.det(R):.4f}, off orthonormal by {error:.2e}",
            do="take scale out of the matrix; a determinant of -1 means that an axis was mirrored",
        )
