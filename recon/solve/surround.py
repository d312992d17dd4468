"""The head beyond the face: scalp, neck and underside of the chin, from their own matches and from silhouettes, the face held."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.spatial import KDTree

from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.bundle import StrideSamples, choose_pairs, unwrap_views
from recon.solve.chart import FaceChart, surround_charts
from recon.solve.deformable import spread_points
from recon.solve.flow import FlowMatches, match_pair
from recon.solve.freeform import point_rows
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import project
from recon.solve.silhouette import Outline, find_outline, outline_rows
from recon.solve.stages import FINE
from recon.solve.state import HeadState
from recon.solve.unlike_skin import SkinMap, map_skin, skin_likeness
from recon.solve.unwrap import Unwrapped
from render import vertex_normals

Progress = Callable[[str, int, int], None]

# Bumps along the normal on scalp and neck: how many, their Gaussian's sigma, one standard deviation. A head model's average scalp
# and neck are off by about that much where only the face is known.
NUM_BUMPS, BUMP_SIGMA_M, BUMP_SD_M = 72, 0.032, 0.006
# From the edge of the face a bump grows to its height over about this distance, and on the face itself it is zero.
FADE_M = 0.012


@dataclasses.dataclass(frozen=True)
class SurroundStage:
    """What the surround is fitted with."""

    texel_mm: float = 1.4
    """Size of the charts' texels: half as fine as the face's, since these parts are smooth."""
    stride: int = 4
    blur_px: float = 0.8
    window_texels: float = 9.0
    matches_a_pair: int = 150
    """Of one pair of views in one chart."""
    rounds: int = 2
    """Match and look for edges anew this often."""
    steps: int = 3
    match_weight: float = 0.25
    """One over the variance of a match, px^-2."""
    match_robust_px: float = 1.5
    outline_weight: float = 0.25
    """One over the variance of an outline's residual, px^-2, per 5 mm of outline."""
    outline_robust_px: float = 4.0
    neck_trust: float = 0.3
    """Factor on matches of the neck between two instants: it bends where the head turns on it."""
    hair_m: float = 0.008
    """What is not skin by colour and lies so far outside of where the head model has the skull counts a quarter: it is hair."""


@dataclasses.dataclass(frozen=True, eq=False)
class LinearRows:
    """Evidence that is linear in the bumps' coefficients while cameras and poses are held; N points with R residuals each."""

    jacobian: np.ndarray
    """(N, R, K) px."""
    residual: np.ndarray
    """(N, R) px, observed minus predicted, at the coefficients of the linearisation."""
    weight: np.ndarray
    """(N,) px^-2."""
    robust_px: float


def fit_surround(
    problem: Problem,
    state: HeadState,
    pictures: Sequence[WorkingPicture],
    views: list[int],
    stage: SurroundStage = SurroundStage(),
    progress: Progress | None = None,
) -> Problem:
    """Move scalp and neck to where matches and outlines have them; cameras, poses and face are held.

    Returns the problem with that displacement in its head. Deterministic. Without colours in the pictures, outlines are left out.
    """
    head = problem.deformable.head
    basis, skin = surround_basis(head), map_skin(problem, state, pictures, views)
    if len(basis) == 0:
        return problem
    charts, coeffs = surround_charts(head, stage.texel_mm), np.zeros(len(basis))
    grids = [StrideSamples(problem, chart, stage.stride) for chart in charts]
    for done in range(stage.rounds):
        matches = surround_matches(problem, state, charts, grids, stage, pictures, views)
        outlines = find_outlines(problem, state, pictures, views)
        rows = [
            *match_evidence(problem, state, matches, basis, skin, stage),
            *outline_evidence(problem, state, outlines, basis, skin, stage),
        ]
        coeffs = solve_bumps(rows, coeffs, stage.steps)
        problem = dataclasses.replace(problem, deformable=problem.deformable.with_surround(np.tensordot(coeffs, basis, 1)))
        if progress is not None:
            counts = sum(len(pair.px_a) for pair in matches), sum(int((outline.edges.weight > 0).sum()) for outline in outlines)
            progress(f"scalp and neck: {counts[0]} matches, {counts[1]} outline points", done + 1, stage.rounds)
    return problem


def solve_bumps(rows: list[LinearRows], start: np.ndarray, steps: int) -> np.ndarray:
    """(K,) coefficients of unit variance that explain rows linearised at `start`; Cauchy loss whose scale shrinks to the rows' own."""
    coeffs = start
    for step in range(steps):
        equations = NormalEquations(len(start))
        equations.add_prior("surround prior", np.arange(len(start)), -coeffs, 1.0)
        for row in rows:
            left = row.residual - row.jacobian @ (coeffs - start)
            robust = cauchy_weight(np.linalg.norm(left, axis=1), row.robust_px * 2 ** (steps - 1 - step))
            columns, flat = np.arange(len(start)), row.jacobian.reshape(-1, len(start))
            equations.add_rows("surround", columns, flat, left.reshape(-1), np.repeat(row.weight * robust, left.shape[1]))
        coeffs = coeffs + equations.solve(np.ones(len(start), bool), damping=1e-6)
    return coeffs


def surround_matches(
    problem: Problem,
    state: HeadState,
    charts: Sequence[FaceChart],
    grids: Sequence[StrideSamples],
    stage: SurroundStage,
    pictures: Sequence[WorkingPicture],
    views: list[int],
) -> list[Matches]:
    """Matches of neighbouring views in each chart around the face."""
    pairs, out = choose_pairs(problem, state, views), []
    unwrapping = dataclasses.replace(FINE, blur_px=stage.blur_px, window_texels=stage.window_texels)
    for chart, grid in zip(charts, grids, strict=True):
        unwrapped = unwrap_views(problem, state, chart, unwrapping, list(pictures), views)

        def one(pair: tuple[int, int], unwrapped: dict[int, Unwrapped] = unwrapped) -> FlowMatches | None:
            return match_pair(unwrapped[pair[0]], unwrapped[pair[1]], stride=stage.stride, max_matches=stage.matches_a_pair)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(one, pairs))
        out += [
            Matches(a, b, grid.at(flow.rows, flow.columns), flow.px_a, flow.px_b, flow.weight, flow.share)
            for (a, b), flow in zip(pairs, found, strict=True)
            if flow is not None
        ]
    return out


def find_outlines(problem: Problem, state: HeadState, pictures: Sequence[WorkingPicture], views: list[int]) -> list[Outline]:
    """The outline of every view that has one."""
    posed, head = problem.posed(state), problem.deformable.head

    def one(v: int) -> Outline | None:
        return find_outline(head, posed[v], state.camera_in_head(problem.views[v]), pictures[v], v)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [outline for outline in pool.map(one, views) if outline is not None]


def match_evidence(
    problem: Problem, state: HeadState, matches: list[Matches], basis: np.ndarray, skin: SkinMap, stage: SurroundStage
) -> list[LinearRows]:
    """Matches as rows over the bumps: less where they are no skin, or on the neck between two instants."""
    if not matches:
        return []
    rows, head = point_rows(problem, state, matches), problem.deformable.head
    moves = np.concatenate([np.full(len(m.px_a), problem.views[m.view_a].instant != problem.views[m.view_b].instant) for m in matches])
    neck = (head.vertex_regions == REGIONS.index("neck")).astype(float)
    at = lambda values: (values[rows.corners] * rows.barycentric).sum(1)  # noqa: E731
    trust = thin_or_skin(problem, state, rows.corners, rows.barycentric, rows.d_point, rows.residual, at(skin.trust), stage.hair_m)
    weight = stage.match_weight * rows.weight * trust * (1.0 - (1.0 - stage.neck_trust) * at(neck) * moves)
    return [LinearRows(through(rows.d_point, basis, rows.corners, rows.barycentric), rows.residual, weight, stage.match_robust_px)]


def outline_evidence(
    problem: Problem, state: HeadState, outlines: list[Outline], basis: np.ndarray, skin: SkinMap, stage: SurroundStage
) -> list[LinearRows]:
    """Outlines as rows over the bumps: less where the colour inside of the edge is not this person's skin."""
    out, posed = [], problem.posed(state)
    for outline in outlines:
        rim, view = outline.rim, problem.views[outline.view]
        points = np.einsum("nk,nkc->nc", rim.barycentric, posed[outline.view][rim.corners].astype(np.float64))
        rows = outline_rows(project(points, state, view), outline.edge_px, rim.normal_px)
        d_point, residual = rows.d_point[:, None], rows.residual[:, None]
        colour = skin.views.get(outline.view)
        likeness = np.zeros(len(residual)) if colour is None else skin_likeness(colour.distance(outline.edges.colour))
        trust = thin_or_skin(problem, state, rim.corners, rim.barycentric, d_point, residual, likeness, stage.hair_m)
        weight = stage.outline_weight * outline.edges.weight * rim.span * trust
        out.append(LinearRows(through(d_point, basis, rim.corners, rim.barycentric), residual, weight, stage.outline_robust_px))
    return out


def thin_or_skin(
    problem: Problem,
    state: HeadState,
    corners: np.ndarray,
    barycentric: np.ndarray,
    d_point: np.ndarray,
    residual: np.ndarray,
    likeness: np.ndarray,
    hair_m: float,
) -> np.ndarray:
    """(N,) in [0, 1]: 1 where the colour is skin's (likeness 1); else by how far outside of the head model the evidence lies.

    Cropped hair and a painted skull are near where the model has the skull, a head of hair is centimetres outside of it: a
    redescending weight (Geman and McClure, 1987) keeps such hair from pulling at all, while shape falls back to the prior.
    """
    triangles = problem.deformable.head.triangles
    normals = vertex_normals(problem.neutral(state), triangles)
    normal = np.einsum("nk,nkc->nc", barycentric, normals[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    along = np.einsum("nrc,nc->nr", d_point, normal)
    outside = (along * residual).sum(1) / np.maximum((along**2).sum(1), 1e-9)
    surround = problem.deformable.surround
    if surround is not None:
        outside += (np.einsum("nk,nkc->nc", barycentric, surround[corners]) * normal).sum(1)
    return likeness + (1.0 - likeness) / (1.0 + np.square(outside / hair_m)) ** 2


def through(d_point: np.ndarray, basis: np.ndarray, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(N, R, K) derivative by coefficients of a basis (K, V, 3), from the derivative by surface points (N, R, 3)."""
    moved = sum(basis[:, corners[:, k]] * barycentric[:, k, None].astype(np.float32) for k in range(corners.shape[1]))
    return np.einsum("nrc,knc->nrk", d_point.astype(np.float32), moved)


def surround_basis(head: HeadModel) -> np.ndarray:
    """(K, V, 3) float32 bumps along the normals of evenly spread places on scalp and neck, zero on face and ears."""
    skin = head.vertex_parts == PARTS.index("skin")
    normals = vertex_normals(head.vertices, head.triangles)
    held = skin & np.isin(head.vertex_regions, (REGIONS.index("face"), REGIONS.index("ears")))
    free = np.flatnonzero(skin & np.isin(head.vertex_regions, (REGIONS.index("scalp"), REGIONS.index("neck"))))
    if len(free) == 0:
        return np.zeros((0, head.num_vertices, 3), np.float32)
    growth = np.zeros(head.num_vertices)
    growth[free] = 1.0
    if held.any():
        growth[free] = 1.0 - np.exp(-np.square(KDTree(head.vertices[held]).query(head.vertices[free])[0] / FADE_M) / 2)
    centres = free[spread_points(head.vertices[free], min(NUM_BUMPS, len(free)))]
    distance2 = np.square(head.vertices[None] - head.vertices[centres][:, None]).sum(-1)
    heights = BUMP_SD_M * np.exp(-distance2 / (2 * BUMP_SIGMA_M**2)) * growth
    return (heights[..., None] * normals[centres][:, None]).astype(np.float32)
