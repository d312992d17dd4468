"""How good a fit is: geometry in millimetres against a ground truth, residuals by view, distance between identities.

Scan-to-mesh distance as in the NoW benchmark (Sanyal et al., "Learning to Regress 3D Face Shape and Expression from an Image
without 3D Supervision", CVPR 2019): every ground-truth vertex to the nearest point of the fitted surface.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from assets.errors import RangeError, ShapeError
from assets.head_model import REGIONS
from assets.similarity import Similarity, fit_similarity
from recon.avatar import Avatar
from render.mesh import vertex_normals
from render.rasterize.embree import RayScene

Alignment = Literal["none", "rigid", "similarity", "correspondence"]
KEEP = 0.85
"""Share of the nearest points that an alignment step trusts: the farthest (hair, neck, ears) are left out."""


@dataclasses.dataclass(frozen=True)
class GeometryError:
    """Distances of exposed ground-truth vertices to the fitted surface."""

    median_mm: float
    mean_mm: float
    p95_mm: float
    wrong_side_share: float
    """Share of nearest points whose normal is more than 60 degrees off: other sheets that flatter the distance."""
    num_vertices: int
    """Ground-truth vertices measured."""
    alignment: Alignment
    scale: float
    """Fitted size over true size, as the alignment found it; 1 where it was not asked to. Distances are in true millimetres."""
    T_fitted_truth: np.ndarray
    """(4, 4) similarity that was applied to the ground truth."""


_NOTHING = Similarity(1.0, np.eye(3), np.zeros(3))


def geometry_error(
    vertices: np.ndarray,
    triangles: np.ndarray,
    truth_vertices: np.ndarray,
    truth_triangles: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    align: Alignment = "similarity",
    align_mask: np.ndarray | None = None,
) -> GeometryError:
    """Distance of a ground truth from a fitted mesh, both in metres, roughly upright (+Y) and facing +Z.

    Args:
        vertices, triangles: (V, 3), (F, 3) the fitted mesh.
        truth_vertices, truth_triangles: (W, 3), (G, 3) the ground truth.
        mask: (W,) bool, which ground-truth vertices to measure (a region); None: all. Vertices that cannot be seen from
            outside (inner lips, nostrils, eye sockets) are left out in any case.
        align: "none": both share a frame. "rigid", "similarity": found by trimmed point-to-plane ICP from many starts.
            "correspondence": both have the same topology; least squares over matching vertices, with scale (Umeyama 1991).
        align_mask: (W,) bool, ground-truth vertices that the alignment looks at; None: mask.

    Raises ShapeError where the arrays do not fit together, RangeError for values that are not finite or an empty mask.
    """
    vertices, truth = _points(vertices, "vertices"), _points(truth_vertices, "truth_vertices")
    mask = np.ones(len(truth), bool) if mask is None else _mask(mask, len(truth), "mask")
    align_mask = mask if align_mask is None else _mask(align_mask, len(truth), "align_mask")
    if align == "correspondence" and len(vertices) != len(truth):
        got = f"{len(vertices)} and {len(truth)} vertices"
        raise ShapeError(expected="two meshes of one topology", got=got, do='align by "similarity" instead')
    scene = RayScene(vertices, triangles)
    if align == "none":
        found = _NOTHING
    elif align == "correspondence":
        found = fit_similarity(truth[align_mask], vertices[align_mask])
    else:
        found = _best_alignment(truth, align_mask, scene, vertices, triangles, align == "similarity")
    kept = np.flatnonzero(mask & exposed(truth, truth_triangles))
    if not len(kept):
        raise RangeError(expected="exposed vertices in the mask", got="none", do="give the mask of a region on the outside")
    nearest = scene.closest(found.apply(truth[kept]))
    normals = vertex_normals(truth, truth_triangles)[kept] @ found.R.T
    agree = np.einsum("nc,nc->n", normals, _face_normals(vertices, triangles)[nearest.triangle_index])
    mm = 1000 * nearest.distance.astype(np.float64) / found.scale
    return GeometryError(
        median_mm=float(np.median(mm)),
        mean_mm=float(mm.mean()),
        p95_mm=float(np.quantile(mm, 0.95)),
        wrong_side_share=float((agree < 0.5).mean()),
        num_vertices=len(kept),
        alignment=align,
        scale=found.scale,
        T_fitted_truth=found.matrix(),
    )


def exposed(vertices: np.ndarray, triangles: np.ndarray, *, directions: int = 96) -> np.ndarray:
    """(V,) bool: the vertex can be seen from outside, from at least one of many directions spread over the sphere."""
    index = np.arange(directions) + 0.5
    polar, turn = np.arccos(1 - 2 * index / directions), np.pi * (1 + 5**0.5) * index
    sphere = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1)
    scene, seen = RayScene(vertices, triangles), np.zeros(len(vertices), bool)
    for direction in sphere:
        hidden = np.flatnonzero(~seen)
        if not len(hidden):
            break
        # Half a millimetre off the surface, so that a ray does not hit the triangles that it starts from.
        hits = scene.cast(vertices[hidden] + 5e-4 * direction, np.broadcast_to(direction, (len(hidden), 3)))
        seen[hidden] = ~np.isfinite(hits.distance)
    return seen


def _best_alignment(
    truth: np.ndarray, mask: np.ndarray, scene: RayScene, vertices: np.ndarray, triangles: np.ndarray, with_scale: bool
) -> Similarity:
    """Trimmed ICP of the masked truth from coarse starts on few points, then of the best five on many."""
    normals = _face_normals(vertices, triangles)
    face = truth[mask]
    many = face[:: max(1, len(face) // 2500)]
    few = face[:: max(1, len(face) // 300)]
    coarse = [_icp(few, scene, normals, start, with_scale, rounds=20) for start in _starts(face, truth, vertices, with_scale)]
    best = sorted(coarse, key=lambda found: found[1])[:5]
    return min((_icp(many, scene, normals, start, with_scale, rounds=60) for start, _ in best), key=lambda found: found[1])[0]


def _starts(face: np.ndarray, truth: np.ndarray, vertices: np.ndarray, with_scale: bool) -> list[Similarity]:
    """As they are; and nose tip on nose tip, with shifts up and down, tilts, and sizes from the meshes' heights."""
    ratio = np.ptp(vertices[:, 1]) / np.ptp(truth[:, 1])
    scales = [1.0, *(ratio * k for k in (0.7, 0.85, 1.0, 1.2, 1.5))] if with_scale else [1.0]
    tips = {tuple(np.round(_nose_tip(vertices, share), 3)) for share in (0.4, 0.55, 0.7, 1.0)}
    tilts = [Rotation.from_euler("x", angle, degrees=True).as_matrix() for angle in (-15, 0, 15)]
    nose = _nose_tip(face, 1.0)
    shifts = [np.array([0, dy * np.ptp(vertices[:, 1]), 0]) for dy in (-0.06, -0.02, 0.02, 0.06)]
    placed = [Similarity(k, R, np.array(tip) + shift - k * R @ nose) for k in scales for tip in tips for shift in shifts for R in tilts]
    return [_NOTHING, *placed]


def _nose_tip(vertices: np.ndarray, below_crown: float) -> np.ndarray:
    """Foremost vertex near the middle, no deeper below the crown than a share of the height: a bust's chest may lie further forward."""
    upper = vertices[vertices[:, 1] >= vertices[:, 1].max() - below_crown * np.ptp(vertices[:, 1])]
    middle = 0.5 * (upper[:, 0].min() + upper[:, 0].max())
    central = upper[np.abs(upper[:, 0] - middle) <= 0.2 * np.ptp(upper[:, 0])]
    central = central if len(central) else upper
    return central[np.argmax(central[:, 2])]


def _icp(
    points: np.ndarray, scene: RayScene, normals: np.ndarray, start: Similarity, with_scale: bool, *, rounds: int
) -> tuple[Similarity, float]:
    """Trimmed point-to-plane ICP (Chen & Medioni 1991; Chetverikov et al. 2002), and its residual: the trimmed mean, true metres."""
    now = start
    for _ in range(rounds):
        moved = now.apply(points)
        nearest = scene.closest(moved)
        good = nearest.distance <= np.quantile(nearest.distance, KEEP)
        step = _step(moved[good], nearest.position[good], normals[nearest.triangle_index[good]], with_scale)
        now = Similarity(step.scale * now.scale, step.R @ now.R, step.apply(now.t))
        if np.linalg.norm(step.apply(moved) - moved, axis=1).max() < 1e-7:
            break
    distance = np.sort(scene.closest(now.apply(points)).distance)
    residual = float(distance[: max(1, int(KEEP * len(distance)))].mean() / now.scale)
    return now, residual


def _step(points: np.ndarray, targets: np.ndarray, normals: np.ndarray, with_scale: bool) -> Similarity:
    """The small similarity that best moves points onto the tangent planes: Gauss-Newton on rotation, shift and size."""
    centre = points.mean(0)
    local = points - centre
    columns = [np.cross(local, normals), normals, (local * normals).sum(1, keepdims=True)]
    jacobian = np.hstack(columns if with_scale else columns[:2])
    residual = ((targets - points) * normals).sum(1)
    solution = np.linalg.solve(jacobian.T @ jacobian + 1e-9 * np.eye(jacobian.shape[1]), jacobian.T @ residual)
    scale = float(np.clip(1 + solution[6], 0.9, 1.1)) if with_scale else 1.0
    R = Rotation.from_rotvec(solution[:3]).as_matrix()
    return Similarity(scale, R, centre + solution[3:6] - scale * R @ centre)


def _face_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def _points(points: np.ndarray, name: str) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(expected=f"{name} of shape (N, 3)", got=f"shape {points.shape}", do="give one row a vertex")
    if not np.isfinite(points).all():
        raise RangeError(expected=f"finite {name}", got="nan or inf", do="check the fit that the mesh came from")
    return points


def _mask(mask: np.ndarray, length: int, name: str) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.shape != (length,) or mask.dtype != bool:
        raise ShapeError(expected=f"{name} of {length} bools", got=f"shape {mask.shape}, dtype {mask.dtype}", do="one bool a truth vertex")
    if not mask.any():
        raise RangeError(expected=f"some vertices in {name}", got="none", do="choose a region that the ground truth has")
    return mask


@dataclasses.dataclass(frozen=True)
class ViewSummary:
    """How well the views of an avatar are explained by it."""

    num_views: int
    num_registered: int
    by_status: Mapping[str, int]
    """Number of views by status."""
    median_residual_px: float
    """Median over the registered views of their landmark residuals; nan where none has one."""
    worst_view: str
    """Name of the registered view with the largest residual; empty where none has one."""
    worst_residual_px: float
    yaw_range_deg: tuple[float, float]
    """Smallest and largest yaw registered; nan, nan where none is."""


def summarise_views(avatar: Avatar) -> ViewSummary:
    """Counts, residuals and coverage over the avatar's views; views that were not registered are counted apart."""
    registered = [view for view in avatar.views if view.camera is not None and view.T_world_head is not None]
    measured = sorted((view for view in registered if np.isfinite(view.residual_px)), key=lambda view: view.residual_px)
    yaws = [view.yaw_deg for view in registered if np.isfinite(view.yaw_deg)] or [np.nan]
    return ViewSummary(
        num_views=len(avatar.views),
        num_registered=len(registered),
        by_status=dict(Counter(view.status for view in avatar.views)),
        median_residual_px=float(np.median([view.residual_px for view in measured])) if measured else float("nan"),
        worst_view=measured[-1].name if measured else "",
        worst_residual_px=measured[-1].residual_px if measured else float("nan"),
        yaw_range_deg=(float(min(yaws)), float(max(yaws))),
    )


def identity_distance_mm(a: Avatar, b: Avatar) -> float:
    """Root mean square distance in mm between two avatars' neutral faces, vertex by vertex after a similarity.

    Over the face region of one head model. Two relative scales say nothing about size, so size is aligned away and distances
    are in the first avatar's millimetres. Raises ShapeError where the avatars have different head topologies.
    """
    if a.head.topology_hash != b.head.topology_hash:
        got = f"{a.head.name} ({a.head.topology_hash}) and {b.head.name} ({b.head.topology_hash})"
        raise ShapeError(expected="two avatars on one head topology", got=got, do="fit both with the same head model")
    face = a.head.vertex_regions == REGIONS.index("face")
    first, second = a.neutral[face].astype(np.float64), b.neutral[face].astype(np.float64)
    moved = fit_similarity(second, first).apply(second)
    return float(1000 * np.sqrt(((moved - first) ** 2).sum(1).mean()))
