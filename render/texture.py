"""A texture prepared for rendering: a pyramid in linear light, so that fine texture neither shimmers nor aliases."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from render.camera import Camera
from render.mesh import Mesh
from render.shading import srgb_to_linear

LOOKUP_COLUMNS = 1024
"""Samples a row when they are handed to cv2.remap, which refuses rows longer than 32767."""

MIN_COSINE = 0.15
"""Foreshortening beyond this adds no more blur along a silhouette."""


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """Mip pyramid after Williams, "Pyramidal Parametrics", SIGGRAPH 1983; levels are averaged in linear light."""

    levels_linear: tuple[np.ndarray, ...]
    """(H, W, 3) uint16, linear light with 65535 as white; level 0 the full picture, each next one half the size."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of level 0."""
        return self.levels_linear[0].shape[0], self.levels_linear[0].shape[1]

    @classmethod
    def from_srgb(cls, image: np.ndarray, num_levels: int = 7) -> Texture:
        """Pyramid of an sRGB picture (H, W, 3) uint8, down to `num_levels` or to 4 texels."""
        levels = [_SIXTEEN_BIT_OF_BYTE[image]]
        while len(levels) < num_levels and min(levels[-1].shape[:2]) >= 8:
            height, width = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
        return cls(tuple(levels))

    def sample_linear(self, uv: np.ndarray, level: np.ndarray) -> np.ndarray:
        """(N, 3) linear colour at uv (N, 2), trilinear at pyramid level (N,) (0: full size; clipped to what there is)."""
        level = np.clip(level, 0, len(self.levels_linear) - 1)
        out = np.zeros((len(uv), 3), np.float32)
        for index, image in enumerate(self.levels_linear):
            chosen = np.flatnonzero(np.abs(level - index) < 1)
            if len(chosen):
                weight = (1 - np.abs(level[chosen] - index)) / np.float32(65535)
                out[chosen] += lookup(image, uv[chosen]) * weight[:, None]
        return out


def lookup(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(N, C) in the dtype of the image (H, W, C) at uv (N, 2): sample_texture by OpenCV, many times as fast, to 1/32 texel."""
    height, width = image.shape[:2]
    shape = (-(-len(uv) // LOOKUP_COLUMNS), LOOKUP_COLUMNS)
    px = np.zeros((shape[0] * shape[1], 2), np.float32)
    # cv2.remap has texel centres at whole numbers, hence the half.
    px[: len(uv), 0] = uv[:, 0] * width - 0.5
    px[: len(uv), 1] = (1 - uv[:, 1]) * height - 0.5
    found = cv2.remap(image, px[..., 0].reshape(shape), px[..., 1].reshape(shape), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, image.shape[2])[: len(uv)]


def texel_levels(mesh: Mesh, normals: np.ndarray, camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """(V,) float32 pyramid level at which a texel is about a pixel wide, from the ratio of areas in texture and picture.

    Args:
        normals: (V, 3) smooth vertex normals, world.
        size: (height, width) of level 0.

    Where the surface turns away from the camera the level is the mean of what its two directions need.
    """
    texels = _areas_by_vertex(mesh, mesh.uvs[mesh.triangle_uvs]) * (size[0] * size[1])
    area = _areas_by_vertex(mesh, mesh.vertices[mesh.triangles])
    towards_camera = camera.position_world - mesh.vertices
    distance = np.maximum(np.linalg.norm(towards_camera, axis=-1), 1e-6)
    cosine = np.abs(np.einsum("vc,vc->v", towards_camera, normals)) / distance
    depth = np.maximum(camera.to_camera(mesh.vertices)[:, 2], 1e-6)
    # A patch seen under `cosine` at ray length d and camera z covers area * cosine * focal^2 * d / z^3 pixels.
    pixels = area * np.maximum(cosine, MIN_COSINE) * camera.K[0, 0] * camera.K[1, 1] * distance / depth**3
    return (0.5 * np.log2(np.maximum(texels / np.maximum(pixels, 1e-12), 1e-6))).astype(np.float32)


def _areas_by_vertex(mesh: Mesh, corners: np.ndarray) -> np.ndarray:
    """(V,) sum of the areas of the triangles around each vertex, for corners (F, 3, 2 or 3)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    squared = (first**2).sum(-1) * (second**2).sum(-1) - (first * second).sum(-1) ** 2
    areas = np.tile(0.5 * np.sqrt(np.maximum(squared, 0)), 3)
    return np.bincount(np.ascontiguousarray(mesh.triangles.T).ravel(), areas, minlength=len(mesh.vertices))


_SIXTEEN_BIT_OF_BYTE = np.rint(srgb_to_linear(np.arange(256, dtype=np.uint8)) * 65535).astype(np.uint16)
