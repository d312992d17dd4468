"""A small posable with a known shape: a lopsided ball with a nose, two eyes and a checkered texture."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.landmarks import LandmarkEmbedding
from render import DEFAULT_LIGHT, Frame, Light, Mesh, head_pose_matrix


def sphere_mesh(radius: float = 0.1, *, num_rings: int = 48, num_sectors: int = 96) -> Mesh:
    """A sphere about the origin: u runs with the azimuth from -Z over +X, v from the south pole to the north pole."""
    v, u = np.meshgrid(np.linspace(0, 1, num_rings + 1), np.linspace(0, 1, num_sectors + 1), indexing="ij")
    latitude, azimuth = (v - 0.5) * np.pi, (u - 0.5) * 2 * np.pi
    points = np.stack([np.cos(latitude) * np.sin(azimuth), np.sin(latitude), np.cos(latitude) * np.cos(azimuth)], -1)
    # The seam column and the poles share positions, so geometry indices are merged while uvs stay apart.
    geometry = np.arange(points.shape[0] * points.shape[1]).reshape(points.shape[:2])
    geometry[:, -1] = geometry[:, 0]
    geometry[0], geometry[-1] = geometry[0, 0], geometry[-1, 0]
    grid = np.arange(geometry.size).reshape(geometry.shape)
    a, b, c, d = grid[:-1, :-1].ravel(), grid[:-1, 1:].ravel(), grid[1:, 1:].ravel(), grid[1:, :-1].ravel()
    corners = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    triangles = geometry.ravel()[corners]
    keep = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2]) & (triangles[:, 2] != triangles[:, 0])
    triangles, corners = triangles[keep], corners[keep]
    uvs = np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)
    vertices = (radius * points).reshape(-1, 3).astype(np.float32)
    return Mesh(vertices, triangles.astype(np.int32), uvs, corners.astype(np.int32), np.ones(len(triangles), np.uint8))


@dataclasses.dataclass(frozen=True, eq=False)
class Ball:
    """Satisfies render.Posable. A ball of 0.1 m with a nose at +Z; "jawOpen" moves the lower half down by 2 cm at weight 1.

    The left half (+X) of the texture is red, the right half is blue, both checkered.
    """

    T_world_head: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(4))
    light: Light = DEFAULT_LIGHT
    neck_joint: tuple[float, float, float] = (0.0, -0.12, -0.02)

    @property
    def albedo_srgb(self) -> np.ndarray:
        rows, columns = np.mgrid[0:256, 0:512]
        is_dark = (rows // 16 + columns // 16) % 2
        base = np.where((columns >= 256)[..., None], (220, 90, 80), (80, 90, 220))
        return (base * np.where(is_dark, 0.6, 1.0)[..., None]).astype(np.uint8)

    @property
    def neutral(self) -> Mesh:
        sphere = sphere_mesh()
        vertices = sphere.vertices.copy()
        nose = np.exp(-((vertices[:, 0] ** 2 + vertices[:, 1] ** 2) / (2 * 0.015**2))) * (vertices[:, 2] > 0)
        vertices[:, 2] += (0.03 * nose).astype(np.float32)
        parts = np.where(vertices[sphere.triangles].mean(1)[:, 1] > 0.085, 8, 1).astype(np.uint8)
        return dataclasses.replace(sphere, vertices=vertices, triangle_parts=parts)

    def pose(self, frame: Frame) -> Mesh:
        neutral = self.neutral
        vertices = neutral.vertices.astype(np.float64)
        vertices[vertices[:, 1] < 0, 1] -= 0.02 * frame.weights.get("jawOpen", 0.0)
        vertices = (vertices - self.neck_joint) @ head_pose_matrix(frame.head_pose).T + self.neck_joint
        vertices = vertices @ self.T_world_head[:3, :3].T + self.T_world_head[:3, 3]
        return dataclasses.replace(neutral, vertices=vertices.astype(np.float32))

    @property
    def landmarks(self) -> LandmarkEmbedding:
        num = 478
        triangle_index = np.linspace(0, len(self.neutral.triangles) - 1, num).astype(np.int32)
        barycentric = np.tile(np.array([[0.5, 0.3, 0.2]], np.float32), (num, 1))
        return LandmarkEmbedding("mediapipe478", "ball", triangle_index, barycentric, np.ones(num, np.float32))
