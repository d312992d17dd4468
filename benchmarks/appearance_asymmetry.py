"""Whether the person's crookedness is kept: left minus right of the fit against left minus right of the truth."""

from __future__ import annotations

import numpy as np

from assets.mirror import mirror_pairs
from assets.similarity import fit_similarity
from benchmarks.geometry_captures import Case
from benchmarks.geometry_scores import masks_of, read_mesh
from recon.avatar import Avatar
from recon.quality import exposed, geometry_error
from render import RayScene, vertex_normals

REACH_M = 0.003
"""A fitted surface further than this from the truth along its normal is another sheet of the head (a lid's inside, a nostril's wall)."""


def asymmetry_correlation(avatar: Avatar, case: Case) -> float:
    """Correlation over the truth's mirror pairs of the face.

    With s the truth made symmetric (the mean of it and its mirror image, brought onto it by a similarity), the normal displacement of a
    surface at a vertex is n . (x - s); its left-right difference is taken once with the truth's own points x, once with the points where
    the truth's normals meet the fitted surface.
    """
    vertices, triangles = read_mesh(case.folder / "gt" / "neutral.ply")
    face = masks_of(case.folder, len(vertices))["face"]
    seen = face & exposed(vertices, triangles)
    neutral = avatar.mesh(frame="world").vertices.astype(np.float64)
    aligned = geometry_error(
        neutral, avatar.head.triangles, vertices, triangles, mask=face, align="rigid" if case.kind == "rig" else "similarity"
    )
    truth = vertices @ aligned.T_fitted_truth[:3, :3].T + aligned.T_fitted_truth[:3, 3]
    pairs = mirror_pairs(vertices.astype(np.float32), np.zeros(len(vertices), np.uint8), triangles)
    both = np.flatnonzero(seen & (pairs >= 0) & seen[np.maximum(pairs, 0)])
    flipped = truth[np.maximum(pairs, 0)] * (-1, 1, 1)
    symmetric = 0.5 * (truth + fit_similarity(flipped[both], truth[both]).apply(flipped))
    normals = vertex_normals(truth.astype(np.float32), triangles).astype(np.float64)
    away = _along_normals(truth, normals, neutral, avatar.head.triangles)
    own = np.einsum("vc,vc->v", normals, truth - symmetric)
    fitted = own + away
    left = both[(vertices[both, 0] > vertices[pairs[both], 0]) & np.isfinite(away[both]) & np.isfinite(away[pairs[both]])]
    return float(np.corrcoef(own[left] - own[pairs[left]], fitted[left] - fitted[pairs[left]])[0, 1])


def _along_normals(points: np.ndarray, normals: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(N,) signed distance from points along their normals to a surface, the nearer of both ways; nan beyond REACH_M."""
    scene = RayScene(vertices.astype(np.float32), triangles)
    outwards = scene.cast(points, normals).distance.astype(np.float64)
    inwards = scene.cast(points, -normals).distance.astype(np.float64)
    nearest = np.where(outwards < inwards, outwards, -inwards)
    return np.where(np.abs(nearest) < REACH_M, nearest, np.nan)
