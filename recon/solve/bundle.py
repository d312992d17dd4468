"""Run the stages: the landmark bundle, then rounds of unwrapping, matching and solving (docs/architecture.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from assets.cores import num_cores
from assets.drawn import drawn_triangles
from recon.solve.chart import FaceChart
from recon.solve.expression_prior import add_expression_prior, add_gentle_prior, with_rest
from recon.solve.flow import MAX_ANGLE_DEG, MIN_ANGLE_DEG, FlowMatches, match_pair, neighbour_pairs, viewing_angles_deg
from recon.solve.landmark_bias import add_landmarks
from recon.solve.normal_equations import NormalEquations
from recon.solve.outlines import OutlineSamples, add_outlines, find_outlines, sample_outlines
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem, add_matches, add_priors, displaced_mm, free_columns, restfulness, shape_trust
from recon.solve.residuals import SurfaceSamples, project, sample_surface
from recon.solve.round_text import round_text
from recon.solve.stages import DenseStage, LandmarkStage
from recon.solve.state import HeadState, Layout
from recon.solve.unlike_skin import SkinMap, agreement_of
from recon.solve.unwrap import Unwrapped, unwrap
from render import vertex_normals

Progress = Callable[[str, int, int], None]

# More matches than this make a round slower and no better; many pairs therefore get fewer each, but never too few to count.
MAX_MATCHES, MIN_MATCHES_A_PAIR = 36_000, 250
# The stages' match weights are meant for residuals of this median; where matches agree better they are believed more, so that
# the priors do not hold back a capture whose skin is rich in detail.
EXPECTED_RESIDUAL_PX, MAX_BELIEF = 0.5, 16.0

# Views whose expression weights differ by a vector of length 1 are as hard to match as views this much further apart, and by more
# than this length they are worth matching from the same side.
DEG_PER_UNLIKENESS, MIN_UNLIKE = 10.0, 0.5

# Focal length and distance can grow together almost unseen; stronger damping would stop every step along that valley.
DENSE_DAMPING = 1e-6
MAX_FOCAL_STEP = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class RoundReport:
    """What one round of a dense stage found."""

    stage: str
    num_pairs: int
    num_matches: int
    median_residual_px: float
    cost: dict[str, float]
    """Half the weighted sum of squares by the name of the term, before the last step."""
    matches_per_view: np.ndarray
    """(N,) int, over all views of the problem."""


def solve_landmarks(problem: Problem, state: HeadState, stage: LandmarkStage, views: list[int]) -> HeadState:
    """Gauss-Newton on landmarks of the given views."""
    problem = dataclasses.replace(problem, shape_precision=stage.shape_precision)
    mask = free_columns(state.layout, stage.free, {problem.views[v].instant for v in views})
    instants = sorted({problem.views[v].instant for v in views})
    for _ in range(stage.steps):
        equations = NormalEquations(state.layout.size)
        add_priors(equations, problem, state, views)
        add_gentle_prior(equations, state, instants)
        add_landmarks(equations, problem, state, views, problem.posed(state), weight=1.0, contour_weight=0.0)
        state = state.moved(equations.solve(mask))
    return state


def landmark_residual_px(problem: Problem, state: HeadState, index: int) -> float:
    """Median distance of a view's landmarks from the mesh's, working pixels; nan where none were detected."""
    view = problem.views[index]
    if view.landmarks_px is None:
        return float("nan")
    vertices = problem.deformable.posed(problem.neutral(state), state.weights[view.instant])
    samples, weight = problem.landmarks_of(state, view)
    distance = np.linalg.norm(view.landmarks_px - project(samples.points(vertices), state, view).px, axis=1)
    return float(np.median(distance[weight > 0]))


def unwrap_views(
    problem: Problem,
    state: HeadState,
    chart: FaceChart,
    stage: DenseStage,
    pictures: list[WorkingPicture],
    views: list[int],
    displaced: Mapping[int, np.ndarray] | None = None,
) -> dict[int, Unwrapped]:
    """Each given view in the chart through its present mesh, pose and camera; `displaced` moves the meshes of instants by (V, 3)."""
    posed, triangles = problem.posed(state), drawn_triangles(problem.deformable.head)
    for v, view in enumerate(problem.views):
        if displaced and view.instant in displaced:
            posed[v] = posed[v] + displaced[view.instant]

    def one(v: int) -> Unwrapped:
        normals = vertex_normals(posed[v], triangles)
        camera = state.camera_in_head(problem.views[v])
        return unwrap(chart, posed[v], normals, triangles, camera, pictures[v].blurred(stage.blur_px), stage.window_texels)

    with ThreadPoolExecutor(num_cores()) as pool:
        return dict(zip(views, pool.map(one, views), strict=True))


def view_span_deg(problem: Problem, state: HeadState, views: list[int]) -> float:
    """Largest angle between the directions from which the head is seen."""
    return float(viewing_angles_deg(*_directions(problem, state, views)).max())


def _directions(problem: Problem, state: HeadState, views: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Camera centres (N, 3) and the middle of the face (3,), head frame."""
    centres = np.stack([state.camera_in_head(problem.views[v]).position_world for v in views])
    return centres, problem.landmarks.points(problem.neutral(state)).mean(0)


def choose_pairs(problem: Problem, state: HeadState, views: list[int]) -> list[tuple[int, int]]:
    """Pairs of view indices to match, by the angle between their directions in the head frame and by how alike their faces are.

    Where several cameras saw one instant, pairs within it tell the shape without any expression in between; one more pair links
    each such view to the calmest instant's view from nearest that side, which shows best how the expression moved the skin.
    """
    angles = viewing_angles_deg(*_directions(problem, state, views))
    instants = np.array([problem.views[v].instant for v in views])
    weights = state.weights[instants]
    unlike = np.linalg.norm(weights[:, None] - weights[None], axis=2)
    together, alone = instants[:, None] == instants[None], np.bincount(instants)[instants] == 1
    # Seen from one place, two like faces tell nothing, but two unlike ones how the face moved.
    angles_kept = np.where(unlike > MIN_UNLIKE, np.maximum(angles, MIN_ANGLE_DEG + 1e-6), angles)
    usable = together | alone[:, None] | alone[None]
    pairs = set(neighbour_pairs(np.where(usable, angles_kept, np.inf), 7 if len(views) <= 16 else 4, DEG_PER_UNLIKENESS * unlike))
    pairs |= _links_to_calm(angles, instants, alone, np.linalg.norm(weights, axis=1))
    return [(views[a], views[b]) for a, b in sorted(pairs)]


def _links_to_calm(angles_deg: np.ndarray, instants: np.ndarray, alone: np.ndarray, strength: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (a < b) of each view of a shared instant with the nearest view, from however near a side, of the calmest such instant."""
    shared = np.flatnonzero(~alone)
    if len(set(instants[shared].tolist())) < 2:
        return set()
    calm = instants[shared[strength[shared].argmin()]]
    among, links = np.flatnonzero(instants == calm), set[tuple[int, int]]()
    for a in shared[instants[shared] != calm]:
        b = int(among[angles_deg[a, among].argmin()])
        if angles_deg[a, b] < MAX_ANGLE_DEG:
            links.add((min(int(a), b), max(int(a), b)))
    return links


class StrideSamples:
    """Surface samples on every stride-th texel of a chart, taken once a stage."""

    def __init__(self, problem: Problem, chart: FaceChart, stride: int) -> None:
        on_grid = np.zeros_like(chart.mask)
        on_grid[::stride, ::stride] = True
        texels = chart.texel_index[on_grid & chart.mask]
        self._number = np.full(len(chart.corners), -1)
        self._number[texels] = np.arange(len(texels))
        self._texel_index = chart.texel_index
        deformable = problem.deformable
        self._samples = sample_surface(chart.corners[texels], chart.barycentric[texels], deformable.modes, deformable.shapes)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> SurfaceSamples:
        """Samples of N grid texels."""
        index = self._number[self._texel_index[rows, columns]]
        all_ = self._samples
        return SurfaceSamples(all_.corners[index], all_.barycentric[index], all_.modes[index], all_.shapes[index])


def find_matches(
    problem: Problem,
    state: HeadState,
    chart: FaceChart,
    grid: StrideSamples,
    stage: DenseStage,
    pictures: list[WorkingPicture],
    views: list[int],
    *,
    only: set[int] | None = None,
    displaced: Mapping[int, np.ndarray] | None = None,
) -> list[Matches]:
    """Unwrap the views and match neighbouring pairs; `only` keeps the pairs with one of those views.

    `displaced` is by how much the meshes of instants are moved (V, 3) beyond their expressions.
    """
    pairs = [pair for pair in choose_pairs(problem, state, views) if only is None or only & set(pair)]
    unwrapped = unwrap_views(problem, state, chart, stage, pictures, sorted({v for pair in pairs for v in pair}), displaced)
    per_pair = min(stage.max_matches, max(MIN_MATCHES_A_PAIR, MAX_MATCHES // max(len(pairs), 1)))

    def one(pair: tuple[int, int]) -> FlowMatches | None:
        return match_pair(unwrapped[pair[0]], unwrapped[pair[1]], stride=stage.stride, max_matches=per_pair)

    with ThreadPoolExecutor(num_cores()) as pool:
        found = list(pool.map(one, pairs))
    return [
        Matches(a, b, grid.at(flow.rows, flow.columns), flow.px_a, flow.px_b, flow.weight, flow.share)
        for (a, b), flow in zip(pairs, found, strict=True)
        if flow is not None
    ]


def solve_matches(
    problem: Problem,
    state: HeadState,
    stage: DenseStage,
    matches: list[Matches],
    views: list[int],
    free_views: list[int],
    outlines: Sequence[OutlineSamples] = (),
) -> tuple[HeadState, RoundReport]:
    """Gauss-Newton steps on one round's matches and outlines, with the landmarks of all views; of the free ones where poses alone are."""
    mask = free_columns(state.layout, stage.free, {problem.views[v].instant for v in free_views})
    # What landmarks of held views say of the shifts that all share matters to shape and expressions, not to a pose.
    told = free_views if stage.free == {"pose"} else views
    instants, trusts = sorted({problem.views[v].instant for v in views}), _trusts(problem, state, stage, matches, views)
    triangles, lengths, equations = problem.deformable.head.triangles, [], NormalEquations(state.layout.size)
    belief = 1.0
    for _ in range(stage.steps):
        equations = NormalEquations(state.layout.size)
        add_priors(equations, problem, state, views)
        if stage.sparse_expressions:
            add_expression_prior(equations, problem, state, instants)
        else:
            add_gentle_prior(equations, state, instants)
        posed = problem.posed(state)
        posed_by_instant = {view.instant: vertices for view, vertices in zip(problem.views, posed, strict=True)}
        normals_by_instant = {instant: vertex_normals(vertices, triangles) for instant, vertices in posed_by_instant.items()}
        normals = [normals_by_instant[view.instant] for view in problem.views]
        lengths = [
            add_matches(
                equations,
                problem,
                state,
                pair,
                posed,
                normals,
                weight=belief * stage.match_weight * trust,
                robust_px=stage.robust_px,
                shape_trust=shape,
            )
            for pair, (trust, shape) in zip(matches, trusts, strict=True)
        ]
        add_landmarks(equations, problem, state, told, posed, weight=stage.landmark_weight, contour_weight=stage.contour_weight)
        add_outlines(equations, problem, state, outlines, posed)
        belief = evidence(float(np.median(np.concatenate(lengths))))
        state = state.moved(shortened(equations.solve(mask, damping=DENSE_DAMPING), state.layout))
        if stage.sparse_expressions and "expression" in stage.free:
            state = with_rest(problem, state, instants)
    per_view = np.zeros(len(problem.views), int)
    for pair in matches:
        per_view[[pair.view_a, pair.view_b]] += len(pair.px_a)
    residual = float(np.median(np.concatenate(lengths))) if lengths else float("nan")
    return state, RoundReport(stage.name, len(matches), sum(map(len, lengths)), residual, equations.cost, per_view)


def shortened(step: np.ndarray, layout: Layout) -> np.ndarray:
    """A step (P,) so short that no focal length changes by more than MAX_FOCAL_STEP: the problem is not linear any further."""
    largest = np.abs(step[layout.focal(0) : layout.focal(layout.num_focals)]).max(initial=0.0)
    return step * min(1.0, MAX_FOCAL_STEP / max(largest, 1e-12))


def _trusts(
    problem: Problem, state: HeadState, stage: DenseStage, matches: list[Matches], views: list[int]
) -> list[tuple[float, np.ndarray | None]]:
    """Per pair of views how far its matches are believed at all, and (N,) each of them for the shape of the head at rest."""
    solved = [problem.views[v] for v in views]
    if not stage.sparse_expressions:
        calm = dict(zip(views, restfulness(state, solved), strict=True))
        return [(min(calm[m.view_a], calm[m.view_b]), None) for m in matches]
    weights, column = state.weights[[view.instant for view in solved]], {v: k for k, v in enumerate(views)}
    return [(1.0, shape_trust(displaced_mm(m.samples, weights), (column[m.view_a], column[m.view_b]))) for m in matches]


def evidence(median_residual_px: float) -> float:
    """Factor in [1, MAX_BELIEF] on the weight of matches: the variance that a stage expects over the one that it meets."""
    return float(np.clip((EXPECTED_RESIDUAL_PX / max(median_residual_px, 1e-3)) ** 2, 1.0, MAX_BELIEF))


def run_dense_stage(
    problem: Problem,
    state: HeadState,
    chart: FaceChart,
    stage: DenseStage,
    pictures: list[WorkingPicture],
    views: list[int],
    progress: Progress | None = None,
    skin: SkinMap | None = None,
) -> tuple[HeadState, RoundReport]:
    """All rounds of one stage; raises DegenerateGeometryError where the system is singular. Without matches the state stays.

    With a map of the skin, what is no skin or where views disagree is believed less, and the head's outlines count too.
    """
    grid = StrideSamples(problem, chart, stage.stride)
    report = RoundReport(stage.name, 0, 0, float("nan"), {}, np.zeros(len(problem.views), int))
    for done in range(stage.rounds):
        matches, outlines = find_matches(problem, state, chart, grid, stage, pictures, views), []
        if not matches:
            return state, report
        if skin is not None:
            outlines = sample_outlines(problem, find_outlines(problem, state, pictures, views), skin)
            matches = dataclasses.replace(skin, agreement=agreement_of(problem, state, matches)).trusted(matches, pictures)
        believing = problem.doubting_focals() if done < stage.doubting_rounds else problem
        state, report = solve_matches(believing, state, stage, matches, views, views, outlines)
        if progress is not None:
            progress(round_text(stage.name, report.num_matches, report.median_residual_px, report.cost), done + 1, stage.rounds)
    return state, report
