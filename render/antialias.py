"""Anti-aliased colour: shade once a pixel, and several times where the pixel may hold an edge.

Colour and coverage are averaged in linear light. Ids and depth are never averaged: they come from the pixel centre alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from render import aovs
from render.buffers import Fragments
from render.camera import Camera
from render.mesh import Mesh
from render.rasterize import MeshView
from render.shading import BACKGROUND_SRGB, irradiance, srgb_to_linear
from render.sweep import Light
from render.texture import Texture, texel_levels

UV_JUMP = 0.1
"""UV distance between neighbouring pixels from which they count as lying on two sides of a texture seam."""

STEEPNESS = 6.0
"""Depth change between neighbouring pixels, in pixel widths on the surface, from which they count as two surfaces."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shader:
    """Lambert colour of fragments of one posed mesh."""

    mesh: Mesh
    normals: np.ndarray
    """(V, 3) float32 smooth vertex normals, world."""
    texture: Texture
    levels: np.ndarray
    """(V,) float32 pyramid level of the texture for samples one pixel apart."""
    light: Light

    @classmethod
    def of(cls, mesh: Mesh, normals: np.ndarray, texture: Texture, light: Light, camera: Camera) -> Shader:
        """A shader with texture levels for the pixels of `camera`."""
        return cls(mesh, normals, texture, texel_levels(mesh, normals, camera, texture.size), light)

    def colour_linear(self, fragments: Fragments, *, finer: float = 0.0) -> np.ndarray:
        """(..., 3) float32 linear colour, background where empty; `finer` pyramid levels are taken off (log2 of samples a pixel's side)."""
        is_hit = aovs.mask(fragments)
        out = np.full((*is_hit.shape, 3), _BACKGROUND_LINEAR, np.float32)
        hits = fragments.at(is_hit)
        normal_and_level = aovs.interpolate(hits, np.column_stack([self.normals, self.levels]), self.mesh.triangles)
        uv = aovs.interpolate(hits, self.mesh.uvs, self.mesh.triangle_uvs)
        normal, level = aovs.unit(normal_and_level[:, :3]), normal_and_level[:, 3] - np.float32(finer)
        out[is_hit] = self.texture.sample_linear(uv, level) * irradiance(normal, self.light)
        return out


def beauty_linear(
    view: MeshView, camera: Camera, fragments: Fragments, is_edge: np.ndarray, shader: Shader, supersample: int
) -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3) linear over the background and coverage alpha (H, W), both float32.

    Edge pixels get the mean of supersample x supersample points on a regular grid, all others the colour of their centre.
    """
    colour = shader.colour_linear(fragments)
    alpha = aovs.mask(fragments).astype(np.float32)
    if supersample > 1 and is_edge.any():
        samples = view.sample(sample_points(is_edge, supersample))
        colour[is_edge] = shader.colour_linear(samples, finer=np.log2(supersample)).mean(1)
        alpha[is_edge] = aovs.mask(samples).mean(1)
    return colour, alpha


def edge_pixels(fragments: Fragments, part_id: np.ndarray, uv: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) bool: the pixel differs from one of its four neighbours in coverage or part, or depth or uv jumps between them."""
    is_hit = aovs.mask(fragments)
    depth = np.where(is_hit, fragments.depth, np.float32(0))
    step_limit = np.float32(STEEPNESS / camera.K[1, 1]) * depth
    is_edge = np.zeros(is_hit.shape, bool)
    for here, there in (_ROW_PAIRS, _COLUMN_PAIRS):
        step = (part_id[here] != part_id[there]) | (is_hit[here] != is_hit[there])
        step |= np.abs(depth[here] - depth[there]) > step_limit[here]
        # Comparisons with nan are False, so empty pixels add no seams.
        step |= (np.abs(uv[here] - uv[there]) > UV_JUMP).any(-1)
        is_edge[here] |= step
        is_edge[there] |= step
    return is_edge


def sample_points(is_edge: np.ndarray, supersample: int) -> np.ndarray:
    """(N, supersample^2, 2) pixel coordinates on a regular grid inside each of the N edge pixels."""
    offsets = (np.arange(supersample) + 0.5) / supersample
    grid = np.stack(np.meshgrid(offsets, offsets), -1).reshape(1, -1, 2)
    rows, columns = np.nonzero(is_edge)
    return np.stack([columns, rows], -1)[:, None, :] + grid


_ROW_PAIRS = (np.s_[:-1, :], np.s_[1:, :])
_COLUMN_PAIRS = (np.s_[:, :-1], np.s_[:, 1:])
_BACKGROUND_LINEAR = srgb_to_linear(np.array(BACKGROUND_SRGB, np.uint8))
