"""From a posable and a frame to all AOVs: pose, rasterize, derive, shade."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from assets.errors import RangeError
from render import aovs
from render.antialias import Shader, beauty_linear, edge_pixels
from render.buffers import RenderBuffers
from render.camera import Camera
from render.mesh import vertex_normals
from render.rasterize import MeshView, view_mesh
from render.shading import linear_to_srgb_bytes
from render.sweep import Frame, Posable, Sweep
from render.texture import Texture

Progress = Callable[[str, int, int], None]
"""Called with (stage in words, frames done, frames in all)."""

LANDMARK_OFFSET_M = 1e-3
"""A landmark is visible when nothing lies more than this before it: a millimetre lets points in shallow creases through."""


def render_buffers(
    posable: Posable,
    frame: Frame,
    depth_range_m: tuple[float, float],
    *,
    supersample: int = 4,
    backend: str | None = None,
    texture: Texture | None = None,
) -> RenderBuffers:
    """All AOVs of one frame.

    Args:
        depth_range_m: (near, far) of the sweep that the frame belongs to, stored with the buffers; nothing is clipped by it.
        supersample: points along a pixel's side for beauty and alpha at edges; 1 switches anti-aliasing off.
        texture: the posable's albedo as a pyramid, where the caller renders many frames; made here where None.

    Raises RangeError for a range with near >= far or supersample < 1.
    """
    if not 0 < depth_range_m[0] < depth_range_m[1] < np.inf:
        raise RangeError(expected="0 < near < far, metres", got=repr(depth_range_m), do="take depth_range_m from the sweep")
    if supersample < 1:
        raise RangeError(expected="supersample of 1 or more", got=repr(supersample), do="4 is a good value")
    mesh, camera, light = posable.pose(frame), frame.camera, frame.light or posable.light
    view = view_mesh(mesh, camera, backend=backend)
    fragments = view.sample(camera.pixel_centres())
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    # One pass over the pixels for both, which halves the time of two.
    position_and_normal = aovs.interpolate(fragments, np.column_stack([mesh.vertices, normals]), mesh.triangles)
    normal_world = aovs.unit(position_and_normal[..., 3:])
    uv, part_id = aovs.uv(fragments, mesh), aovs.part_id(fragments, mesh)
    shader = Shader.of(mesh, normals, texture or Texture.from_srgb(posable.albedo_srgb), light, camera)
    is_edge = edge_pixels(fragments, part_id, uv, camera)
    colour, alpha = beauty_linear(view, camera, fragments, is_edge, shader, supersample)
    landmarks_world = posable.landmarks.points(mesh.vertices, mesh.triangles).astype(np.float32)
    landmarks_px, landmarks_visible = _landmarks(landmarks_world, camera, view)
    return RenderBuffers(
        name=frame.name,
        camera=camera,
        mesh=mesh,
        fragments=fragments,
        mask=aovs.mask(fragments),
        alpha=alpha,
        depth=fragments.depth,
        distance=aovs.distance(fragments, camera),
        position_world=np.ascontiguousarray(position_and_normal[..., :3]),
        normal_world=normal_world,
        normal_cam=aovs.normal_cam(normal_world, camera),
        uv=uv,
        part_id=part_id,
        albedo_srgb=aovs.albedo(uv, posable.albedo_srgb),
        beauty_srgb=linear_to_srgb_bytes(colour),
        landmarks_world=landmarks_world,
        landmarks_px=landmarks_px,
        landmarks_visible=landmarks_visible,
        depth_range_m=depth_range_m,
    )


def render_sweep(
    posable: Posable, sweep: Sweep, *, backend: str | None = None, supersample: int = 4, progress: Progress | None = None
) -> Iterator[RenderBuffers]:
    """Yield one RenderBuffers a frame, in order, holding none of them: memory does not grow with the length of the sweep."""
    texture = Texture.from_srgb(posable.albedo_srgb)
    for index, frame in enumerate(sweep.frames):
        yield render_buffers(posable, frame, sweep.depth_range_m, supersample=supersample, backend=backend, texture=texture)
        if progress is not None:
            progress("render", index + 1, len(sweep.frames))


def _landmarks(points: np.ndarray, camera: Camera, view: MeshView) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (L, 2) float32 and visibility (L,) of surface points (L, 3); behind the camera: nan and False."""
    px, depth = camera.project(points)
    is_before = depth > 0
    nearest = view.sample(np.where(is_before[:, None], px, 0.0)).depth
    return px.astype(np.float32), is_before & (nearest >= depth - LANDMARK_OFFSET_M)
