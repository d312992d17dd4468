"""Per-instant corrections: what the generic expression shapes miss on this person, as a smooth displacement of each lively instant.

A generic shape that moves the skin by d on the average head moves it by something else on this one. The correction c of an instant is
a field over the skin with a Gaussian prior that says so,

    c ~ N(0, (EXPRESSION_ERROR d + REST_ERROR)^2), smooth over about WIDTH,

and the matches of the instant's views say the rest: those within the instant how its surface lies, those with other instants where
each point of the skin went. The head at rest, weights, poses and cameras are held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.spatial import KDTree

from assets.head_model import PARTS, HeadModel
from assets.laplacian import uniform_laplacian
from recon.solve.bundle import Progress, StrideSamples, evidence, find_matches
from recon.solve.chart import make_chart
from recon.solve.normal_equations import cauchy_weight
from recon.solve.problem import EXPRESSION_ERROR, Matches, Problem
from recon.solve.residuals import match_rows, project
from recon.solve.stages import MIDDLE, DenseStage
from recon.solve.state import HeadState
from recon.solve.uncertainty import all_matches, with_uncertainty
from render import vertex_normals

if TYPE_CHECKING:
    from recon.solve.prepare import Prepared
    from recon.solve.solution import Solution

LIVELY_MM = 1.5
"""An instant whose expression moves no skin by more than this is at rest and needs no correction: the head at rest has its own."""
REST_ERROR_M = 2e-4
"""Standard deviation of the correction where the expression moves nothing: what an instant may still differ by from the head at rest."""
WIDTH_M = 0.008
"""Length over which an expression's error keeps its size and direction."""
NOISE_PX, ROBUST_PX = 0.7, 1.0
"""Standard deviation of a match whose neighbours end EXPECTED_RESIDUAL_PX beside what it says, and of which they share a part; and the
scale of the Cauchy loss after a first plain solve. Where matches agree better with each other they are believed more."""
ITERATIONS = 3
ROUNDS = 2
"""Rounds of matching: pictures that are unwrapped through a corrected surface are matched by a few tenths of a pixel better."""
MIN_ROWS = 100
"""An instant with fewer matches than this stays as it is."""


@dataclasses.dataclass(frozen=True, eq=False)
class CorrectionRows:
    """N matches of one instant, linearised by the displacement of its surface."""

    corners: np.ndarray
    """(N, 3) vertex indices."""
    barycentric: np.ndarray
    """(N, 3)."""
    d_point: np.ndarray
    """(N, 2, 3) px/m: derivative of the prediction by the instant's surface point."""
    residual: np.ndarray
    """(N, 2) px, observed minus predicted without any correction of this instant."""
    weight: np.ndarray
    """(N,) in [0, 1]."""


def finish(solution: Solution, prepared: Prepared, progress: Progress | None = None, *, correct: bool = True) -> Solution:
    """The last stage: corrections of lively instants if wanted, then the spread of the surface, from one round of matching."""
    solution = dataclasses.replace(solution, state=in_range(solution.state))
    if not correct:
        return with_uncertainty(solution, prepared, progress=progress)
    matches: list[Matches] = []
    solution = correct_instants(solution, prepared, MIDDLE, progress, keep=matches)
    lively = set(lively_instants(solution.problem, solution.state, solution.registered))
    # What is left to match are the views at rest among each other.
    at_rest = [v for v in solution.registered if solution.problem.views[v].instant not in lively]
    matches += all_matches(dataclasses.replace(solution, registered=at_rest), prepared) if len(at_rest) > 1 else []
    return with_uncertainty(solution, prepared, matches=matches, progress=progress)


def in_range(state: HeadState) -> HeadState:
    """The state with its weights in [0, 1], as the avatar keeps them."""
    return dataclasses.replace(state, weights=np.clip(state.weights, 0.0, 1.0))


def correct_instants(
    solution: Solution, prepared: Prepared, stage: DenseStage, progress: Progress | None = None, *, keep: list[Matches] | None = None
) -> Solution:
    """Find the corrections of all lively instants from the matches of their views, everything else held.

    Weights are first brought into [0, 1], as the avatar keeps them, so that the corrections make up for that too. Instants seen by one
    camera are corrected in the directions that it sees, and only where its matches with other views reach. The calmest come first, so
    that a livelier one is matched with neighbours that are already right. The matches of the last round are added to `keep`.
    """
    problem, views = solution.problem, solution.registered
    state = in_range(solution.state)
    lively = lively_instants(problem, state, views)
    corrections: dict[int, np.ndarray] = {}
    if lively and len(views) > 1:
        chart = make_chart(problem.deformable.head, stage.texel_mm)
        grid = StrideSamples(problem, chart, stage.stride)
        only = {v for v in views if problem.views[v].instant in lively}
        matches: list[Matches] = []
        for turn in range(ROUNDS):
            matches = find_matches(problem, state, chart, grid, stage, prepared.pictures, views, only=only, displaced=corrections)
            for done, instant in enumerate(lively, 1):
                found = solve_correction(problem, state, matches, corrections, instant)
                if found is not None:
                    corrections[instant] = found
                if progress is not None:
                    text = f"correct expressions: {len(corrections)} by up to {_largest_mm(corrections):.1f} mm"
                    progress(text, turn * len(lively) + done, ROUNDS * len(lively))
        if keep is not None:
            keep += matches
    return dataclasses.replace(solution, state=state, corrections=corrections)


def _largest_mm(corrections: Mapping[int, np.ndarray]) -> float:
    return 1e3 * max((float(np.linalg.norm(c, axis=1).max()) for c in corrections.values()), default=0.0)


def lively_instants(problem: Problem, state: HeadState, views: list[int]) -> list[int]:
    """The instants of the given views whose expression moves some skin by more than LIVELY_MM, the liveliest last."""
    moved_mm = {i: 1e3 * float(displacement(problem, state, i).max()) for i in sorted({problem.views[v].instant for v in views})}
    return sorted((instant for instant, mm in moved_mm.items() if mm > LIVELY_MM), key=lambda instant: moved_mm[instant])


def displacement(problem: Problem, state: HeadState, instant: int) -> np.ndarray:
    """(V,) metres by which an instant's expression moves each vertex of the skin; 0 for what is not skin."""
    moved = np.linalg.norm(np.tensordot(state.weights[instant].astype(np.float32), problem.deformable.shapes, 1), axis=1)
    return np.where(problem.deformable.head.vertex_parts == PARTS.index("skin"), moved, 0.0)


def solve_correction(
    problem: Problem, state: HeadState, matches: list[Matches], corrections: Mapping[int, np.ndarray], instant: int
) -> np.ndarray | None:
    """(V, 3) float32 metres, head frame: the displacement of one instant that its matches ask for; None with too few of them.

    `corrections` (V, 3) by instant are those found so far of the others, and of this one in an earlier round.
    """
    rows = correction_rows(problem, state, matches, corrections, instant)
    if rows is None:
        return None
    spread = EXPRESSION_ERROR * displacement(problem, state, instant) + REST_ERROR_M
    return smooth_displacement(problem.deformable.head, rows, spread)


def correction_rows(
    problem: Problem, state: HeadState, matches: list[Matches], corrections: Mapping[int, np.ndarray], instant: int
) -> CorrectionRows | None:
    """The instant's matches by its own surface alone, linearised about its correction so far; None where there are fewer than MIN_ROWS."""
    surface, triangles, parts = _surfaces(problem, state, corrections), problem.deformable.head.triangles, []
    so_far = corrections.get(instant)
    normals: dict[int, np.ndarray] = {}
    for m in matches:
        ends = [(problem.views[v], problem.views[v].instant) for v in (m.view_a, m.view_b)]
        if instant not in (ends[0][1], ends[1][1]):
            continue
        first = ends[0][1]
        if first not in normals:
            normals[first] = vertex_normals(surface(first), triangles)
        normal = m.samples.points(normals[first])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        a, b = (project(m.samples.points(surface(i)), state, view) for view, i in ends)
        rows = match_rows(m.px_a, m.px_b, a, b, normal)
        moving = [r @ end.d_point for r, end, (_, i) in zip((rows.rows_a, rows.rows_b), (a, b), ends, strict=True) if i == instant]
        d_point, residual = np.sum(moving, 0), rows.residual
        if so_far is not None:
            residual = residual + np.einsum("nrc,nc->nr", d_point, m.samples.points(so_far))
        parts.append((m.samples.corners, m.samples.barycentric, d_point, residual, m.weight))
    if sum(len(part[-1]) for part in parts) < MIN_ROWS:
        return None
    return CorrectionRows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _surfaces(problem: Problem, state: HeadState, corrections: Mapping[int, np.ndarray]) -> Callable[[int], np.ndarray]:
    """From an instant to its (V, 3) posed and corrected head, each posed once."""
    neutral, found = problem.neutral(state), dict[int, np.ndarray]()

    def at(instant: int) -> np.ndarray:
        if instant not in found:
            found[instant] = problem.deformable.posed(neutral, state.weights[instant]) + corrections.get(
                instant, np.zeros((1, 3), np.float32)
            )
        return found[instant]

    return at


def smooth_displacement(head: HeadModel, rows: CorrectionRows, spread: np.ndarray) -> np.ndarray:
    """(V, 3) float32 displacement that explains the rows under the prior of standard deviation `spread` (V,) metres; robust.

    Eyes and teeth stay, lashes and the socket of the mouth follow the skin next to them.
    """
    skin = np.flatnonzero(head.vertex_parts == PARTS.index("skin"))
    number = np.full(head.num_vertices, -1)
    number[skin] = np.arange(len(skin))
    jacobian, target = _jacobian(rows, number, len(skin)), rows.residual.reshape(-1)
    prior, moved = _prior(head, skin, number, spread), np.zeros(3 * len(skin))
    for iteration in range(ITERATIONS):
        length = np.linalg.norm((target - jacobian @ moved).reshape(-1, 2), axis=1)
        belief = 1.0 if iteration == 0 else evidence(float(np.median(length))) * cauchy_weight(length, ROBUST_PX)
        weight = belief * rows.weight / NOISE_PX**2
        moved = _solve(jacobian, np.repeat(weight, 2), target, prior, moved)
    return _with_lashes(head, skin, moved.reshape(-1, 3))


def _jacobian(rows: CorrectionRows, number: np.ndarray, size: int) -> sp.csr_matrix:
    """(2N, 3 size) derivative of the residuals by the skin's displacement; corners that are not skin are held."""
    corners = number[rows.corners]
    barycentric = np.where(corners >= 0, rows.barycentric, 0.0)
    index = (np.maximum(corners, 0)[:, None, :, None] * 3 + np.arange(3)).repeat(2, 1).reshape(-1)
    values = (rows.d_point[:, :, None, :] * barycentric[:, None, :, None]).reshape(-1)
    return sp.csr_matrix((values, (np.repeat(np.arange(2 * len(corners)), 9), index)), shape=(2 * len(corners), 3 * size))


def _prior(head: HeadModel, skin: np.ndarray, number: np.ndarray, spread: np.ndarray) -> sp.csr_matrix:
    """(S, S) precision of the displacement along each axis: its own size, and bending.

    A field of wave number 1 / WIDTH on edges of length h differs from the mean of its neighbours by (h / WIDTH)^2 / 4 of itself: with
    six neighbours on a circle of radius h, the mean of the second derivative over directions is half the Laplacian.
    """
    triangles = number[head.triangles]
    triangles = triangles[(triangles >= 0).all(1)]
    at = head.vertices[skin].astype(np.float64)
    laplacian = uniform_laplacian(triangles, len(skin))
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    length2 = ((at[edges[:, 0]] - at[edges[:, 1]]) ** 2).sum(1)
    total, count = (np.bincount(edges.ravel(), values.repeat(2), len(skin)) for values in (length2, np.ones(len(edges))))
    bent = spread[skin] * np.clip(total / np.maximum(count, 1) / (4 * WIDTH_M**2), 1e-3, 1.0)
    # Information about an isolated unit; neighbours within WIDTH say the same, so each counts for its share of such a patch.
    share = np.minimum(1.0, total / np.maximum(count, 1) / WIDTH_M**2)
    return sp.csr_matrix(laplacian.T @ sp.diags(share / bent**2) @ laplacian + sp.diags(share / spread[skin] ** 2))


def _solve(jacobian: sp.csr_matrix, weight: np.ndarray, target: np.ndarray, prior: sp.csr_matrix, start: np.ndarray) -> np.ndarray:
    data = sp.csr_matrix(jacobian.T @ sp.diags(weight) @ jacobian)
    matrix = data + sp.kron(prior, sp.identity(3), format="csr")
    information = data.diagonal().reshape(-1, 3).mean(1)
    factor = spl.splu(sp.csc_matrix(prior + sp.diags(information)), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
    apply = lambda vector: factor.solve(vector.reshape(-1, 3)).reshape(-1)  # noqa: E731
    condition = spl.LinearOperator(matrix.shape, matvec=apply, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    return spl.cg(matrix, jacobian.T @ (weight * target), x0=start, rtol=1e-4, maxiter=200, M=condition)[0]


def _with_lashes(head: HeadModel, skin: np.ndarray, moved: np.ndarray) -> np.ndarray:
    out = np.zeros((head.num_vertices, 3), np.float32)
    out[skin] = moved
    follows = np.flatnonzero(np.isin(head.vertex_parts, [PARTS.index("lashes"), PARTS.index("mouth_socket")]))
    if len(follows):
        out[follows] = moved[KDTree(head.vertices[skin]).query(head.vertices[follows])[1]]
    return out
