"""Silhouettes: where the mesh turns away from a camera before the background, and where the picture has that edge."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, HeadModel
from recon.solve.chart import CUT_M
from recon.solve.pictures import WorkingPicture
from recon.solve.residuals import Projection
from render import RayScene, vertex_normals
from render.camera import Camera

# A rim point counts where the ray that passes it at this distance meets no other part of the head.
CLEARANCE_M = 0.003
# Parts that nearly end at the rim: points of edges longer than this count as so many points of this spacing, at most MAX_SPAN.
SPACING_M, MAX_SPAN = 0.005, 3.0
# The picture's edge is looked for so far on both sides of the mesh's, ...
REACH_M = 0.016
# ... between a strip so wide inside of the edge and everything that was read outside of it.
STRIP_M = 0.003
# What lies outside of the edge has to be what is seen so much further out: behind the head a wall goes on, hair around a face ends.
BACKGROUND_FROM_M, BACKGROUND_TO_M = 0.045, 0.07
# Grey levels by which a wall's light may change between the two; twice as much counts a seventeenth.
BACKGROUND_LEVELS = 20.0
# Grey levels that sensor noise, JPEG and blur explain; a strip that seems smoother than this is not believed to be.
NOISE_LEVELS = 5.0
# Squared difference of the two sides over their variances: below the first an edge does not count, from the second on fully.
MIN_SEPARATION, CLEAR_SEPARATION = 6.0, 30.0
# So many grey levels the two sides differ at least.
MIN_CONTRAST_LEVELS = 15.0


@dataclasses.dataclass(frozen=True, eq=False)
class Rim:
    """N points of the mesh that a view sees against what lies behind the head."""

    corners: np.ndarray
    """(N, 3) vertex indices; a point lies on the edge between the first two."""
    barycentric: np.ndarray
    """(N, 3) float64."""
    px: np.ndarray
    """(N, 2) working pixels."""
    normal_px: np.ndarray
    """(N, 2) unit normal of the outline, away from the head."""
    px_per_m: np.ndarray
    """(N,) size of a metre on the head there."""
    span: np.ndarray
    """(N,) how much outline a point stands for, about 1."""


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeProfiles:
    """Colours along the outline's normals, T steps of one pixel from inside to outside."""

    offset_px: np.ndarray
    """(T,) distance from the mesh's outline, positive outside."""
    colour: np.ndarray
    """(N, T, 3) float32 sRGB levels."""
    inside: np.ndarray
    """(N, T) bool: the place lies in the picture."""


@dataclasses.dataclass(frozen=True, eq=False)
class PictureEdges:
    """Where the picture has the head's edge on each normal."""

    offset_px: np.ndarray
    """(N,) distance from the mesh's outline along its normal, positive outside; 0 where no edge was found."""
    weight: np.ndarray
    """(N,) in [0, 1]: how clearly two uniform sides meet there; 0 where none do."""
    colour: np.ndarray
    """(N, 3) float32 sRGB levels just inside of the edge."""
    outside: np.ndarray
    """(N, 3) float32 mean sRGB levels from the edge to the end of the profile."""


def rim_points(
    vertices: np.ndarray, normals: np.ndarray, triangles: np.ndarray, allowed: np.ndarray, camera: Camera, scene: RayScene
) -> Rim:
    """Where the interpolated normal of the mesh is perpendicular to the line of sight, with nothing of the head behind.

    Reference: Hertzmann, Introduction to 3D Non-Photorealistic Rendering: Silhouettes and Outlines, 1999 (smooth silhouettes).

    Args:
        vertices, normals: (V, 3) of the posed head; camera and scene in the same frame, the scene with all that hides.
        allowed: (V,) bool: both ends of an edge have to be.
    """
    edges = unique_edges(triangles[allowed[triangles].all(1)])
    sight = camera.position_world - vertices
    facing = (normals * sight).sum(1) / np.maximum(np.linalg.norm(sight, axis=1), 1e-9)
    first, second = facing[edges[:, 0]], facing[edges[:, 1]]
    crossing = (first >= 0) != (second >= 0)
    edges, share = edges[crossing], first[crossing] / (first[crossing] - second[crossing])
    barycentric = np.stack([1 - share, share, np.zeros_like(share)], 1)
    corners = np.concatenate([edges, edges[:, :1]], 1).astype(np.int64)
    points = np.einsum("nk,nkc->nc", barycentric, vertices[corners].astype(np.float64))
    normal = np.einsum("nk,nkc->nc", barycentric, normals[corners].astype(np.float64))
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    free = ~np.isfinite(scene.cast(camera.position_world, points + CLEARANCE_M * normal - camera.position_world).distance)
    corners, barycentric, points, normal = corners[free], barycentric[free], points[free], normal[free]
    px, _ = camera.project(points)
    step, _ = camera.project(points + 1e-4 * normal)
    size = np.linalg.norm(step - px, axis=1)
    length = np.linalg.norm(vertices[corners[:, 0]] - vertices[corners[:, 1]], axis=1)
    return Rim(
        corners, barycentric, px, (step - px) / np.maximum(size, 1e-9)[:, None], size / 1e-4, np.clip(length / SPACING_M, 0.2, MAX_SPAN)
    )


def unique_edges(triangles: np.ndarray) -> np.ndarray:
    """(E, 2) vertex indices of the edges of triangles (T, 3), smaller index first, each once."""
    sides = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    return np.unique(sides[sides[:, 0] != sides[:, 1]], axis=0)


def read_profiles(colour: np.ndarray, rim: Rim, first_px: int, last_px: int) -> EdgeProfiles:
    """Read a picture (H, W, 3) along the normals of a rim, from and to so many pixels outside of it."""
    offset = np.arange(first_px, last_px + 1, dtype=np.float64)
    px = rim.px[:, None] + offset[:, None] * rim.normal_px[:, None]
    height, width = colour.shape[:2]
    inside = ((px >= 0.5) & (px <= [width - 0.5, height - 0.5])).all(2)
    # cv2 counts pixel centres at 0, we at +0.5.
    read = cv2.remap(colour, (px[..., 0] - 0.5).astype(np.float32), (px[..., 1] - 0.5).astype(np.float32), cv2.INTER_LINEAR)
    return EdgeProfiles(offset, read.astype(np.float32), inside)


def find_edges(profiles: EdgeProfiles, strip_px: int) -> PictureEdges:
    """The edge between a strip of head and uniform background on each profile.

    For every place the colours of the strip inside are set against all those read further out: the squared difference of their means
    over the sum of their variances (Fisher's ratio). Short of the edge the outer side is mixed, beyond it the inner one is, so the ratio
    is largest at the edge; where the background is cluttered it is small everywhere. The edge itself is where the colour has gone half
    of the way from one mean to the other.
    """
    colour, count = profiles.colour.astype(np.float64), len(profiles.offset_px)
    sums = np.concatenate([np.zeros_like(colour[:, :1]), np.cumsum(colour, 1)], 1)
    squares = np.concatenate([np.zeros((len(colour), 1)), np.cumsum((colour**2).sum(2), 1)], 1)
    # The pixel of the edge itself is mixed, so it belongs to neither side.
    at = np.arange(strip_px, count - strip_px - 1)
    inner = _mean_and_variance(sums[:, at] - sums[:, at - strip_px], squares[:, at] - squares[:, at - strip_px], np.full(len(at), strip_px))
    outer = _mean_and_variance(sums[:, -1:] - sums[:, at + 1], squares[:, -1:] - squares[:, at + 1], count - at - 1)
    difference = ((inner[0] - outer[0]) ** 2).sum(2)
    ratio = difference / (inner[1] + outer[1] + 2 * NOISE_LEVELS**2)
    best = ratio.argmax(1)
    rows = np.arange(len(colour))
    separation, contrast = ratio[rows, best], np.sqrt(difference[rows, best])
    low, high = inner[0][rows, best], outer[0][rows, best]
    index = _half_way(colour, low, high, at[best], strip_px)
    # At the ends of the profile one side is hardly there.
    known = profiles.inside.all(1) & (separation > MIN_SEPARATION) & (contrast > MIN_CONTRAST_LEVELS) & (best > 0) & (best < len(at) - 1)
    weight = known * np.clip(separation / CLEAR_SEPARATION, 0.0, 1.0)
    return PictureEdges(np.where(known, profiles.offset_px[0] + index, 0.0), weight, low.astype(np.float32), high.astype(np.float32))


def before_background(edges: PictureEdges, far: EdgeProfiles) -> PictureEdges:
    """The edges, weighed by whether what lies outside of them is also what is seen far out.

    Dark hair beside a face is as uniform as a wall, so an edge towards it looks as clear as the head's outline. Where the place far
    out is beyond the picture, the background of the outline's other points stands in; where all are, no edge counts.
    """
    known = far.inside.mean(1) > 0.5
    if not known.any():
        return dataclasses.replace(edges, weight=np.zeros_like(edges.weight))
    count = np.maximum(far.inside.sum(1), 1)[:, None]
    shown = far.colour * far.inside[..., None]
    mean = shown.sum(1) / count
    variance = np.maximum(((shown**2).sum(1) / count - mean**2).sum(1), 0.0)
    common = np.median(mean[known], axis=0)
    spread = float(np.median(((mean[known] - common) ** 2).sum(1)))
    mean, variance = np.where(known[:, None], mean, common), np.where(known, variance, spread)
    difference = ((edges.outside - mean) ** 2).sum(1)
    agree = 1.0 / (1.0 + (difference / (variance + BACKGROUND_LEVELS**2)) ** 2)
    return dataclasses.replace(edges, weight=edges.weight * np.where(agree > 0.05, agree, 0.0))


def _mean_and_variance(total: np.ndarray, squared: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, A, 3) means and (N, A) variances summed over channels, from sums (N, A, 3), sums of squares (N, A) and counts (A,)."""
    mean = total / count[:, None]
    return mean, np.maximum(squared / count - (mean**2).sum(2), 0.0)


def _half_way(colour: np.ndarray, low: np.ndarray, high: np.ndarray, near: np.ndarray, reach: int) -> np.ndarray:
    """(N,) fractional index, within `reach` of `near`, where colours (N, T, 3) pass the middle between low and high (N, 3)."""
    axis = high - low
    along = ((colour - low[:, None]) * axis[:, None]).sum(2) / np.maximum((axis**2).sum(1), 1e-9)[:, None]
    index = np.clip(near[:, None] + np.arange(-reach, reach + 1), 0, colour.shape[1] - 1)
    part = np.take_along_axis(along, index, 1)
    rising = (part[:, :-1] < 0.5) & (part[:, 1:] >= 0.5)
    distance = np.where(rising, np.abs(index[:, :-1] - near[:, None]), 1000)
    chosen = distance.argmin(1)
    rows = np.arange(len(colour))
    below, above = part[rows, chosen], part[rows, chosen + 1]
    found = rising[rows, chosen]
    return np.where(found, index[rows, chosen] + (0.5 - below) / np.where(found, above - below, 1.0), near.astype(np.float64))


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """What one view says about the head's outline."""

    view: int
    rim: Rim
    edges: PictureEdges

    @property
    def edge_px(self) -> np.ndarray:
        """(N, 2) where the picture has the edge; the rim itself where it has none."""
        return self.rim.px + self.edges.offset_px[:, None] * self.rim.normal_px


def find_outline(head: HeadModel, vertices: np.ndarray, camera: Camera, picture: WorkingPicture, view: int) -> Outline | None:
    """The outline of the posed head (V, 3) in a picture and the picture's edges near it; None where there are none or no colours.

    The camera has the vertices' frame as its world. The lowest part of the neck is no outline.
    """
    if picture.colour is None:
        return None
    triangles = drawn_triangles(head)
    allowed = (head.vertex_parts == PARTS.index("skin")) & (head.vertices[:, 1] > head.vertices[:, 1].min() + CUT_M)
    normals = vertex_normals(vertices, triangles)
    rim = rim_points(vertices, normals, triangles, allowed, camera, RayScene(vertices, triangles))
    if len(rim.px) == 0:
        return None
    px_per_m = float(np.median(rim.px_per_m))
    reach_px, strip_px = max(int(np.ceil(REACH_M * px_per_m)), 6), max(round(STRIP_M * px_per_m), 2)
    edges = find_edges(read_profiles(picture.colour, rim, -reach_px, reach_px), strip_px)
    far = read_profiles(picture.colour, rim, int(BACKGROUND_FROM_M * px_per_m), int(np.ceil(BACKGROUND_TO_M * px_per_m)))
    edges = before_background(edges, far)
    return Outline(view, rim, edges) if (edges.weight > 0).any() else None


@dataclasses.dataclass(frozen=True, eq=False)
class OutlineRows:
    """One residual a rim point: how far the picture's edge lies beyond the mesh's outline."""

    residual: np.ndarray
    """(N,) px along the outline's normal, observed minus predicted."""
    d_point: np.ndarray
    """(N, 3) by the surface point in the head frame, px/m."""


def outline_rows(projection: Projection, edge_px: np.ndarray, normal_px: np.ndarray) -> OutlineRows:
    """Residuals of projected rim points against the picture's edge, with their derivative.

    Only the part along the normal counts: the rim may slide along the outline, and which skin makes the rim changes nothing to
    first order, since the line of sight lies in the skin's tangent plane there.

    Args:
        edge_px, normal_px: (N, 2) where the picture has its edge, and the unit normal of the outline.
    """
    residual = (normal_px * (edge_px - projection.px)).sum(1)
    return OutlineRows(residual, np.einsum("nk,nkp->np", normal_px, projection.d_point))
