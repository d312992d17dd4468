"""Bring the modes of the head to the heights of a sweep."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from recon.solve.normal_equations import NormalEquations, cauchy_weight
from recon.solve.problem import Problem
from recon.solve.residuals import sample_surface, tangents
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows
from recon.solve.swept import MIN_NOISE_M, Swept

# At most this many texels take part in a step of the modes; with fewer than these the state stays.
MAX_TEXELS, MIN_TEXELS = 12_000, 300
# Standard deviation of skin sliding in its own plane against what matches and landmarks found before.
SLIDING_SD_M = 3e-4
ITERATIONS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class HeightColumns:
    """Derivatives of N heights, and of every eighth texel's sliding, by what `solve_modes` may move."""

    along: np.ndarray
    """(N, M + 7): modes, log scale, turn about the centre, shift."""
    across: np.ndarray
    """(2 K, M): sliding in the skin's plane."""
    centre: np.ndarray
    """(3,) what the head turns about, head frame: the middle of the texels unless another was given."""


def height_columns(problem: Problem, state: HeadState, rows: SurfaceRows, centre: np.ndarray | None = None) -> HeightColumns:
    """Linearise the heights, turns being about a centre (3,)."""
    deformable, neutral, normal = problem.deformable, problem.neutral(state), rows.d_point[:, 0]
    samples = sample_surface(rows.corners, rows.barycentric, deformable.modes, deformable.shapes[:0])
    moves = np.float32(np.exp(state.log_scale)) * samples.modes
    points = samples.points(neutral)
    about = points.mean(0) if centre is None else centre
    size = (problem.rest(samples, state) * normal).sum(1, keepdims=True)
    along = np.concatenate([np.einsum("nc,ncm->nm", normal, moves), size, np.cross(points - about, normal), normal], 1)
    across = [np.einsum("nc,ncm->nm", tangent[::8], moves[::8]) for tangent in np.moveaxis(tangents(normal), 2, 0)]
    return HeightColumns(along, np.concatenate(across), about)


def solve_modes(problem: Problem, state: HeadState, swept: Swept, *, stride: int, silent: SurfaceRows | None = None) -> HeadState:
    """The state whose modes, scale and common pose follow the heights, skin sliding little; expressions and offsets are held.

    A rigid motion of the head under all cameras may hide in the heights: it is solved for and given to all poses. `silent` are rows
    at every (2 stride)-th texel that say where the skin was believed to lie before (`Swept.silent_rows`).
    """
    rows = swept.rows(swept.found.heights, stride).counted()
    if len(rows.weight) < MIN_TEXELS:
        return state
    rows = rows.taken(np.arange(0, len(rows.weight), -(-len(rows.weight) // MAX_TEXELS)))
    columns = height_columns(problem, state, rows)
    held = None if silent is None else height_columns(problem, state, silent, columns.centre).along
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
        if silent is not None and held is not None:
            left = silent.residual[:, 0] - held @ step
            believed = 4 * share * silent.weight * cauchy_weight(left, silent.robust) / silent.noise**2
            equations.add_rows("silent", np.arange(len(step)), held, left, believed)
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
