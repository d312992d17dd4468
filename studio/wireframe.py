"""The fitted mesh drawn over its photo: thin anti-aliased edges of what the camera sees."""

from __future__ import annotations

import functools

import numpy as np

from assets.head_model import PARTS
from render.camera import Camera
from render.mesh import Mesh
from studio.lines import line_coverage

SUPERSAMPLE = 3
"""Lines are drawn this many times larger and averaged down, so that they stay thin."""

LINE_PX = 2 / 3
"""Width of a line."""

VISIBILITY_PX = 1400
"""Longer side of the picture at which it is found what a camera sees of a mesh: triangles of a head are some pixels wide there."""

LINE_SRGB: dict[str, tuple[int, int, int]] = {
    "skin": (92, 235, 255),
    "eye_left": (255, 214, 92),
    "eye_right": (255, 214, 92),
    "lashes": (255, 214, 92),
    "teeth_upper": (255, 255, 255),
    "teeth_lower": (255, 255, 255),
    "tongue": (255, 150, 150),
    "mouth_socket": (255, 150, 150),
}
"""Line colour by part, sRGB."""


def draw_wireframe(image: np.ndarray, mesh: Mesh, camera: Camera, *, opacity: float = 0.6) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: the photo with the visible edges of the mesh; `camera` has the photo's size.

    An edge is visible when one of its two triangles covers a pixel centre of the enlarged picture. Diagonals of quads are left out.
    """
    large = camera.resized(width=camera.width * SUPERSAMPLE, height=camera.height * SUPERSAMPLE)
    out = image.astype(np.float32)
    edges, first, second = quad_edges(mesh)
    is_seen = visible_triangles(mesh, large)
    pixels, depth = camera.project(mesh.vertices.astype(np.float64))
    shown = (is_seen[first] | is_seen[second]) & (depth[edges] > 0).all(1)
    for colour in sorted(set(LINE_SRGB.values())):
        part_ids = [PARTS.index(part) for part, value in LINE_SRGB.items() if value == colour]
        chosen = edges[shown & np.isin(mesh.triangle_parts[first], part_ids)]
        coverage = line_coverage(pixels[chosen], camera.width, camera.height, LINE_PX, supersample=SUPERSAMPLE)[..., None] * opacity
        out = out * (1 - coverage) + np.array(colour, np.float32) * coverage
    return np.rint(out).astype(np.uint8)


def visible_triangles(mesh: Mesh, camera: Camera) -> np.ndarray:
    """(F,) bool: the triangle covers at least one pixel centre; in a large picture, of one reduced to VISIBILITY_PX."""
    from render import rasterize

    face_id = rasterize(mesh, for_visibility(camera)).face_id
    seen = np.zeros(len(mesh.triangles), bool)
    seen[np.unique(face_id[face_id >= 0])] = True
    return seen


def for_visibility(camera: Camera) -> Camera:
    """The camera, or one with smaller pictures: what hides what is settled at VISIBILITY_PX, whatever the size of the lines."""
    factor = VISIBILITY_PX / max(camera.width, camera.height)
    if factor >= 1:
        return camera
    return camera.resized(width=max(1, round(camera.width * factor)), height=max(1, round(camera.height * factor)))


def quad_edges(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(E, 2) vertex indices of edges and, for each, its two triangles (E,) and (E,); an edge of the border names its one twice.

    An edge that is the longest in both of its triangles is the diagonal of a quad and is left out: modellers read quads.
    """
    return _quad_edges(mesh.triangles.tobytes(), mesh.vertices.astype(np.float32).tobytes())


@functools.lru_cache(maxsize=4)
def _quad_edges(triangle_bytes: bytes, vertex_bytes: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    triangles = np.frombuffer(triangle_bytes, np.int32).reshape(-1, 3)
    vertices = np.frombuffer(vertex_bytes, np.float32).reshape(-1, 3)
    sides = np.stack([triangles, np.roll(triangles, -1, 1)], -1)
    lengths = np.linalg.norm(vertices[sides[..., 0]] - vertices[sides[..., 1]], axis=-1)
    is_longest = lengths >= lengths.max(1, keepdims=True)
    flat = np.sort(sides.reshape(-1, 2), 1)
    edges, inverse = np.unique(flat, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    owner = order // 3
    starts = np.searchsorted(inverse.ravel()[order], np.arange(len(edges)))
    ends = np.append(starts[1:], len(order)) - 1
    num_longest = np.bincount(inverse.ravel(), weights=is_longest.ravel(), minlength=len(edges))
    keep = ~((ends - starts == 1) & (num_longest == 2))
    return edges[keep], owner[starts[keep]], owner[ends[keep]]
