"""Views of another person: found by how little of their skin matches the other views, measured against what any face would match.

Faces are alike: brows, lids, lips and nostrils of two persons lie at the same places of the chart, and dense flow matches a third of
their skin. How much it is depends on light, sharpness and skin, so the measure is taken from the capture itself: a face and the mirror
image of the same face share light and structure, but no spot and no pore. A view that matches the others no better than their mirror
images do shows somebody else.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from scipy.spatial import KDTree

from assets.cores import num_cores
from recon.solve.bundle import unwrap_views
from recon.solve.chart import FaceChart, make_chart
from recon.solve.flow import match_pair, viewing_angles_deg
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem
from recon.solve.stages import DenseStage
from recon.solve.state import HeadState
from recon.solve.unwrap import MIN_COSINE, Unwrapped, normalise

# Views are compared with at most so many others, those from the nearest directions, and only where these are near enough to show
# the same skin as sharply: what flow loses to foreshortening says nothing about persons.
MAX_COMPARISONS, MAX_COMPARED_ANGLE_DEG = 5, 30.0
# Less skin than this in common, or less of what the smaller view shows, is not judged.
MIN_SHARED_TEXELS, MIN_SHARED = 1500, 0.3
# Mirror images that are compared with each view.
NUM_MIRRORED = 2
# Two views show one person where they match by so many times as much as mirror images do, and further from these than from a typical
# view's best by a third of the way (in the logarithm). Found on three rendered persons, the project's own and photos of two real men:
# strangers 0.3 to 1.08 times, the nearest view of the same person 1.57 times and more, typical ones 2.3.
MIN_TIMES_MIRRORED, PART_OF_THE_WAY = 1.3, 1 / 3
# On a coarse chart persons match each other by 0.6 at most. Where all views hang together by more than this, nobody is a stranger, and
# the finer comparison, which takes seconds, is left out.
CLEAR_SHARE = 0.75
# A group of views that match one another but not the rest is another person only where it is small: one person on two days is as well
# two groups. Its share of the largest group; a single view is judged by three others.
MAX_GROUP_SHARE, MIN_MAIN_GROUP = 0.25, 3

ANOTHER_PERSON = "rejected: another person: {:.0f} % of the skin matches the other views, whose mirror images match by {:.0f} %"
TWO_GROUPS_NOTE = (
    "The pictures fall into groups of {} that hardly match each other: one person in quite different light or on different days, or "
    "different persons."
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How much of the skin that two views have in common dense flow matches."""

    a: int
    b: int
    share: float


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Which views show somebody else."""

    strangers: dict[int, str]
    """Reasons by view index."""
    note: str = ""
    """For the user, where the pictures fall into large groups; "" else."""


def find_strangers(
    problem: Problem,
    state: HeadState,
    pictures: list[WorkingPicture],
    views: list[int],
    trusted: set[int],
    *,
    screening: DenseStage,
    stage: DenseStage,
) -> Judgement:
    """Judge the posed `views`; those in `trusted` (a rig's) are known to be of one person and never rejected.

    The stages say how finely to compare: `screening` in order to see that all is well, `stage` (texels of a millimetre, at which pores
    and spots count) where that is not clear. Without views near enough to compare with, nothing is said about a view.
    """
    if len(views) <= MIN_MAIN_GROUP or not set(views) - trusted:
        return Judgement({})
    directions = view_directions(problem, state, views)
    pairs = nearest_pairs(views, directions, directions, MAX_COMPARISONS)
    chart = make_chart(problem.deformable.head, screening.texel_mm)
    unwrapped = unwrap_views(problem, state, chart, screening, pictures, views)
    clear = [pair for pair in compare_views(unwrapped, unwrapped, pairs) if pair.share > CLEAR_SHARE]
    if len(_groups(views, clear, trusted)) == 1:
        return Judgement({})
    chart = make_chart(problem.deformable.head, stage.texel_mm)
    unwrapped = unwrap_views(problem, state, chart, stage, pictures, views)
    mirror = _mirror(chart, problem)
    mirrored = {v: _mirrored(unwrapped[v], chart, mirror, pictures[v].blurred(stage.blur_px), stage.window_texels) for v in views}
    null = compare_views(unwrapped, mirrored, nearest_pairs(views, directions, directions * [-1.0, 1.0, 1.0], NUM_MIRRORED))
    return judge(views, compare_views(unwrapped, unwrapped, pairs), null, trusted)


def judge(views: list[int], compared: list[Comparison], null: list[Comparison], trusted: set[int]) -> Judgement:
    """Group the views by whom they match, and tell small groups apart from the largest."""
    mirrored = _best({v: [] for v in views}, null)
    known = [share for share in mirrored.values() if np.isfinite(share)]
    if not known:
        return Judgement({})
    # The typical view's best mirror image: one more than typically alike face must not make a stranger of a view.
    level = float(np.median(known))
    limit = level * max(MIN_TIMES_MIRRORED, _typical_times(views, compared, level) ** PART_OF_THE_WAY)
    groups = _groups(views, [pair for pair in compared if pair.share > limit], trusted)
    main = groups[0]
    strangers: dict[int, str] = {}
    others = []
    for group in groups[1:]:
        across = [pair for pair in compared if (pair.a in group) != (pair.b in group) and (pair.a in main or pair.b in main)]
        if not across or group & trusted:
            continue
        if len(group) <= max(MAX_GROUP_SHARE * len(main), 1) and len(main) >= MIN_MAIN_GROUP:
            best = _best({v: [] for v in group}, across)
            strangers |= {v: ANOTHER_PERSON.format(100 * share, 100 * level) for v, share in best.items() if np.isfinite(share)}
        elif len(group) > 1:
            others.append(len(group))
    sizes = " and ".join(str(size) for size in (len(main), *others))
    return Judgement(dict(sorted(strangers.items())), TWO_GROUPS_NOTE.format(sizes) if others else "")


def _typical_times(views: list[int], compared: list[Comparison], level: float) -> float:
    """How many times as much as mirror images the typical view's best match has in common with it."""
    best = [share for share in _best({v: [] for v in views}, compared).values() if np.isfinite(share)]
    return float(np.median(best)) / max(level, 1e-3) if best else 1.0


def _groups(views: list[int], linked: list[Comparison], trusted: set[int]) -> list[set[int]]:
    """Views that are linked directly or by others, the largest group first; what is trusted is one group."""
    group_of = {v: {v} for v in views}
    anchors = sorted(trusted & set(views))
    for a, b in [(pair.a, pair.b) for pair in linked] + [(anchors[0], v) for v in anchors[1:]]:
        if group_of[a] is not group_of[b]:
            joined = group_of[a] | group_of[b]
            group_of |= dict.fromkeys(joined, joined)
    groups = {id(group): group for group in group_of.values()}.values()
    return sorted(groups, key=lambda group: (-len(group & trusted), -len(group), min(group)))


def _best(shares: dict[int, list[float]], compared: list[Comparison]) -> dict[int, float]:
    """The largest share of each view's comparisons; nan where it has none."""
    for pair in compared:
        for v in (pair.a, pair.b):
            if v in shares:
                shares[v].append(pair.share)
    return {v: max(found, default=float("nan")) for v, found in shares.items()}


def view_directions(problem: Problem, state: HeadState, views: list[int]) -> np.ndarray:
    """(N, 3) from the middle of the face to each camera, head frame."""
    middle = problem.landmarks.points(problem.neutral(state)).mean(0)
    return np.stack([state.camera_in_head(problem.views[v]).position_world for v in views]) - middle


def nearest_pairs(views: list[int], directions: np.ndarray, others: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Pairs of each view with those of the nearest directions; (a, b) and (b, a) are one."""
    both = np.concatenate([directions, others])
    angles = viewing_angles_deg(both, np.zeros(3))[: len(views), len(views) :]
    pairs: set[tuple[int, int]] = set()
    for a, row in enumerate(angles):
        near = [int(b) for b in np.argsort(row, kind="stable") if b != a and row[b] < MAX_COMPARED_ANGLE_DEG]
        pairs |= {(min(views[a], views[b]), max(views[a], views[b])) for b in near[:count]}
    return sorted(pairs)


def compare_views(first: dict[int, Unwrapped], second: dict[int, Unwrapped], pairs: list[tuple[int, int]]) -> list[Comparison]:
    """The pairs that have enough skin in common to be compared."""

    def one(pair: tuple[int, int]) -> float | None:
        return _share(first[pair[0]], second[pair[1]])

    with ThreadPoolExecutor(num_cores()) as pool:
        shares = list(pool.map(one, pairs))
    return [Comparison(a, b, share) for (a, b), share in zip(pairs, shares, strict=True) if share is not None]


def _share(a: Unwrapped, b: Unwrapped) -> float | None:
    """Of the skin that both show, how much flow matches; None where that is too little skin to say."""
    shared = (a.mask & b.mask).sum()
    if shared < MIN_SHARED_TEXELS or shared < MIN_SHARED * min(a.mask.sum(), b.mask.sum()):
        return None
    found = match_pair(a, b, stride=1, max_matches=1000)
    return 0.0 if found is None else found.share


@dataclasses.dataclass(frozen=True, eq=False)
class _Mirror:
    """For each texel (N,) of a chart, the four texels nearest to its mirror image on the average head."""

    index: np.ndarray
    """(N, 4) int."""
    weight: np.ndarray
    """(N, 4), sums to 1; all 0 where the chart has no skin there."""


def _mirror(chart: FaceChart, problem: Problem) -> _Mirror:
    points = chart.at_texels(problem.deformable.head.vertices).astype(np.float64)
    distance, index = KDTree(points).query(points * [-1.0, 1.0, 1.0], k=4)
    weight = 1.0 / np.maximum(distance, 1e-5) ** 2
    weight /= weight.sum(1, keepdims=True)
    # Further than a texel and a half there is no skin opposite, only its edge.
    weight[distance[:, 0] > 1.5e-3 * chart.texel_mm] = 0.0
    return _Mirror(np.asarray(index), weight)


def _mirrored(view: Unwrapped, chart: FaceChart, mirror: _Mirror, grey: np.ndarray, window_texels: float) -> Unwrapped:
    """A view in the chart as a mirror would show it: every texel takes the picture's place of its mirror image."""
    px, cosine = view.px[chart.mask], view.cosine[chart.mask]
    is_seen = (cosine[mirror.index] > 0).all(1)
    px = (px[mirror.index] * mirror.weight[..., None]).sum(1).astype(np.float32)
    cosine = ((cosine[mirror.index] * mirror.weight).sum(1) * is_seen).astype(np.float32)
    px_grid, cosine_grid = chart.grid(px, fill=-1e4), chart.grid(cosine)
    # cv2 counts pixel centres at 0, we at +0.5.
    texture = cv2.remap(grey, px_grid[..., 0] - 0.5, px_grid[..., 1] - 0.5, cv2.INTER_LINEAR)
    return Unwrapped(cosine_grid, px_grid, normalise(texture, cosine_grid > MIN_COSINE, window_texels))
