"""Contours of a posed head over its photo: what an eye compares first. Occluding outline, lids, lips and nose, thick and in colour."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from assets.head_model import PARTS, REGIONS, HeadModel
from assets.landmark_schemes import scheme_size
from assets.landmarks import LandmarkEmbedding
from assets.mediapipe_edges import mediapipe_face_edges
from render.camera import Camera
from render.mesh import Mesh, vertex_normals
from studio.lines import line_coverage
from studio.wireframe import for_visibility

SUPERSAMPLE = 3
"""In small pictures lines are drawn this many times larger and averaged down; in large ones OpenCV's own smoothing is enough."""

HIDDEN_BEHIND_M = 0.004
"""A contour further than this behind everything around its pixel is hidden: its own skin turns away from the camera there."""

CONTOUR_SRGB: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "outline": (255, 255, 255),
        "jaw": (120, 255, 140),
        "ears": (214, 150, 255),
        "nose": (120, 200, 255),
        "lids": (255, 214, 80),
        "lips": (255, 110, 140),
    }
)
"""Colour of each kind of contour, sRGB; drawn in this order."""

_KINDS = tuple(CONTOUR_SRGB)

# Bridge and lower edge of the nose in MediaPipe's 478 points; its wings come from the occluding outline.
_NOSE_LINES = ((168, 6, 197, 195, 5, 4), (129, 98, 97, 2, 326, 327, 358))


@dataclasses.dataclass(frozen=True, eq=False)
class Contour:
    """Line segments of one kind."""

    kind: str
    """A key of CONTOUR_SRGB."""
    segments_px: np.ndarray
    """(N, 2, 2) pixels of the camera, centres at +0.5."""


def head_contours(mesh: Mesh, camera: Camera, head: HeadModel, landmarks: LandmarkEmbedding) -> list[Contour]:
    """The visible contours of a posed mesh (vertices in the head's order, world frame) in a camera.

    The occluding outline runs where the interpolated normal is perpendicular to the line of sight (Hertzmann and Zorin, 2000),
    and is named by the part of the face that it lies on; lines between landmarks add the lips and the nose's lower edge.
    """
    normals = vertex_normals(mesh.vertices, mesh.triangles)
    depth = _depth_around(mesh, camera)
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in CONTOUR_SRGB}
    segments, triangles = occluding_segments(mesh, normals, camera.position_world)
    kinds = contour_kinds(head)[mesh.triangles[triangles, 0]]
    for index, kind in enumerate(_KINDS):
        found[kind].append(segments[kinds == index])
    for kind, lines in landmark_lines(mesh, head, landmarks, normals, camera.position_world).items():
        found[kind].append(lines)
    return [Contour(kind, _visible_px(np.concatenate(parts), camera, depth)) for kind, parts in found.items()]


def draw_contours(image: np.ndarray, contours: Sequence[Contour], *, width_px: float = 2.0) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: the picture with the contours, each on a dark rim so that it reads on any skin."""
    out = image.astype(np.float32)
    height, width = image.shape[:2]
    drawn = [(contour, contour.segments_px) for contour in contours if len(contour.segments_px)]
    fine = SUPERSAMPLE if max(width, height) < 1000 else 1
    rims = [line_coverage(segments, width, height, width_px + 1.6, supersample=fine) for _, segments in drawn]
    if rims:
        out *= 1.0 - 0.55 * np.maximum.reduce(rims)[..., None]
    for contour, segments in drawn:
        coverage = line_coverage(segments, width, height, width_px, supersample=fine)[..., None]
        out = out * (1 - coverage) + np.array(CONTOUR_SRGB[contour.kind], np.float32) * coverage
    return np.rint(out).astype(np.uint8)


def occluding_segments(mesh: Mesh, normals: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2, 3) segments on skin where normals turn away from a camera at `eye` (3,), and the triangle (N,) of each."""
    facing = np.einsum("vc,vc->v", normals, eye - mesh.vertices)
    values = facing[mesh.triangles]
    crossed = (mesh.triangle_parts == PARTS.index("skin")) & (values.max(1) > 0) & (values.min(1) <= 0)
    chosen = np.flatnonzero(crossed)
    corners, values = mesh.vertices[mesh.triangles[chosen]].astype(np.float64), values[chosen]
    # The corner whose sign differs from the two others': both its sides are crossed.
    positive = values > 0
    odd = np.where(positive.sum(1) == 1, positive.argmax(1), (~positive).argmax(1))
    rows = np.arange(len(chosen))
    ends = []
    for step in (1, 2):
        other = (odd + step) % 3
        a, b = values[rows, odd], values[rows, other]
        t = (a / (a - b))[:, None]
        ends.append(corners[rows, odd] * (1 - t) + corners[rows, other] * t)
    return np.stack(ends, 1), chosen


def landmark_lines(
    mesh: Mesh, head: HeadModel, landmarks: LandmarkEmbedding, normals: np.ndarray, eye: np.ndarray
) -> dict[str, np.ndarray]:
    """(N, 2, 3) segments of lips and nose between landmarks on skin that faces the camera; empty for other schemes than mediapipe478."""
    if landmarks.scheme != "mediapipe478" or len(landmarks.triangle_index) != scheme_size("mediapipe478"):
        return {}
    corners = head.triangles[landmarks.triangle_index]
    points = landmarks.points(mesh.vertices.astype(np.float64), head.triangles)
    normal = np.einsum("lk,lkc->lc", landmarks.barycentric.astype(np.float64), normals[corners])
    faces = np.einsum("lc,lc->l", normal, eye - points) > 0
    pairs = {"lips": [pair for line in mediapipe_face_edges() if line.part == "lips" for pair in line.pairs]}
    pairs["nose"] = [pair for line in _NOSE_LINES for pair in itertools.pairwise(line)]
    return {
        kind: np.array([points[list(pair)] for pair in some if faces[list(pair)].all()]).reshape(-1, 2, 3) for kind, some in pairs.items()
    }


def contour_kinds(head: HeadModel) -> np.ndarray:
    """(V,) index into CONTOUR_SRGB of an occluding contour through each vertex, by where it lies on the average head.

    Limits in metres from the midpoint of the eyes: lids within 2 cm of an eyeball's centre; nose and lips in the middle of the face;
    the face's outline below them is the jaw's.
    """
    x, y, z = head.vertices.T
    is_face = head.vertex_regions == REGIONS.index("face")
    kinds = np.full(head.num_vertices, _KINDS.index("outline"))
    kinds[head.vertex_regions == REGIONS.index("ears")] = _KINDS.index("ears")
    kinds[is_face & (y < -0.055)] = _KINDS.index("jaw")
    kinds[is_face & (np.abs(x) < 0.03) & (y < -0.055) & (y > -0.082) & (z > 0.0)] = _KINDS.index("lips")
    kinds[is_face & (np.abs(x) < 0.025) & (y < 0.0) & (y > -0.055) & (z > 0.005)] = _KINDS.index("nose")
    to_eye = np.linalg.norm(head.vertices[:, None] - head.eye_centres()[None], axis=2).min(1)
    kinds[(head.vertex_parts == PARTS.index("skin")) & (to_eye < 0.02)] = _KINDS.index("lids")
    return kinds


def _depth_around(mesh: Mesh, camera: Camera) -> np.ndarray:
    """(h, w) float32: the furthest depth within a pixel of each pixel of a picture of VISIBILITY_PX, 1e6 where that is background."""
    from render import rasterize

    depth = rasterize(mesh, for_visibility(camera)).depth.astype(np.float32)
    return cv2.dilate(np.where(np.isfinite(depth), depth, 1e6).astype(np.float32), np.ones((3, 3), np.uint8))


def _visible_px(segments: np.ndarray, camera: Camera, depth: np.ndarray) -> np.ndarray:
    """(N, 2, 2) pixels of the segments (M, 2, 3) whose middle is not hidden."""
    if len(segments) == 0:
        return np.zeros((0, 2, 2))
    pixels, z = camera.project(segments.reshape(-1, 3).astype(np.float64))
    pixels, z = pixels.reshape(-1, 2, 2), z.reshape(-1, 2)
    height, width = depth.shape
    scale = np.array([width / camera.width, height / camera.height])
    middle = np.floor(np.nan_to_num(pixels.mean(1) * scale, nan=-1.0)).astype(int)
    inside = (middle >= 0).all(1) & (middle[:, 0] < width) & (middle[:, 1] < height) & (z > 0).all(1)
    reach = np.full(len(segments), -np.inf)
    reach[inside] = depth[middle[inside, 1], middle[inside, 0]]
    return pixels[inside & (z.mean(1) < reach + HIDDEN_BEHIND_M)]
