"""Unwrap a view into the face's chart through the present mesh, pose and camera, and make it comparable."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from recon.solve.chart import FaceChart
from render import RayScene
from render.camera import Camera

# Rays start this far above the skin, so that they do not hit the triangle that they leave.
RAY_OFFSET_M = 5e-4
# Skin seen more slantingly than this is too stretched to be matched.
MIN_COSINE = 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class Unwrapped:
    """One view in the chart."""

    cosine: np.ndarray
    """(H, W) float32: cosine between skin normal and the direction to the camera, 0 where not visible."""
    px: np.ndarray
    """(H, W, 2) float32: where each texel lies in the working picture; -1e4 outside the chart."""
    pattern: np.ndarray
    """(H, W) float32 locally normalised brightness in [-3, 3], 0 where not visible."""

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: seen well enough to be matched."""
        return self.cosine > MIN_COSINE


def visible_cosine(scene: RayScene, points: np.ndarray, normals: np.ndarray, camera: Camera) -> np.ndarray:
    """(N,) cosine between unit normals and the direction to the camera; 0 where turned away, hidden, or outside the picture."""
    R, t = camera.T_cam_world[:3, :3], camera.T_cam_world[:3, 3]
    to_camera = -R.T @ t - points
    distance = np.linalg.norm(to_camera, axis=1)
    direction = to_camera / distance[:, None]
    cosine = (normals * direction).sum(1)
    out = np.zeros(len(points))
    facing = np.flatnonzero(cosine > MIN_COSINE)
    hit = scene.cast(points[facing] + RAY_OFFSET_M * normals[facing], direction[facing]).distance
    seen = facing[~np.isfinite(hit) | (hit >= distance[facing])]
    out[seen] = cosine[seen]
    return out


def unwrap(
    chart: FaceChart,
    vertices: np.ndarray,
    normals: np.ndarray,
    triangles: np.ndarray,
    camera: Camera,
    grey: np.ndarray,
    window_texels: float,
    scene: RayScene | None = None,
) -> Unwrapped:
    """Resample a working picture (grey, float32) into the chart.

    Args:
        vertices, normals: (V, 3) of the posed head in the head frame; camera has the head frame as its world.
        window_texels: sigma of the window for local mean and deviation.
        scene: of the same vertices and triangles, where several charts share one.
    """
    points = chart.at_texels(vertices).astype(np.float64)
    normal = chart.at_texels(normals).astype(np.float64)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    px, _ = camera.project(points)
    inside = ((px > 0) & (px < [grey.shape[1], grey.shape[0]])).all(1)
    cosine = visible_cosine(scene or RayScene(vertices, triangles), points, normal, camera) * inside
    px_grid = chart.grid(px.astype(np.float32), fill=-1e4)
    # cv2 counts pixel centres at 0, we at +0.5.
    texture = cv2.remap(grey, px_grid[..., 0] - 0.5, px_grid[..., 1] - 0.5, cv2.INTER_LINEAR)
    cosine_grid = chart.grid(cosine.astype(np.float32))
    return Unwrapped(cosine_grid, px_grid, normalise(texture, cosine_grid > MIN_COSINE, window_texels))


def normalise(texture: np.ndarray, mask: np.ndarray, window_texels: float, floor: float = 2.0) -> np.ndarray:
    """(H, W) float32: brightness minus its local mean, over its local deviation, within the mask; clipped to [-3, 3].

    `floor` is the variance (grey levels squared) that is added so that flat skin does not turn into amplified noise.
    """
    weight = mask.astype(np.float32)
    blur = lambda picture: cv2.GaussianBlur(picture, (0, 0), window_texels)  # noqa: E731
    total = np.maximum(blur(weight), 1e-3)
    mean = blur(texture * weight) / total
    variance = np.maximum(blur(texture * texture * weight) / total - mean * mean, 0.0)
    return np.clip(weight * (texture - mean) / np.sqrt(variance + floor), -3.0, 3.0)
