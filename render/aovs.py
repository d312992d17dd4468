"""AOVs (arbitrary output variables) as pure functions of fragments: one number or vector a pixel, nothing is averaged.

Every function takes fragments of any shape (...,) and fills empty pixels with the value stated in RenderBuffers.
"""

from __future__ import annotations

import numpy as np

from render.buffers import Fragments
from render.camera import Camera
from render.mesh import Mesh, vertex_normals
from render.shading import BACKGROUND_SRGB
from render.texture import lookup


def mask(fragments: Fragments) -> np.ndarray:
    """(...,) bool: a triangle covers the sample."""
    return fragments.face_id >= 0


def interpolate(fragments: Fragments, values: np.ndarray, corner_indices: np.ndarray) -> np.ndarray:
    """(..., C) float32 of values (V, C) at the triangles' corners (F, 3), perspective-correct; nan where empty."""
    where = np.flatnonzero(mask(fragments))
    out = np.full((*fragments.face_id.shape, values.shape[-1]), np.nan, np.float32)
    corners = corner_indices[fragments.face_id.ravel()[where]]
    out.reshape(-1, values.shape[-1])[where] = _blend(values, corners, fragments.barycentric.reshape(-1, 3)[where])
    return out


def distance(fragments: Fragments, camera: Camera) -> np.ndarray:
    """(H, W) float32 length of the ray from the camera, metres; inf where empty. Depth is its camera z."""
    x, y = _viewing_slopes(camera)
    return fragments.depth * np.sqrt(1 + x * x + y * y)


def position_world(fragments: Fragments, mesh: Mesh) -> np.ndarray:
    """(..., 3) float32 metres; nan where empty."""
    return interpolate(fragments, mesh.vertices, mesh.triangles)


def normal_world(fragments: Fragments, mesh: Mesh) -> np.ndarray:
    """(..., 3) float32 unit smooth normals, outward: never flipped, so a surface seen from inside points away from the viewer."""
    return unit(interpolate(fragments, vertex_normals(mesh.vertices, mesh.triangles), mesh.triangles))


def normal_cam(normals_world: np.ndarray, camera: Camera) -> np.ndarray:
    """(..., 3) float32 the same normals in OpenCV camera axes: a surface that faces the camera has (0, 0, -1)."""
    return normals_world @ camera.T_cam_world[:3, :3].T.astype(np.float32)


def uv(fragments: Fragments, mesh: Mesh) -> np.ndarray:
    """(..., 2) float32 texture coordinates, origin bottom-left; nan where empty."""
    return interpolate(fragments, mesh.uvs, mesh.triangle_uvs)


def part_id(fragments: Fragments, mesh: Mesh) -> np.ndarray:
    """(...,) uint8 into assets.head_model.PARTS; 0 where empty."""
    is_hit = mask(fragments)
    out = np.zeros(is_hit.shape, np.uint8)
    out[is_hit] = mesh.triangle_parts[fragments.face_id[is_hit]]
    return out


def albedo(uvs: np.ndarray, albedo_srgb: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB of a texture (H, W, 3) at uvs (..., 2); the background where uvs are nan."""
    is_hit = np.isfinite(uvs[..., 0])
    out = np.full((*is_hit.shape, 3), BACKGROUND_SRGB, np.uint8)
    if is_hit.any():
        out[is_hit] = lookup(albedo_srgb, uvs[is_hit])
    return out


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) at length 1; zero vectors stay zero, nan stays nan."""
    lengths = np.sqrt(np.einsum("...c,...c->...", vectors, vectors))[..., None]
    return vectors / np.where(lengths == 0, np.float32(1), lengths)


def _blend(values: np.ndarray, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(N, C): rows of values at corners (N, 3), weighted; one corner at a time, which avoids an (N, 3, C) array."""
    out = np.take(values, corners[:, 0], axis=0) * barycentric[:, :1]
    for k in (1, 2):
        out += np.take(values, corners[:, k], axis=0) * barycentric[:, k : k + 1]
    return out


def _viewing_slopes(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """x/z (H, W) or (1, W) and y/z (H, 1) of the rays through the pixel centres, float32."""
    y = ((np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1])[:, None]
    x = (np.arange(camera.width) + 0.5 - camera.K[0, 2] - camera.K[0, 1] * y) / camera.K[0, 0]
    return x.astype(np.float32), y.astype(np.float32)
