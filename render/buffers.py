"""What the rasterizer leaves (Fragments) and what is derived from it (RenderBuffers)."""

from __future__ import annotations

import dataclasses

import numpy as np

from render.camera import Camera
from render.mesh import Mesh


@dataclasses.dataclass(frozen=True, eq=False)
class Fragments:
    """One sample a pixel centre, geometry only."""

    face_id: np.ndarray
    """(H, W) int32 triangle index, -1 where empty; ids are never averaged."""
    barycentric: np.ndarray
    """(H, W, 3) float32, perspective-correct, sums to 1; nan where empty."""
    depth: np.ndarray
    """(H, W) float32 camera-space z, metres (not ray length); inf where empty."""

    def at(self, index: np.ndarray | tuple[np.ndarray, ...]) -> Fragments:
        """The fragments chosen by an index or mask over the pixels."""
        return Fragments(self.face_id[index], self.barycentric[index], self.depth[index])


@dataclasses.dataclass(frozen=True, eq=False)
class RenderBuffers:
    """The AOVs of one frame. Empty pixels: depth and distance inf; position, normal, uv nan; ids 0; colour the background."""

    name: str
    """Frame name."""
    camera: Camera
    mesh: Mesh
    """The posed mesh, world frame."""
    fragments: Fragments
    mask: np.ndarray
    """(H, W) bool: a triangle covers the pixel centre."""
    alpha: np.ndarray
    """(H, W) float32 coverage after supersampling."""
    depth: np.ndarray
    """(H, W) float32 camera z, metres; inf."""
    distance: np.ndarray
    """(H, W) float32 ray length, metres; inf."""
    position_world: np.ndarray
    """(H, W, 3) float32 metres; nan."""
    normal_world: np.ndarray
    """(H, W, 3) float32 unit, smooth; nan."""
    normal_cam: np.ndarray
    """(H, W, 3) float32 unit, OpenCV camera axes (towards the viewer is -Z); nan."""
    uv: np.ndarray
    """(H, W, 2) float32, origin bottom-left; nan."""
    part_id: np.ndarray
    """(H, W) uint8 into assets.head_model.PARTS; 0 empty."""
    albedo_srgb: np.ndarray
    """(H, W, 3) uint8, texture only; background where empty."""
    beauty_srgb: np.ndarray
    """(H, W, 3) uint8, lit, anti-aliased over the background."""
    landmarks_world: np.ndarray
    """(478, 3) float32 metres, mediapipe478 points of the posed mesh."""
    landmarks_px: np.ndarray
    """(478, 2) float32 pixels in `camera`, centres at +0.5."""
    landmarks_visible: np.ndarray
    """(478,) bool: nothing of the mesh lies before the point."""
    depth_range_m: tuple[float, float]
    """(near, far) locked over the sweep."""
