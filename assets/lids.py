"""Eyelids that close on any identity and stay outside the eyeball.

A blink shape is made for one eye opening. Identities of the default head open their eyes 6 to 11 mm, so the shape alone
leaves up to 2 mm open on some and slides the lids past each other on others; on one in ten the eyeball comes through the lid.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.head_model import PARTS, REGIONS, HeadModel

BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
"""The shapes that close the eyes, the subject's left first."""

COLUMN_M, ROW_M = 0.0005, 0.0001
"""Spacing of the level rays, across and along, by which the rims are found on the average head."""

REACH_M = np.array([0.020, 0.014])
"""Half width and half height around the eyeball's centre within which an eye opens."""

OVERLAP_M = 0.0004
"""How far the upper lid's rim goes below the lower one's when closed, so that no view from below finds a slit."""

CLEARANCE_M = 0.0006
"""Least distance of the lids' skin from the eyeball: what a triangle of 5 mm cuts off a ball of 16 mm, and some skin."""

RIM_M = 0.0002
"""What lies nearer to the ball on the average head is a rim and is not moved out."""

NEARLY = 0.35
"""A blink that leaves this share of the opening is no blink: such a head's lids do not close."""

FAR_M = 0.001
"""Motion of a lid's vertex after which its clearance holds in full."""

SOFTNESS_M = 0.0001
"""Clearance that is missing by less than this is made up only in part, so that the push sets in without a crease."""

NEAR_RAD = 0.1
"""Angle from a point's direction within which the eyeball's radius is averaged, 6 degrees, fading as a bell curve."""

FADE_M = 0.003
"""Width beyond the corners of the eye over which the correction ends."""


@dataclasses.dataclass(frozen=True, eq=False)
class LidRims:
    """Points of one eye's upper and lower lid that face each other across the opening of the average head."""

    across: np.ndarray
    """(N,) float64 metres: x of each pair on the average head, increasing."""
    triangles: np.ndarray
    """(2, N) int64 into HeadModel.triangles: upper, lower."""
    barycentric: np.ndarray
    """(2, N, 3) float64."""

    def points(self, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(2, N, 3) the rims' points, or displacements, of values (V, 3) at the vertices."""
        return np.einsum("lnk,lnkc->lnc", self.barycentric, values[triangles[self.triangles]])


NO_RIMS = LidRims(np.zeros(0), np.zeros((2, 0), np.int64), np.zeros((2, 0, 3)))


def lid_rims(head: HeadModel) -> tuple[LidRims, LidRims]:
    """The rims of the subject's left and right eye; NO_RIMS where there is no eyeball or no blink that nearly closes it."""
    return _rims(head)


def closing_deltas(head: HeadModel, neutral: np.ndarray, shapes: np.ndarray | None = None) -> np.ndarray:
    """(52, V, 3) float32: the head's shapes with both blinks corrected so that the rims meet on this neutral (V, 3).

    What the rims lack to meet is added to the upper lid in proportion to how far the blink moves each of its vertices; it is
    linear in the neutral. Shapes of heads without rims come back as they are. `shapes` (52, V, 3) take the place of the head's.
    """
    given = head.blendshape_deltas if shapes is None else shapes
    deltas = given
    for name, rims in zip(BLINKS, lid_rims(head), strict=True):
        if len(rims.across):
            index = ARKIT_BLENDSHAPES.index(name)
            deltas = deltas.copy() if deltas is given else deltas
            deltas[index] += lid_correction(head.vertices, head.triangles, rims, neutral, deltas[index])
    return deltas


def blink_corrections(head: HeadModel, neutral: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """(V, 3) float32: what `closing_deltas` adds to the shapes at these weights of the left and right blink."""
    total = np.zeros_like(head.vertices)
    for name, rims, weight in zip(BLINKS, lid_rims(head), weights, strict=True):
        if weight and len(rims.across):
            blink = head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]
            total += np.float32(weight) * lid_correction(head.vertices, head.triangles, rims, neutral, blink)
    return total


def lid_correction(average: np.ndarray, triangles: np.ndarray, rims: LidRims, neutral: np.ndarray, blink: np.ndarray) -> np.ndarray:
    """(V, 3) float32 what to add to a blink (V, 3) so that the rims meet in height at weight 1 on a neutral (V, 3).

    Only heights change: the depth of the lids is the shape's own, as the lower rim lies deeper and would pull the upper
    lid into the eyeball.
    """
    upper, lower = rims.points(neutral.astype(np.float64) + blink, triangles)
    lacking = (lower - upper)[:, 1] - OVERLAP_M
    drop = -rims.points(blink, triangles)[0][:, 1]
    at = average[:, 0]
    # Towards the corners, where the rims run together, the lids hardly move: what is lacking there fades with the motion.
    share = np.clip(-blink[:, 1] / np.maximum(np.interp(at, rims.across, drop), 1e-4), 0.0, 1.0)
    beyond = np.maximum(rims.across[0] - at, at - rims.across[-1])
    share *= np.clip(1.0 - beyond / FADE_M, 0.0, 1.0)
    return np.stack([np.zeros(len(at)), share * np.interp(at, rims.across, lacking), np.zeros(len(at))], -1).astype(np.float32)


def lids_outside(head: HeadModel, vertices: np.ndarray, neutral: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
    """(V, 3) float32 posed vertices with the skin of the lids moved out of the eyeballs where it lies in them.

    Along the ball's radius each vertex of the outer lids keeps the distance that it has on the average head, up to
    CLEARANCE_M, once it has moved FAR_M from this person's neutral (V, 3), and in proportion before, so that the neutral itself
    stays as it is. The rims, which dip into the ball by design, are left alone. `scale` is the size of the neutral in sizes of
    the head model, by which these distances are multiplied.
    """
    moved = vertices.astype(np.float32, copy=True)
    for ball, lid, clearance in outer_lids(head):
        centre = vertices[ball].mean(0)
        direction, distance, radius = from_ball(vertices[ball] - centre, vertices[lid] - centre)
        missing = np.maximum(radius + scale * clearance - distance, 0.0)
        share = np.minimum(np.linalg.norm(vertices[lid] - neutral[lid], axis=1) / (scale * FAR_M), 1.0)
        # Without a kink where something begins to be missing: no crease shows there.
        push = share * missing**2 / (missing + scale * SOFTNESS_M)
        moved[lid] += (push[:, None] * direction).astype(np.float32)
    return moved


def from_ball(ball: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (N, 3) and distances (N,) of points from the ball's centre, and the ball's radius (N,) towards them."""
    radii = np.linalg.norm(ball, axis=1)
    distance = np.linalg.norm(points, axis=1)
    direction = points / distance[:, None]
    # Mean radius of the ball's vertices within a few degrees: identities and corneas are not spheres.
    near = np.exp((direction @ (ball / radii[:, None]).T - 1) / NEAR_RAD**2)
    return direction, distance, near @ radii / near.sum(1)


@functools.lru_cache(maxsize=8)
def outer_lids(head: HeadModel) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """For each eyeball its vertices, those of the skin before it that lie outside it, and the clearance (N,) they keep."""
    found = []
    for part in ("eye_left", "eye_right"):
        ball = np.flatnonzero(head.vertex_parts == PARTS.index(part))
        if not len(ball):
            continue
        centre = head.vertices[ball].mean(0)
        face = np.flatnonzero(head.vertex_regions == REGIONS.index("face"))
        _, distance, radius = from_ball(head.vertices[ball] - centre, head.vertices[face] - centre)
        outside = distance - radius
        is_lid = (outside > RIM_M) & (outside < 0.7 * radius) & (head.vertices[face, 2] > centre[2])
        found.append((ball, face[is_lid], np.minimum(outside[is_lid], CLEARANCE_M)))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _rims(head: HeadModel) -> tuple[LidRims, LidRims]:
    left, right = (_closing_rims(head, *eye) for eye in (("eye_left", "eyeBlinkLeft"), ("eye_right", "eyeBlinkRight")))
    return left, right


def _closing_rims(head: HeadModel, part: str, name: str) -> LidRims:
    """An eye's rims, or none where the blink does not nearly close it on the average head: then nothing is to be corrected."""
    rims = find_rims(head.vertices, head.triangles, head.triangle_parts, PARTS.index(part))
    opened = np.ptp(rims.points(head.vertices, head.triangles)[..., 1], axis=0)
    closed = np.ptp(rims.points(head.vertices + head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)], head.triangles)[..., 1], axis=0)
    return rims if closed.sum() < NEARLY * opened.sum() else NO_RIMS


def find_rims(vertices: np.ndarray, triangles: np.ndarray, triangle_parts: np.ndarray, eye_part: int) -> LidRims:
    """The rims by level rays from the front: above and below the longest stretch of eyeball in each column."""
    is_eye = triangle_parts == eye_part
    if not is_eye.any():
        return NO_RIMS
    centre = vertices[triangles[is_eye]].reshape(-1, 3).mean(0).astype(np.float64)
    corners = vertices[triangles].astype(np.float64)
    is_near = (np.abs(corners[..., :2] - centre[:2]) < 1.5 * REACH_M).all(-1).any(1) & (corners[..., 2].max(1) > centre[2])
    near = np.flatnonzero(is_near & np.isin(triangle_parts, [eye_part, PARTS.index("skin")]))
    pairs = []
    for x in np.arange(centre[0] - REACH_M[0], centre[0] + REACH_M[0], COLUMN_M):
        y = np.arange(centre[1] + REACH_M[1], centre[1] - REACH_M[1], -ROW_M)
        hit, barycentric = first_hits(x, y, corners[near])
        above, below = around_longest_run((hit >= 0) & is_eye[near[hit]])
        if above >= 0 and below < len(y) and hit[above] >= 0 and hit[below] >= 0:
            pairs.append((x, near[hit[[above, below]]], barycentric[[above, below]]))
    if len(pairs) < 8:
        return NO_RIMS
    return LidRims(np.array([x for x, _, _ in pairs]), np.stack([t for _, t, _ in pairs], 1), np.stack([b for _, _, b in pairs], 1))


def first_hits(x: float, y: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (R,) of the foremost of the triangles (M, 3, 3) behind each (x, y), -1 where there is none, and barycentrics (R, 3)."""
    spans = np.flatnonzero((corners[..., 0].min(1) <= x) & (corners[..., 0].max(1) > x))
    a, b, c = (corners[spans, k] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    area = np.where(np.abs(area) < 1e-14, np.inf, area)
    rows = y[:, None]
    of_b = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (rows - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
    of_c = ((b[:, 0] - a[:, 0]) * (rows - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / area
    weights = np.stack([1 - of_b - of_c, of_b, of_c], -1)
    depth = np.where((weights >= 0).all(-1), (weights * corners[spans, :, 2]).sum(-1), -np.inf)
    if not len(spans):
        return np.full(len(y), -1), np.zeros((len(y), 3))
    best = depth.argmax(1)
    row = np.arange(len(y))
    return np.where(np.isfinite(depth[row, best]), spans[best], -1), weights[row, best]


def around_longest_run(is_eye: np.ndarray) -> tuple[int, int]:
    """Rows just above and just below the longest run of True; (-1, len) where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_eye.astype(np.int8), [0]])))
    if not len(edges):
        return -1, len(is_eye)
    start, end = edges.reshape(-1, 2)[np.argmax(edges[1::2] - edges[::2])]
    return int(start) - 1, int(end)
