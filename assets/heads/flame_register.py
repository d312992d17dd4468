"""Laying one head's surface onto another's, so that what is known of the one can be read off for the other.

Named points that geometry finds on both (`marks`) give a similarity and then a smooth warp; after that the surface is drawn
to its nearest points in steps of falling stiffness (non-rigid closest points; Amberg et al. 2007), with a membrane (graph
Laplacian of the displacement) for stiffness.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from assets.heads.flame_parts import mouth_rim
from assets.heads.flame_surface import FrontView, Nearest, front_view, nearest_points, vertex_normals
from assets.laplacian import uniform_laplacian
from assets.similarity import fit_similarity

STIFFNESS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Weight of the membrane against the pull of the nearest points, step by step. Ending ten times softer brings the surfaces from
0.15 to 0.06 mm together, but lets points slide along them: between two people of one topology, whose true correspondence is
known, the face is 0.7 mm off in the middle (90 %: 2.1 mm) and the mouth 0.5 mm."""

MARK_PULL = 3.0
"""Weight of a mark against that of one vertex's nearest point."""

REACH_M = 0.015
"""Nearest points farther off than this do not pull."""

_STEP_M = 0.0004
_SHARES = (0.12, 0.28, 0.5, 0.72, 0.88)


@dataclasses.dataclass(frozen=True, eq=False)
class Skin:
    """One head's skin with what marks are found by, in metres about the eyes' midpoint, +Y up, face +Z."""

    vertices: np.ndarray
    """(V, 3) float64, all of the head's."""
    triangles: np.ndarray
    """(F, 3), of the skin without the mouth's inside."""
    ball_triangles: np.ndarray
    """(2, B, 3), of the left and the right eyeball."""


@dataclasses.dataclass(frozen=True, eq=False)
class Registration:
    """A source skin laid onto a target skin."""

    moved: np.ndarray
    """(V, 3) float64: the source's vertices on the target."""
    similarity: np.ndarray
    """(3, 3) float64: scale times rotation that takes the source's directions to the target's."""
    nearest: Nearest
    """For each of the target's vertices the nearest point of the moved source, by its own triangles (`Skin.triangles`)."""
    marks: tuple[str, ...]
    """Names of the marks that were found on both."""
    mean_gap_mm: float
    """Mean distance of the moved source's vertices from the target, of those that found it."""


def register(source: Skin, target: Skin) -> Registration:
    """Lays the source's skin onto the target's; deterministic, about two seconds for 4,000 vertices."""
    source_marks, target_marks = marks(source), marks(target)
    names = tuple(name for name in source_marks if name in target_marks)
    a, b = (np.stack([found[name] for name in names]) for found in (source_marks, target_marks))
    similarity = fit_similarity(a, b)
    moved, placed = similarity.apply(source.vertices), similarity.apply(a)
    warp = RBFInterpolator(placed, b - placed, kernel="linear", degree=0, smoothing=1e-4)
    skin = np.unique(source.triangles)
    moved[skin] += warp(moved[skin])
    moved, gap = _draw(moved, source, placed + warp(placed), b, target)
    normals = vertex_normals(target.vertices, target.triangles)
    nearest = nearest_points(target.vertices, normals, moved, source.triangles)
    return Registration(moved, similarity.scale * similarity.R, nearest, names, gap * 1000)


def _draw(moved: np.ndarray, source: Skin, from_marks: np.ndarray, to_marks: np.ndarray, target: Skin) -> tuple[np.ndarray, float]:
    """The source's skin drawn to the target in the steps of STIFFNESS, and its mean gap at the end."""
    skin, compact = np.unique(source.triangles, return_inverse=True)
    triangles = compact.reshape(-1, 3)
    start = moved[skin]
    laplacian = uniform_laplacian(triangles, len(skin))
    hold = nearest_points(from_marks, np.zeros_like(from_marks), start, triangles)
    rows = np.repeat(np.arange(len(from_marks)), 3)
    anchors = csr_matrix((hold.barycentric.ravel(), (rows, triangles[hold.triangle].ravel())), (len(from_marks), len(skin)))
    here, gap = start, np.inf
    for stiffness in STIFFNESS:
        found = nearest_points(here, vertex_normals(here, triangles), target.vertices, target.triangles)
        pull = (found.agrees & (found.distance < REACH_M)).astype(float)
        matrix = stiffness * (laplacian.T @ laplacian) + diags(pull) + MARK_PULL * (anchors.T @ anchors)
        right = pull[:, None] * (found.points - start) + MARK_PULL * (anchors.T @ (to_marks - anchors @ start))
        here = start + splu(matrix.tocsc()).solve(right)
        gap = float((found.distance * pull).sum() / max(pull.sum(), 1))
    result = moved.copy()
    result[skin] = here
    return result, gap


def marks(skin: Skin) -> dict[str, np.ndarray]:
    """Named points (3,) of a head: both eye openings, lips where the mouth is open behind them, nose, chin, eye centres.

    The eye openings are seen from the front as where an eyeball is before the skin; their outlines are given at fixed shares
    of their width. The lips' line is where, from the front, what hangs on the upper half of the mouth's rim meets the rest.
    """
    found = {}
    for side, ball in zip(("left", "right"), skin.ball_triangles, strict=True):
        found[f"eye_{side}"] = skin.vertices[np.unique(ball)].mean(0)
        found.update(_opening_marks(skin, ball, side))
    profile = _view(skin, (-0.004, 0.004, -0.14, 0.05))
    found.update(_mouth_marks(skin))
    lips_y = found["lip_2"][1] if "lip_2" in found else -0.068
    found.update(_profile_marks(profile, lips_y))
    return found


def _view(skin: Skin, box: tuple[float, ...], triangles: np.ndarray | None = None, labels: np.ndarray | None = None) -> FrontView:
    triangles = skin.triangles if triangles is None else triangles
    return front_view(skin.vertices, triangles, np.zeros(len(triangles), int) if labels is None else labels, box, _STEP_M)


def eye_opening(skin: Skin, ball: np.ndarray) -> tuple[FrontView, tuple[float, ...]]:
    """A view from the front round an eyeball of triangles (B, 3), label 1 where the ball is before the skin, and its box."""
    centre = skin.vertices[np.unique(ball)].mean(0)
    box = (centre[0] - 0.025, centre[0] + 0.025, centre[1] - 0.02, centre[1] + 0.02)
    labels = np.concatenate([np.zeros(len(skin.triangles), int), np.ones(len(ball), int)])
    return _view(skin, box, np.concatenate([skin.triangles, ball]), labels), box


def _opening_marks(skin: Skin, ball: np.ndarray, side: str) -> Mapping[str, np.ndarray]:
    view, box = eye_opening(skin, ball)
    # The ball may show elsewhere through a head whose lids do not cover it: only what lies round its middle is the opening.
    islands = np.zeros(view.label.shape, np.int32)
    ndimage.label(view.label == 1, output=islands)
    at = islands[len(view.y) // 2, len(view.x) // 2]
    open_cells = islands == at if at else np.zeros(islands.shape, bool)
    columns = np.flatnonzero(open_cells.any(0))
    if len(columns) < 10:
        return {}
    lid = _view(skin, box)
    points = {}
    for index, share in enumerate((0.0, *_SHARES, 1.0)):
        # Shares run from the nose outwards, so that the names mean the same on both sides.
        share = share if side == "left" else 1 - share
        column = columns[round(share * (len(columns) - 1))]
        rows = np.flatnonzero(open_cells[:, column])
        for name, row in (("lower", rows[0] - 1), ("upper", rows[-1] + 1)):
            points[f"lid_{name}_{index}_{side}"] = np.array([view.x[column], view.y[row], _depth_near(lid, row, column)])
    return points


def _depth_near(view: FrontView, row: int, column: int) -> float:
    """Median depth of the cells round one, which may be empty itself."""
    patch = view.depth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return float(np.median(patch[np.isfinite(patch)])) if np.isfinite(patch).any() else 0.0


def _mouth_marks(skin: Skin) -> Mapping[str, np.ndarray]:
    rim = mouth_rim(skin.vertices, skin.triangles)
    if rim is None:
        return {}
    points = skin.vertices[rim]
    left, right = points[np.argmax(points[:, 0])], points[np.argmin(points[:, 0])]
    middle = np.interp(points[:, 0], (right[0], left[0]), (right[1], left[1]))
    found = {"mouth_left": left, "mouth_right": right}
    for name, arc in (("upper", points[points[:, 1] > middle + 1e-5]), ("lower", points[points[:, 1] < middle - 1e-5])):
        order = np.argsort(arc[:, 0])
        for index, share in enumerate(_SHARES):
            at = right[0] + share * (left[0] - right[0])
            found[f"rim_{name}_{index}"] = np.array([at, *(np.interp(at, arc[order, 0], arc[order, k]) for k in (1, 2))])
    found.update(_lip_line(skin, found))
    return found


def _lip_line(skin: Skin, rim: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The line between the lips as seen from the front: the deepest place of each column near the rim's height."""
    left, right = rim["mouth_left"], rim["mouth_right"]
    found = {}
    view = _view(skin, (right[0], left[0], min(left[1], right[1]) - 0.012, max(left[1], right[1]) + 0.012))
    for index, share in enumerate(_SHARES):
        column = round(share * (len(view.x) - 1))
        depth = view.depth[:, max(column - 1, 0) : column + 2].max(1)
        near = (rim[f"rim_upper_{index}"][1] + rim[f"rim_lower_{index}"][1]) / 2
        within = np.abs(view.y - near) < 0.006
        row = int(np.argmin(np.where(within, depth, np.inf)))
        beside = depth[max(row - 2, 0) : row + 3]
        found[f"lip_{index}"] = np.array([view.x[column], view.y[row], beside[np.isfinite(beside)].max(initial=near * 0)])
    return found


def _profile_marks(profile: FrontView, lips_y: float) -> Mapping[str, np.ndarray]:
    """Extremes of the profile at the middle: bridge and tip of the nose, the foot of the nose, the chin and the fold above it."""
    z = profile.depth.max(1)
    places = (
        ("bridge", -0.012, 0.03, -1),
        ("nose_tip", lips_y + 0.012, -0.012, 1),
        ("chin_fold", lips_y - 0.022, lips_y - 0.008, -1),
        ("chin", lips_y - 0.045, lips_y - 0.016, 1),
    )
    found = {}
    for name, low, high, sign in places:
        span = (profile.y > low) & (profile.y < high) & np.isfinite(z)
        if span.any():
            row = int(np.argmax(np.where(span, sign * z, -np.inf)))
            found[name] = np.array([0.0, profile.y[row], z[row]])
    return found
