"""The last millimetre: sweeps of a rig's calm views solved for the modes of the head, then free-form offsets, of rigs and photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from assets.drawn import drawn_triangles
from recon.solve.bundle import Progress, StrideSamples, find_matches, solve_matches
from recon.solve.chart import FaceChart, make_chart
from recon.solve.freeform import FreeFormStage, solve_offsets
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem, restfulness
from recon.solve.residuals import sample_surface, tangents
from recon.solve.smoothness import choose_width_m
from recon.solve.stages import DenseStage
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows, height_surface_rows, match_surface_rows
from recon.solve.sweep import HELD_OUT_EVERY, Heights, SweepLevel, SweepResult, SweptView, sweep
from recon.solve.unlike_skin import SkinMap
from render import vertex_normals

if TYPE_CHECKING:
    from recon.solve.pipeline import Solution
    from recon.solve.prepare import Prepared

# Views whose face is further from rest than this take no part: their skin lies where generic shapes put it.
MIN_TRUST = 0.5
# At most this many texels take part in a step of the modes.
MAX_TEXELS = 12_000
# Standard deviation of skin sliding in its own plane against what matches and landmarks found before.
SLIDING_SD_M = 3e-4
# Heights are never believed more than this, and a Cauchy loss of this share of the reach keeps wrong peaks out.
MIN_NOISE_M, ROBUST_SHARE, MIN_ROBUST_M = 5e-5, 0.06, 1e-4
ITERATIONS = 6
MIN_TEXELS = 300


@dataclasses.dataclass(frozen=True, eq=False)
class Swept:
    """Heights of the skin over the present mesh."""

    chart: FaceChart
    found: SweepResult
    normals: np.ndarray
    """(N, 3) float64 unit normals of the texels on the calmest view's mesh."""
    level: SweepLevel
    skin: np.ndarray
    """(V,) in [0, 1]: how much each vertex looks and behaves like the person's skin."""

    @property
    def median_mm(self) -> float:
        """Median height of the known texels; nan where there are none."""
        known = self.found.heights.known
        return 1e3 * float(np.median(np.abs(self.found.heights.height_m[known]))) if known.any() else float("nan")

    def rows(self, heights: Heights, stride: int) -> SurfaceRows:
        """Heights (all, kept or held out) as residuals in the surface point."""
        robust = max(MIN_ROBUST_M, ROBUST_SHARE * 1e-3 * self.level.reach_mm)
        rows = height_surface_rows(self.chart, heights, self.normals, stride=stride, noise_m=MIN_NOISE_M, robust_m=robust)
        trust = np.einsum("nk,nk->n", self.skin[rows.corners], rows.barycentric)
        return dataclasses.replace(rows, weight=rows.weight * trust)


MODE_LEVELS = (SweepLevel(1.1, 1.0, 9, 4.0, 17), SweepLevel(1.1, 1.0, 9, 3.0, 17), SweepLevel(0.56, 0.5, 15, 2.0, 17))
"""For the modes: what flow leaves is at most about 3 mm, and within 2 mm the finer texels find the height."""
OFFSET_LEVELS = (SweepLevel(0.56, 0.5, 15, 1.5, 17), SweepLevel(0.56, 0.5, 15, 1.0, 13))
"""For the offsets, twice: patches are compared better once the surface under them is right."""
FAST_MODE_LEVELS, FAST_OFFSET_LEVELS = MODE_LEVELS[::2], OFFSET_LEVELS[:1]
MIN_CAMERAS = 4
"""A rig whose calmest instant fewer cameras saw is refined by matches, like loose pictures."""


def refine_modes(
    solution: Solution, prepared: Prepared, progress: Progress | None = None, *, levels: Sequence[SweepLevel] = MODE_LEVELS
) -> Solution:
    """Sweep the calmest instant of a rig and bring the modes of the head to the heights found; other captures stay as they are.

    Loose pictures are left to flow: their poses and focal lengths are a third of a degree and half a percent off, which shifts the
    height of the best correlation by more than matches, whose cameras are solved with them, are off.
    """
    problem, state = solution.problem, solution.state
    trust = swept_views(solution, prepared)
    for done, level in enumerate(levels if trust else ()):
        chart = make_chart(problem.deformable.head, level.texel_mm)
        swept = sweep_calm(problem, state, prepared.pictures, trust, chart, level, solution.skin)
        state = solve_modes(problem, state, swept, stride=2 if level.texel_mm > 1 else 3)
        if progress is not None:
            progress(
                f"sweep: {100 * swept.found.heights.known.mean():.0f} % of the skin, {swept.median_mm:.2f} mm", done + 1, len(MODE_LEVELS)
            )
    return dataclasses.replace(solution, state=state)


def refine_free_form(
    solution: Solution,
    prepared: Prepared,
    stage: DenseStage,
    first: list[Matches],
    progress: Progress | None = None,
    *,
    levels: Sequence[SweepLevel] = OFFSET_LEVELS,
) -> Solution:
    """Offsets once a level, as smooth as left-out pairs of views ask for, with poses and expressions settling in between.

    By heights of the sweep where a rig allows it, else by matches; `first` are the present mesh's.
    """
    trust = swept_views(solution, prepared)
    problem, state, views, pictures = solution.problem, solution.state, solution.registered, prepared.pictures
    chart, settled = make_chart(problem.deformable.head, stage.texel_mm), views
    grid = StrideSamples(problem, chart, stage.stride)
    hold_shape = dataclasses.replace(stage, free=frozenset({"pose", "expression", "focal"}))
    width: float | None = None

    def match_again(problem: Problem, state: HeadState) -> list[Matches]:
        return _trusted(find_matches(problem, state, chart, grid, stage, pictures, views), solution)

    for done, level in enumerate(levels):
        matches: list[Matches] = []
        if trust:
            fine = make_chart(problem.deformable.head, level.texel_mm)
            swept = sweep_calm(problem, state, pictures, trust, fine, level, solution.skin)
            parts = [[swept.rows(heights, 2)] for heights in (swept.found.heights, swept.found.kept, swept.found.held_out)]
            settled = [v for v in views if v not in trust]
        else:
            matches = _trusted(first, solution) if done == 0 else match_again(problem, state)
            parts = [_match_rows(problem, state, chosen, stage) for chosen in (matches, *split_pairs(matches))]
        if done == 0:
            width = choose_width_m(problem.deformable.head, parts[1], parts[2], problem.deformable.offsets)
        if width is not None:
            offsets = solve_offsets(problem.deformable.head, parts[0], problem.deformable.offsets, FreeFormStage(width_m=width))
            problem = dataclasses.replace(problem, deformable=problem.deformable.with_offsets(offsets))
        if trust and done == len(levels) - 1:
            matches = match_again(problem, state)
        if matches and settled:
            state, _ = solve_matches(problem, state, hold_shape, matches, views, settled)
        if progress is not None:
            largest = 1e3 * np.linalg.norm(problem.deformable.offsets, axis=1).max()
            bend = "none needed" if width is None else f"up to {largest:.1f} mm, bending over {1e3 * width:.1f} mm"
            progress(f"free-form: {bend}", done + 1, len(levels))
    return dataclasses.replace(solution, problem=problem, state=state)


def split_pairs(matches: Sequence[Matches]) -> tuple[list[Matches], list[Matches]]:
    """Two thirds of the pairs of views, and every third one."""
    held_out = [m for number, m in enumerate(matches) if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    return [m for m in matches if m not in held_out], held_out


def _match_rows(problem: Problem, state: HeadState, matches: list[Matches], stage: DenseStage) -> list[SurfaceRows]:
    if not matches:
        return []
    return [match_surface_rows(problem, state, matches, noise_px=stage.robust_px, robust_px=stage.robust_px)]


def _trusted(matches: list[Matches], solution: Solution) -> list[Matches]:
    return matches if solution.skin is None else solution.skin.trusted(matches)


def is_sweepable(prepared: Prepared) -> bool:
    """Whether enough calibrated cameras saw the head at one instant: then the sweep ends what finer flow would only begin."""
    instants = [view.instant for view in prepared.problem.views]
    return prepared.is_rig and max(map(instants.count, instants)) >= MIN_CAMERAS


def swept_views(solution: Solution, prepared: Prepared) -> dict[int, float]:
    """The views to sweep with their trust; none for loose pictures and rigs of few cameras."""
    if not prepared.is_rig:
        return {}
    trust = calm_views(solution.problem, solution.state, solution.registered, is_rig=True)
    return trust if len(trust) >= MIN_CAMERAS else {}


def calm_views(problem: Problem, state: HeadState, views: Sequence[int], *, is_rig: bool) -> dict[int, float]:
    """Trust by view index of those whose face is near rest; for a rig those of the calmest instant that several cameras saw."""
    trust = dict(zip(views, restfulness(state, [problem.views[v] for v in views]), strict=True))
    if is_rig:
        instants = [problem.views[v].instant for v in views]
        shared = [v for v in views if instants.count(problem.views[v].instant) > 2]
        if shared:
            best = problem.views[max(shared, key=lambda v: trust[v])].instant
            return {v: 1.0 for v in shared if problem.views[v].instant == best}
    return {v: float(t) for v, t in trust.items() if t >= MIN_TRUST}


def sweep_calm(
    problem: Problem,
    state: HeadState,
    pictures: Sequence[WorkingPicture],
    trust: dict[int, float],
    chart: FaceChart,
    level: SweepLevel,
    skin: SkinMap | None = None,
) -> Swept:
    """Sweep the given views, each with its own expression and pose."""
    posed, triangles = problem.posed(state), drawn_triangles(problem.deformable.head)
    views = [SweptView(posed[v], state.camera_in_head(problem.views[v]), pictures[v].blurred(level.blur_px), t) for v, t in trust.items()]
    found = sweep(chart, views, triangles, problem.landmarks.points(problem.neutral(state)).mean(0), level)
    normals = chart.at_texels(vertex_normals(posed[max(trust, key=lambda v: trust[v])], triangles)).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Swept(chart, found, normals, level, np.ones(len(posed[0])) if skin is None else skin.trust)


@dataclasses.dataclass(frozen=True, eq=False)
class HeightColumns:
    """Derivatives of N heights, and of every eighth texel's sliding, by what `solve_modes` may move."""

    along: np.ndarray
    """(N, M + 7): modes, log scale, turn about the middle of the texels, shift."""
    across: np.ndarray
    """(2 K, M): sliding in the skin's plane."""
    centre: np.ndarray
    """(3,) middle of the texels, head frame."""


def height_columns(problem: Problem, state: HeadState, rows: SurfaceRows) -> HeightColumns:
    """Linearise the heights."""
    deformable, neutral, normal = problem.deformable, problem.neutral(state), rows.d_point[:, 0]
    samples = sample_surface(rows.corners, rows.barycentric, deformable.modes, deformable.shapes[:0])
    moves = np.float32(np.exp(state.log_scale)) * samples.modes
    points = samples.points(neutral)
    centre = points.mean(0)
    size = (problem.rest(samples, state) * normal).sum(1, keepdims=True)
    along = np.concatenate([np.einsum("nc,ncm->nm", normal, moves), size, np.cross(points - centre, normal), normal], 1)
    across = [np.einsum("nc,ncm->nm", tangent[::8], moves[::8]) for tangent in np.moveaxis(tangents(normal), 2, 0)]
    return HeightColumns(along, np.concatenate(across), centre)


def solve_modes(problem: Problem, state: HeadState, swept: Swept, *, stride: int) -> HeadState:
    """The state whose modes, scale and common pose follow the heights, skin sliding little; expressions and offsets are held.

    A rigid motion of the head under all cameras may hide in the heights: it is solved for and given to all poses.
    """
    rows = swept.rows(swept.found.heights, stride)
    if len(rows.weight) < MIN_TEXELS:
        return state
    rows = rows.taken(np.arange(0, len(rows.weight), max(1, len(rows.weight) // MAX_TEXELS)))
    columns = height_columns(problem, state, rows)
    # Texels under one patch share their noise, so together they count as one.
    share = stride**2 / swept.level.window_texels**2
    confidence = np.minimum(rows.weight, np.median(rows.weight))
    confidence *= share / confidence.mean()
    step = np.zeros(columns.along.shape[1])
    noise = 3 * rows.robust
    for iteration in range(ITERATIONS):
        residual = rows.residual[:, 0] - columns.along @ step
        weight = confidence
        if iteration:
            # Plain least squares first: at once robust, coherent regions off by millimetres would count as wrong.
            noise = max(MIN_NOISE_M, 1.48 * float(np.median(np.abs(residual))))
            weight = confidence * cauchy_weight(residual, max(rows.robust, 2.0 * noise))
        equations = _height_priors(problem, state, step)
        equations.add_rows("heights", np.arange(len(step)), columns.along, residual, weight / noise**2)
        moved = columns.across @ step[:-7]
        equations.add_rows("sliding", np.arange(len(step) - 7), columns.across, -moved, np.full(len(moved), 8 * share / SLIDING_SD_M**2))
        step = step + equations.solve(np.ones(len(step), bool), damping=1e-9)
    return _moved(state, step, columns.centre)


def _height_priors(problem: Problem, state: HeadState, step: np.ndarray) -> NormalEquations:
    equations, num = NormalEquations(len(step)), state.layout.num_modes
    equations.add_prior("shape prior", np.arange(num), -(state.coeffs + step[:num]), 1.0 / np.sqrt(problem.shape_precision))
    equations.add_prior("scale prior", np.array([len(step) - 7]), -step[-7:-6], 0.1 if problem.has_scale else 1e-6)
    equations.add_prior("pose prior", np.arange(len(step) - 6, len(step)), -step[-6:], 0.1)
    return equations


def _moved(state: HeadState, step: np.ndarray, centre: np.ndarray) -> HeadState:
    num = state.layout.num_modes
    R = Rotation.from_rotvec(step[-6:-3]).as_matrix()
    shift = step[-3:] + centre - R @ centre
    return dataclasses.replace(
        state,
        coeffs=state.coeffs + step[:num],
        log_scale=state.log_scale + float(step[-7]),
        rotations=state.rotations @ R,
        translations=state.translations + np.einsum("ijk,k->ij", state.rotations, shift),
    )
