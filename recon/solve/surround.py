"""The head beyond the face: scalp, neck and underside of the chin, from their own matches and from silhouettes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.spatial import KDTree

from assets.cores import num_cores
from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS, HeadModel
from recon.solve.bundle import StrideSamples, choose_pairs
from recon.solve.chart import CUT_M, surround_charts
from recon.solve.deformable import spread_points
from recon.solve.flow import match_pair
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.outlines import find_outlines
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem
from recon.solve.stages import SURROUND, SurroundStage
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows
from recon.solve.surround_evidence import match_evidence, outline_evidence
from recon.solve.unlike_skin import SkinMap
from recon.solve.unwrap import Unwrapped, unwrap
from render import RayScene, vertex_normals

Progress = Callable[[str, int, int], None]

# Bumps along the normal on scalp and neck: how many, their Gaussian's sigma, one standard deviation. Where only the face is known,
# scalp and neck of an average head are off by about so much.
NUM_BUMPS, BUMP_SIGMA_M, BUMP_SD_M = 72, 0.032, 0.006
# A bump differs from the mean of its neighbours by so many standard deviations: where nothing is seen the skull goes on smoothly.
NUM_NEIGHBOURS, BENDING_SD = 6, 0.3
# From the edge of the face a bump grows to its height over about this distance, and on the face itself it is zero.
FADE_M = 0.012


def fit_surround(
    problem: Problem,
    state: HeadState,
    pictures: Sequence[WorkingPicture],
    views: list[int],
    skin: SkinMap,
    stage: SurroundStage = SURROUND,
    progress: Progress | None = None,
) -> Problem:
    """Move scalp and neck to where matches and outlines have them; cameras, poses and face are held.

    Returns the problem with that displacement in its head. Deterministic. Without colours in the pictures, outlines are left out.
    """
    basis = surround_basis(problem.deformable.head)
    charts, coeffs = SurroundCharts(problem, stage), np.zeros(len(basis.bumps))
    for done in range(stage.rounds if len(coeffs) else 0):
        rows = surround_rows(problem, state, charts, pictures, views, skin)
        coeffs = solve_bumps(rows, basis, coeffs, stage.steps)
        problem = dataclasses.replace(problem, deformable=problem.deformable.with_surround(basis.moved(coeffs)))
        if progress is not None:
            furthest = 1e3 * float(np.linalg.norm(basis.moved(coeffs), axis=1).max())
            progress(f"scalp and neck: {sum(len(r.weight) for r in rows)} points, up to {furthest:.1f} mm", done + 1, stage.rounds)
    return problem


class SurroundCharts:
    """The charts around the face with the samples that may become matches, taken once a stage."""

    def __init__(self, problem: Problem, stage: SurroundStage = SURROUND) -> None:
        self.stage = stage
        self.charts = surround_charts(problem.deformable.head, stage.texel_mm)
        self.grids = [StrideSamples(problem, chart, stage.stride) for chart in self.charts]


def surround_rows(
    problem: Problem, state: HeadState, charts: SurroundCharts, pictures: Sequence[WorkingPicture], views: list[int], skin: SkinMap
) -> list[SurfaceRows]:
    """All that the pictures say about the head beyond the face, and about its outline: rows for bumps or for free-form offsets."""
    matches = surround_matches(problem, state, charts, pictures, views)
    outlines = find_outlines(problem, state, pictures, views)
    rows = [match_evidence(problem, state, matches, skin, charts.stage), outline_evidence(problem, state, outlines, skin, charts.stage)]
    return [row for row in rows if row is not None]


def solve_bumps(rows: list[SurfaceRows], basis: SurroundBasis, start: np.ndarray, steps: int) -> np.ndarray:
    """(K,) coefficients, of unit variance and like their neighbours', that explain rows linearised at `start`.

    Cauchy loss whose scale shrinks to the rows' own.
    """
    coeffs, columns = start, np.arange(len(start))
    jacobians = [through(row.d_point, basis.bumps, row.corners, row.barycentric) for row in rows]
    bending = np.eye(len(start))
    np.add.at(bending, (np.arange(len(start))[:, None], basis.neighbours), -1.0 / max(basis.neighbours.shape[1], 1))
    for step in range(steps):
        equations = NormalEquations(len(start))
        equations.add_prior("surround prior", columns, -coeffs, 1.0)
        equations.add_rows("bending", columns, bending, -bending @ coeffs, np.full(len(bending), BENDING_SD**-2))
        for row, jacobian in zip(rows, jacobians, strict=True):
            left = row.residual - jacobian @ (coeffs - start)
            robust = cauchy_weight(np.linalg.norm(left, axis=1), row.robust * 2 ** (steps - 1 - step))
            weight = np.repeat(row.weight * robust / row.noise**2, left.shape[1])
            equations.add_rows("surround", columns, jacobian.reshape(-1, len(start)), left.reshape(-1), weight)
        coeffs = coeffs + equations.solve(np.ones(len(start), bool), damping=1e-6)
    return coeffs


def surround_matches(
    problem: Problem,
    state: HeadState,
    charts: SurroundCharts,
    pictures: Sequence[WorkingPicture],
    views: list[int],
) -> list[Matches]:
    """Matches of neighbouring views in each chart around the face."""
    stage, posed, triangles = charts.stage, problem.posed(state), drawn_triangles(problem.deformable.head)

    def unwrapped_views(v: int) -> list[Unwrapped]:
        normals, scene, grey = vertex_normals(posed[v], triangles), RayScene(posed[v], triangles), pictures[v].blurred(stage.blur_px)
        camera = state.camera_in_head(problem.views[v])
        return [unwrap(chart, posed[v], normals, triangles, camera, grey, stage.window_texels, scene) for chart in charts.charts]

    def matched(pair: tuple[int, int]) -> list[Matches]:
        a, b = pair
        found = [
            match_pair(u, w, stride=stage.stride, max_matches=stage.matches_a_pair) for u, w in zip(unwrapped[a], unwrapped[b], strict=True)
        ]
        return [
            Matches(a, b, grid.at(flow.rows, flow.columns), flow.px_a, flow.px_b, flow.weight, flow.share)
            for grid, flow in zip(charts.grids, found, strict=True)
            if flow is not None
        ]

    with ThreadPoolExecutor(num_cores()) as pool:
        unwrapped = dict(zip(views, pool.map(unwrapped_views, views), strict=True))
        return [matches for of_pair in pool.map(matched, choose_pairs(problem, state, views)) for matches in of_pair]


def through(d_point: np.ndarray, basis: np.ndarray, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(N, R, K) derivative by coefficients of a basis (K, V, 3), from the derivative by surface points (N, R, 3)."""
    moved = sum(basis[:, corners[:, k]] * barycentric[:, k, None].astype(np.float32) for k in range(corners.shape[1]))
    return np.einsum("nrc,knc->nrk", d_point.astype(np.float32), moved)


@dataclasses.dataclass(frozen=True, eq=False)
class SurroundBasis:
    """What may move beyond the face."""

    bumps: np.ndarray
    """(K, V, 3) float32 metres for one standard deviation: bumps along the normals of evenly spread places on scalp and neck."""
    neighbours: np.ndarray
    """(K, N) int64: the nearest other bumps of each."""

    def moved(self, coeffs: np.ndarray) -> np.ndarray:
        """(V, 3) displacement of coefficients (K,)."""
        return np.tensordot(coeffs, self.bumps, 1)


def surround_basis(head: HeadModel) -> SurroundBasis:
    """Bumps that are zero on face and ears; the neck's cut moves in its own plane alone, so that it stays level."""
    free = _skin_of(head, "scalp", "neck")
    if len(free) == 0:
        return SurroundBasis(np.zeros((0, head.num_vertices, 3), np.float32), np.zeros((0, 0), np.int64))
    normals = vertex_normals(head.vertices, head.triangles)
    centres = free[spread_points(head.vertices[free], min(NUM_BUMPS, len(free)))]
    distance2 = np.square(head.vertices[None] - head.vertices[centres][:, None]).sum(-1)
    heights = BUMP_SD_M * np.exp(-distance2 / (2 * BUMP_SIGMA_M**2)) * _growth(head, free, _skin_of(head, "face", "ears"))
    neighbours = np.argsort(distance2[:, centres], axis=1, kind="stable")[:, 1 : 1 + NUM_NEIGHBOURS]
    bumps = heights[..., None] * normals[centres][:, None]
    bumps[..., 1] *= np.clip((head.vertices[:, 1] - head.vertices[:, 1].min()) / CUT_M, 0.0, 1.0)
    return SurroundBasis(bumps.astype(np.float32), neighbours)


def _skin_of(head: HeadModel, *regions: str) -> np.ndarray:
    """Indices of the skin's vertices in some of REGIONS."""
    wanted = np.isin(head.vertex_regions, [REGIONS.index(region) for region in regions])
    return np.flatnonzero(wanted & (head.vertex_parts == PARTS.index("skin")))


def _growth(head: HeadModel, moved: np.ndarray, held: np.ndarray) -> np.ndarray:
    """(V,) in [0, 1]: 0 on `held` and everywhere else but on `moved`, there growing to 1 with the distance from what is held."""
    growth = np.zeros(head.num_vertices)
    growth[moved] = 1.0
    if len(held) and len(moved):
        growth[moved] = 1.0 - np.exp(-np.square(KDTree(head.vertices[held]).query(head.vertices[moved])[0] / FADE_M) / 2)
    return growth
