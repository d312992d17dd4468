"""Whether an avatar knows how far off it is: shares of the truth that lie within so many of its own standard deviations."""

from __future__ import annotations

import numpy as np

from benchmarks.geometry_captures import Case
from benchmarks.geometry_scores import masks_of, read_mesh
from recon import Avatar
from recon.quality import exposed, geometry_error
from recon.uncertainty import AREAS, vertex_areas
from render import RayScene

MIN_POINTS = 30
"""An area with fewer points of the truth than this is not judged."""
ALONG_NORMAL = 0.7
"""Cosine between the way to the nearest point and the normal there from which it is a distance to a surface: less at the mesh's border,
where the truth only goes on further."""
TOUCHING_M = 2e-5
"""Nearer than this the way has no direction, and none is asked for."""


def shares_within(avatar: Avatar, case: Case, times: float) -> dict[str, float]:
    """Share of the truth's points within `times` standard deviations of the neutral, for the "face" of the truth and by AREAS of the head.

    The head is aligned with the truth first, as its spread is defined: without scale for a rig, else with it. Raises SystemExit for an
    avatar without uncertainty.
    """
    if avatar.uncertainty is None:
        raise SystemExit("the avatar has no uncertainty")
    truth, triangles = read_mesh(case.folder / "gt" / "neutral.ply")
    face = masks_of(case.folder, len(truth))["face"]
    align = "rigid" if case.kind == "rig" else "similarity"
    found = geometry_error(avatar.neutral, avatar.head.triangles, truth, triangles, mask=face, align=align)
    moved = truth @ found.T_fitted_truth[:3, :3].T + found.T_fitted_truth[:3, 3]
    share, area = ratios(avatar, avatar.uncertainty.vertex_sd_mm, moved)
    known = exposed(truth, triangles) & np.isfinite(share)
    inside = share <= times
    out = {"face": round(float(inside[face & known].mean()), 3)}
    for index, name in enumerate(AREAS):
        own = known & (area == index)
        # What no mask calls face may lie as deep as it likes; within the face the mask says what can be seen.
        own &= face if name not in ("ears", "scalp", "neck", "under the chin") else True
        if index and own.sum() >= MIN_POINTS:
            out[name] = round(float(inside[own].mean()), 3)
    return out


def ratios(avatar: Avatar, sd_mm: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) distances of points (N, 3), head frame, to the neutral over the spread there, nan beyond its border; (N,) index into AREAS."""
    triangles = avatar.head.triangles
    nearest = RayScene(avatar.neutral, triangles).closest(points)
    corners = triangles[nearest.triangle_index]
    distance = nearest.distance.astype(np.float64)
    a, b, c = (avatar.neutral[corners[:, k]].astype(np.float64) for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    along = np.abs(np.einsum("nc,nc->n", points - a, normal)) / np.maximum(distance, 1e-12)
    at_border = (along < ALONG_NORMAL) & (distance > TOUCHING_M)
    ratio = 1e3 * distance / np.maximum(sd_mm[corners].mean(1), 1e-9)
    return np.where(at_border, np.nan, ratio), vertex_areas(avatar.head)[corners[:, 0]]
