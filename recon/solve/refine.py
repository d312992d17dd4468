"""The last millimetre: sweeps of the calm views, solved for the modes of the head and then for free-form offsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from assets.drawn import drawn_triangles
from recon.solve.chart import FaceChart
from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem, restfulness
from recon.solve.residuals import sample_surface, tangents
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows, height_surface_rows
from recon.solve.sweep import Heights, SweepLevel, SweptView, sweep
from render import vertex_normals

if TYPE_CHECKING:
    pass

# Views whose face is further from rest than this take no part: their skin lies where generic shapes put it.
MIN_TRUST = 0.5
# At most this many texels take part in a step of the modes.
MAX_TEXELS = 12_000
# Standard deviation of skin sliding in its own plane against what matches and landmarks found before.
SLIDING_SD_M = 3e-4
# Heights are never believed more than this, and a Cauchy loss of this share of the reach keeps wrong peaks out.
MIN_NOISE_M, ROBUST_SHARE, MIN_ROBUST_M = 5e-5, 0.06, 1e-4
ITERATIONS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Swept:
    """Heights of the skin over the present mesh."""

    chart: FaceChart
    heights: Heights
    normals: np.ndarray
    """(N, 3) float64 unit normals of the texels on the calmest view's mesh."""
    level: SweepLevel

    def rows(self, stride: int) -> SurfaceRows:
        """The heights as residuals in the surface point."""
        robust = max(MIN_ROBUST_M, ROBUST_SHARE * 1e-3 * self.level.reach_mm)
        return height_surface_rows(self.chart, self.heights, self.normals, stride=stride, noise_m=MIN_NOISE_M, robust_m=robust)


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
    problem: Problem, state: HeadState, pictures: Sequence[WorkingPicture], trust: dict[int, float], chart: FaceChart, level: SweepLevel
) -> Swept:
    """Sweep the given views, each with its own expression and pose."""
    posed, triangles = problem.posed(state), drawn_triangles(problem.deformable.head)
    views = [SweptView(posed[v], state.camera_in_head(problem.views[v]), pictures[v].blurred(level.blur_px), t) for v, t in trust.items()]
    heights = sweep(chart, views, triangles, problem.landmarks.points(problem.neutral(state)).mean(0), level)
    normals = chart.at_texels(vertex_normals(posed[max(trust, key=lambda v: trust[v])], triangles)).astype(np.float64)
    return Swept(chart, heights, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9), level)


def solve_modes(problem: Problem, state: HeadState, swept: Swept, *, stride: int) -> HeadState:
    """The state whose modes, scale and common pose follow the heights, skin sliding little; expressions and offsets are held.

    A rigid motion of the head under all cameras may hide in the heights: it is solved for and given to all poses.
    """
    rows = swept.rows(stride)
    if len(rows.weight) < 100:
        return state
    rows = rows.taken(np.arange(0, len(rows.weight), max(1, len(rows.weight) // MAX_TEXELS)))
    deformable, scale = problem.deformable, np.exp(state.log_scale)
    neutral = problem.neutral(state)
    samples = sample_surface(rows.corners, rows.barycentric, deformable.modes, deformable.shapes[:0])
    points = samples.points(neutral)
    centre = points.mean(0)
    normal = rows.d_point[:, 0]
    turn = -np.cross(normal, points - centre)
    size = (samples.points(neutral - deformable.offsets) * normal).sum(1, keepdims=True)
    num = state.layout.num_modes
    # Columns: modes, log scale, turn about the middle, shift.
    along = np.concatenate([np.einsum("nc,ncm->nm", scale * normal, samples.modes), size, turn, normal], 1)
    across = [np.einsum("nc,ncm->nm", scale * t, samples.modes[::8]) for t in np.moveaxis(tangents(normal), 2, 0)[:, ::8]]
    patches = swept.level.window_texels**2 / stride**2
    confidence = np.minimum(rows.weight, np.median(rows.weight))
    confidence /= confidence.mean()
    step = np.zeros(num + 7)
    noise = robust = None
    for iteration in range(ITERATIONS):
        residual = rows.residual[:, 0] - along @ step
        if iteration:
            noise = max(MIN_NOISE_M, 1.48 * float(np.median(np.abs(residual))))
        robust = max(rows.robust, 2.0 * (noise or 0.0))
        weight = confidence * (cauchy_weight(residual, robust) if iteration else 1.0) / (noise or 3 * rows.robust) ** 2
        equations = NormalEquations(num + 7)
        equations.add_prior("shape prior", state.layout.modes, -(state.coeffs + step[:num]), 1.0 / np.sqrt(problem.shape_precision))
        equations.add_prior("scale prior", np.array([num]), -step[num:][:1], 0.1 if problem.has_scale else 1e-6)
        equations.add_prior("pose prior", np.arange(num + 1, num + 7), -step[num + 1 :], 0.1)
        equations.add_rows("heights", np.arange(num + 7), along, residual, weight / patches)
        for block in across:
            equations.add_rows(
                "sliding", state.layout.modes, block, -block @ step[:num], np.full(len(block), SLIDING_SD_M**-2 * 8 / patches)
            )
        step = step + equations.solve(np.ones(num + 7, bool), damping=1e-9)
    return _moved(state, step, centre)


def _moved(state: HeadState, step: np.ndarray, centre: np.ndarray) -> HeadState:
    num = state.layout.num_modes
    R = Rotation.from_rotvec(step[num + 1 : num + 4]).as_matrix()
    shift = step[num + 4 :] + centre - R @ centre
    return dataclasses.replace(
        state,
        coeffs=state.coeffs + step[:num],
        log_scale=state.log_scale + float(step[num]),
        rotations=state.rotations @ R,
        translations=state.translations + np.einsum("ijk,k->ij", state.rotations, shift),
    )
