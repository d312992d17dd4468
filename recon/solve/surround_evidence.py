"""What matches and outlines say about scalp and neck, each believed as far as it is this person's head and not hair, beard or cloth."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.head_model import REGIONS
from recon.solve.outlines import skin_at
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import project
from recon.solve.silhouette import MAX_SPAN, Outline, outline_rows
from recon.solve.stages import SurroundStage
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows, match_surface_rows
from recon.solve.unlike_skin import MAX_DISTANCE_OUTSIDE, SkinMap, skin_likeness
from render import vertex_normals

HAIR_CUT = 1.5
"""From this many times SurroundStage.hair_m outside of the skull on, what is not skin counts for nothing."""


def match_evidence(problem: Problem, state: HeadState, matches: list[Matches], skin: SkinMap, stage: SurroundStage) -> SurfaceRows | None:
    """Matches around the face: less where they are no skin, or on the neck between two instants; None where there are none."""
    if not matches:
        return None
    rows = match_surface_rows(problem, state, matches, noise_px=stage.match_noise_px, robust_px=stage.match_robust_px)
    moves = np.concatenate([np.full(len(m.px_a), problem.views[m.view_a].instant != problem.views[m.view_b].instant) for m in matches])
    neck = (problem.deformable.head.vertex_regions == REGIONS.index("neck")).astype(float)
    likeness = skin_at(skin, rows.corners, rows.barycentric)
    trust = thin_or_skin(problem, state, rows, likeness, stage.hair_m)
    # Below a jaw whose beard lies outside of the face, what is no skin is beard too.
    trust *= beardless(skin, rows.corners, rows.barycentric)
    bends = moves * (neck[rows.corners] * rows.barycentric).sum(1)
    return dataclasses.replace(rows, weight=rows.weight * trust * (1.0 - (1.0 - stage.neck_trust) * bends))


def outline_evidence(
    problem: Problem, state: HeadState, outlines: list[Outline], skin: SkinMap, stage: SurroundStage
) -> SurfaceRows | None:
    """Outlines of all views (R = 1, px): less where the colour inside of the edge is not this person's skin; None without any."""
    parts, posed = [], problem.posed(state)
    for outline in outlines:
        known = np.flatnonzero(outline.edges.weight > 0)
        rim, view = outline.rim, problem.views[outline.view]
        corners, barycentric = rim.corners[known], rim.barycentric[known]
        points = np.einsum("nk,nkc->nc", barycentric, posed[outline.view][corners].astype(np.float64))
        rows = outline_rows(project(points, state, view), outline.edge_px[known], rim.normal_px[known])
        colour = skin.views.get(outline.view)
        likeness = (
            np.zeros(len(known)) if colour is None else skin_likeness(colour.distance(outline.edges.colour[known]), MAX_DISTANCE_OUTSIDE)
        )
        likeness = likeness * skin_at(skin, corners, barycentric)
        weight = outline.edges.weight[known] * rim.span[known] / MAX_SPAN
        parts.append((corners, barycentric, rows.d_point[:, None], rows.residual[:, None], weight, likeness))
    if not parts:
        return None
    corners, barycentric, d_point, residual, weight, likeness = (np.concatenate(column) for column in zip(*parts, strict=True))
    noise = stage.outline_noise_px / np.sqrt(MAX_SPAN)
    rows = SurfaceRows(corners, barycentric, d_point, residual, weight, noise=noise, robust=stage.outline_robust_px)
    trust = thin_or_skin(problem, state, rows, likeness, stage.hair_m) * beardless(skin, corners, barycentric)
    return dataclasses.replace(rows, weight=weight * trust)


def thin_or_skin(problem: Problem, state: HeadState, rows: SurfaceRows, likeness: np.ndarray, hair_m: float) -> np.ndarray:
    """(N,) in [0, 1]: `head_or_hair` of rows along the surface's normal, from the head model without what the surround has moved."""
    triangles = problem.deformable.head.triangles
    normals = vertex_normals(problem.neutral(state), triangles)
    normal = np.einsum("nk,nkc->nc", rows.barycentric, normals[rows.corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    along = np.einsum("nrc,nc->nr", rows.d_point, normal)
    outside = (along * rows.residual).sum(1) / np.maximum((along**2).sum(1), 1e-9)
    surround = problem.deformable.surround
    if surround is not None:
        outside += (np.einsum("nk,nkc->nc", rows.barycentric, surround[rows.corners]) * normal).sum(1)
    return head_or_hair(outside, likeness, hair_m)


def head_or_hair(outside_m: np.ndarray, likeness: np.ndarray, hair_m: float) -> np.ndarray:
    """(N,) in [0, 1]: 1 where the colour is skin's (likeness 1) or the evidence lies inside of the head model; less the further outside.

    Cropped hair and a painted skull are near where the model has the skull, a head of hair is centimetres outside of it: a weight
    that ends (Beaton and Tukey, 1974) keeps such hair from pulling at all, however much of it there is, and shape falls back to the
    prior. Nothing grows inwards: a picture that shows the wall where the model has the skull is right whatever the colour beside it.
    """
    thin = np.square(1.0 - np.square(np.clip(outside_m / (HAIR_CUT * hair_m), 0.0, 1.0)))
    return likeness + (1.0 - likeness) * thin


def beardless(skin: SkinMap, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: 0 where what does not look like skin lies in a region outside of what the skin around it lets expect."""
    outside = np.clip((skin.outside[corners] * barycentric).sum(1), 0.0, 1.0)
    return 1.0 - (1.0 - skin_at(skin, corners, barycentric)) * outside
