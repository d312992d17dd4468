"""The normal sweep and what is solved from it, on an egg with a planted bump seen by five known cameras."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from assets.head_model import PARTS
from assets.laplacian import uniform_laplacian
from recon.solve.chart import FaceChart, make_chart
from recon.solve.deformable import make_deformable
from recon.solve.freeform import FreeFormStage, solve_offsets
from recon.solve.height_modes import solve_modes
from recon.solve.problem import Problem
from recon.solve.residuals import sample_surface
from recon.solve.smoothness import WIDTHS_M, choose_width_m
from recon.solve.state import HeadState, SolveView
from recon.solve.surface_rows import SurfaceRows, height_surface_rows
from recon.solve.sweep import Heights, SweepLevel, SweepResult, SweptView, best_heights, sweep
from recon.solve.swept import Swept
from render import Camera, RayScene, look_at, vertex_normals
from tests.recon.toy_head import toy_head

LEVEL = SweepLevel(texel_mm=1.0, blur_px=0.5, window_texels=9, reach_mm=3.0, steps=17)
BUMP_M, WIDTH_M, PATCH_M = 0.002, 0.014, 0.016
HEAD = toy_head(48, 64)
TARGET = np.array([0.0, 0.0, 0.05])


def face_point(x: float, y: float) -> np.ndarray:
    """Where a ray towards -Z meets the egg."""
    hit = RayScene(HEAD.vertices, HEAD.triangles).cast(np.array([[x, y, 1.0]]), np.array([[0.0, 0.0, -1.0]]))
    return np.array([x, y, 1.0 - float(hit.distance[0])])


BUMP_AT, PLAIN_AT = face_point(0.028, 0.012), face_point(-0.03, -0.02)
"""The subject's left of the nose, and right of it: nothing here is symmetric."""


def bump(points: np.ndarray) -> np.ndarray:
    """(N,) metres."""
    return BUMP_M * np.exp(-0.5 * (np.linalg.norm(points - BUMP_AT, axis=1) / WIDTH_M) ** 2)


def skin_grey(points: np.ndarray, *, plain_patch: bool) -> np.ndarray:
    """(N,) grey of a made-up skin at points of the egg: waves of 5 to 15 mm, fading to flat in the plain patch."""
    rng = np.random.default_rng(5)
    waves, phase = rng.normal(size=(60, 3)), rng.uniform(0, 2 * np.pi, 60)
    waves *= (2 * np.pi / rng.uniform(0.005, 0.015, 60) / np.linalg.norm(waves, axis=1))[:, None]
    pattern = np.sin(points @ waves.T + phase).sum(1) * 8
    if plain_patch:
        pattern *= np.clip((np.linalg.norm(points - PLAIN_AT, axis=1) - PATCH_M) / 0.003, 0, 1)
    return 128 + pattern


def cameras() -> list[Camera]:
    up = np.array([0.0, 1.0, 0.0])
    return [
        look_at(TARGET + 0.6 * np.array([np.sin(a), 0.15 * s, np.cos(a)]), TARGET, up=up, focal_px=1500.0, width=440, height=460)
        for a, s in zip(np.radians([-34.0, -15.0, 3.0, 19.0, 36.0]), (1, -1, 2, 0, 1), strict=True)
    ]


def photographed(height_m: np.ndarray, *, plain_patch: bool = False) -> list[SweptView]:
    """Views of the egg with its skin lifted by heights (V,), seen through the mesh without them."""
    normals = vertex_normals(HEAD.vertices, HEAD.triangles)
    scene, rng, views = RayScene(HEAD.vertices + height_m[:, None] * normals, HEAD.triangles), np.random.default_rng(1), []
    for camera in cameras():
        x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        rays = np.stack([(x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1], np.ones_like(x)], -1)
        directions = rays.reshape(-1, 3) @ camera.T_cam_world[:3, :3]
        hits = scene.cast(np.broadcast_to(camera.position_world, directions.shape), directions)
        found = np.isfinite(hits.distance)
        corners = HEAD.vertices[HEAD.triangles[hits.triangle_index[found]]]
        grey = np.full(len(directions), 20.0, np.float32)
        grey[found] = skin_grey(np.einsum("nk,nkc->nc", hits.barycentric[found], corners), plain_patch=plain_patch)
        picture = grey.reshape(camera.height, camera.width) + rng.normal(0, 1.0, x.shape).astype(np.float32)
        views.append(SweptView(HEAD.vertices, camera, cv2.GaussianBlur(picture, (0, 0), LEVEL.blur_px)))
    return views


@pytest.fixture(scope="module")
def chart() -> FaceChart:
    return make_chart(HEAD, LEVEL.texel_mm)


@pytest.fixture(scope="module")
def pictures() -> list[SweptView]:
    return photographed(bump(HEAD.vertices), plain_patch=True)


@pytest.fixture(scope="module")
def bumped(chart: FaceChart, pictures: list[SweptView]) -> SweepResult:
    return sweep(chart, pictures, HEAD.triangles, TARGET, LEVEL)


@pytest.fixture(scope="module")
def level_head(chart: FaceChart) -> SweepResult:
    return sweep(chart, photographed(np.zeros(HEAD.num_vertices)), HEAD.triangles, TARGET, LEVEL)


def normals_of(chart: FaceChart) -> np.ndarray:
    normals = chart.at_texels(vertex_normals(HEAD.vertices, HEAD.triangles)).astype(np.float64)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def rows_of(chart: FaceChart, found: SweepResult) -> tuple[SurfaceRows, SurfaceRows, SurfaceRows]:
    """All, kept and held out."""
    each = (found.heights, found.kept, found.held_out)
    all_, kept, held = (height_surface_rows(chart, h, normals_of(chart), stride=2, noise_m=5e-5, robust_m=1.5e-4) for h in each)
    return all_, kept, held


def front(chart: FaceChart) -> np.ndarray:
    """(N,) bool: texels that all cameras see squarely."""
    return normals_of(chart)[:, 2] > 0.75


def test_heights_of_a_planted_bump_are_found_to_a_twentieth_of_a_millimetre(chart, bumped):
    points = chart.at_texels(HEAD.vertices)
    known = bumped.heights.known & front(chart) & (np.linalg.norm(points - PLAIN_AT, axis=1) > PATCH_M + 0.012)
    assert known.sum() > 0.9 * (front(chart) & (np.linalg.norm(points - PLAIN_AT, axis=1) > PATCH_M + 0.012)).sum()
    error_mm = 1e3 * np.abs(bumped.heights.height_m - bump(points))[known]
    top = bump(points)[known] > 0.9 * BUMP_M
    assert np.median(error_mm) < 0.05 and np.quantile(error_mm, 0.95) < 0.2
    assert top.sum() > 50 and np.median(error_mm[top]) < 0.2, "the sign and size of the bump, not only its surroundings"
    assert error_mm[top].max() < 0.5


def test_plain_skin_is_unknown_or_at_least_known_to_be_vague(chart, bumped):
    points = chart.at_texels(HEAD.vertices)
    # Patches are up to 13 mm wide where the chart is stretched.
    plain = np.linalg.norm(points - PLAIN_AT, axis=1) < PATCH_M - 0.010
    textured = front(chart) & (np.linalg.norm(points - PLAIN_AT, axis=1) > PATCH_M + 0.012)
    assert plain.sum() > 60
    assert bumped.heights.known[plain].mean() < 0.05 < 0.9 < bumped.heights.known[textured].mean()


def test_offsets_follow_the_bump_and_stay_smooth_over_plain_skin(chart, bumped, pictures):
    all_, kept, held = rows_of(chart, bumped)
    present = np.zeros_like(HEAD.vertices)
    width = choose_width_m(HEAD, [kept], [held], present)
    assert width is not None and width <= 0.004
    once = solve_offsets(HEAD, [all_], present, FreeFormStage(width_m=width))
    # Patches compare better once the surface under them is about right.
    moved = [dataclasses.replace(view, vertices=HEAD.vertices + once) for view in pictures]
    again = sweep(chart, moved, HEAD.triangles, TARGET, LEVEL)
    offsets = solve_offsets(HEAD, [rows_of(chart, again)[0]], once, FreeFormStage(width_m=width))
    normals = vertex_normals(HEAD.vertices, HEAD.triangles)
    along = (offsets * normals).sum(1)
    near_bump = (np.linalg.norm(HEAD.vertices - BUMP_AT, axis=1) < 0.012) & (HEAD.vertex_parts == PARTS.index("skin"))
    assert near_bump.sum() > 5
    first, second = (1e3 * np.abs((o * normals).sum(1) - bump(HEAD.vertices))[near_bump] for o in (once, offsets))
    assert second.max() < 0.4 and second.mean() < 0.22 and second.mean() < first.mean(), "of a bump of 2 mm"
    plain = np.linalg.norm(HEAD.vertices - PLAIN_AT, axis=1) < PATCH_M - 0.004
    assert plain.sum() > 20 and 1e3 * np.abs(along[plain]).max() < 0.15, "nothing is invented where there is nothing to see"
    roughness = np.abs(uniform_laplacian(HEAD.triangles, HEAD.num_vertices) @ along)
    assert 1e3 * roughness[plain].max() < 0.03


def test_a_head_that_its_model_explains_loses_nothing(chart, level_head):
    all_, kept, held = rows_of(chart, level_head)
    assert len(kept.weight) > 2000 and len(held.weight) > 1000
    present = np.zeros_like(HEAD.vertices)
    width = choose_width_m(HEAD, [kept], [held], present)
    if width is not None:
        offsets_mm = 1e3 * np.linalg.norm(solve_offsets(HEAD, [all_], present, FreeFormStage(width_m=width)), axis=1)
        facing = vertex_normals(HEAD.vertices, HEAD.triangles)[:, 2] > 0.75
        assert np.median(offsets_mm[facing]) < 0.01 and offsets_mm.max() < 0.1


def test_a_second_look_is_judged_from_the_offsets_that_are_there(chart, bumped):
    """Half of the bump is there already: stiff widths would undo it, and yet the rest has to be found."""
    all_, kept, held = rows_of(chart, bumped)
    present = solve_offsets(HEAD, [all_], np.zeros_like(HEAD.vertices), FreeFormStage(width_m=0.002)) / 2
    normals = vertex_normals(HEAD.vertices, HEAD.triangles)
    rest = [
        dataclasses.replace(r, residual=r.residual - np.einsum("nk,nk->n", (present * normals).sum(1)[r.corners], r.barycentric)[:, None])
        for r in (kept, held)
    ]
    width = choose_width_m(HEAD, rest[:1], rest[1:], present)
    assert width is not None and width <= 0.004


def test_noise_that_pairs_do_not_share_is_not_followed(chart, level_head):
    """Heights that are noise of a tenth of a millimetre, another for kept and held out ones, ask for no offsets."""
    _, kept, held = rows_of(chart, level_head)
    rng = np.random.default_rng(8)
    noisy = [dataclasses.replace(r, residual=rng.normal(0, 1e-4, r.residual.shape)) for r in (kept, held)]
    assert choose_width_m(HEAD, noisy[:1], noisy[1:], np.zeros_like(HEAD.vertices)) is None
    shared = [dataclasses.replace(r, residual=3e-4 * np.sin(HEAD.vertices[r.corners[:, :1], 1] / 0.012)) for r in noisy]
    assert choose_width_m(HEAD, shared[:1], shared[1:], np.zeros_like(HEAD.vertices)) is not None


def test_the_chosen_width_is_the_one_that_is_nearest_to_the_truth(chart, bumped):
    all_, kept, held = rows_of(chart, bumped)
    present = np.zeros_like(HEAD.vertices)
    truth, normals = bump(HEAD.vertices), vertex_normals(HEAD.vertices, HEAD.triangles)
    seen = np.unique(all_.corners)

    def error(width: float) -> float:
        offsets = solve_offsets(HEAD, [all_], present, FreeFormStage(width_m=width))
        return float(np.sqrt(np.mean(((offsets * normals).sum(1) - truth)[seen] ** 2)))

    chosen = choose_width_m(HEAD, [kept], [held], present)
    assert chosen is not None and error(chosen) < 1.15 * min(error(width) for width in WIDTHS_M)


def test_one_sweep_is_like_the_other(chart, bumped, pictures):
    again = sweep(chart, pictures, HEAD.triangles, TARGET, LEVEL)
    for one, other in zip(dataclasses.astuple(bumped.heights), dataclasses.astuple(again.heights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_offsets_wrong_in_a_tenth_of_the_texels_are_still_right(chart, bumped):
    all_, _, _ = rows_of(chart, bumped)
    spoilt = all_.residual.copy()
    spoilt[::10] += 0.002
    rows = dataclasses.replace(all_, residual=spoilt)
    clean, found = (solve_offsets(HEAD, [r], np.zeros_like(HEAD.vertices), FreeFormStage(width_m=0.0028)) for r in (all_, rows))
    seen = np.unique(all_.corners)
    assert 1e3 * np.median(np.linalg.norm(found - clean, axis=1)[seen]) < 0.03


def test_measurements_without_weight_change_nothing_however_many_they_are(chart, bumped):
    """Three in four lie on hair: the others' confidence is clipped at their own median, which is not zero."""
    all_, _, _ = rows_of(chart, bumped)
    hair = np.arange(len(all_.weight)) % 4 != 0
    masked = dataclasses.replace(all_, weight=np.where(hair, 0.0, all_.weight), residual=np.where(hair[:, None], 0.5, all_.residual))
    present, stage = np.zeros_like(HEAD.vertices), FreeFormStage(width_m=0.0028)
    alone = solve_offsets(HEAD, [all_.taken(~hair)], present, stage)
    np.testing.assert_array_equal(solve_offsets(HEAD, [masked], present, stage), alone)
    assert 1e3 * np.abs(alone).max() > 1.0


def test_offsets_continue_from_those_that_are_there(chart, bumped):
    """The rows are about the mesh with its present offsets: heights zero mean that these are right as they are."""
    all_, _, _ = rows_of(chart, bumped)
    normals = vertex_normals(HEAD.vertices, HEAD.triangles)
    present = (bump(HEAD.vertices)[:, None] * normals).astype(np.float32)
    settled = dataclasses.replace(all_, residual=np.zeros_like(all_.residual))
    offsets = solve_offsets(HEAD, [settled], present, FreeFormStage(width_m=0.002))
    seen = np.unique(all_.corners)
    assert 1e3 * np.linalg.norm((offsets - present)[seen], axis=1).max() < 0.2, "of a bump of 2 mm"


def test_the_same_measurements_give_the_same_offsets_to_the_bit(chart, bumped):
    all_, kept, held = rows_of(chart, bumped)
    present, stage = np.zeros_like(HEAD.vertices), FreeFormStage(width_m=0.0028)
    one, other = (solve_offsets(HEAD, [all_, kept], present, stage) for _ in range(2))
    assert one.tobytes() == other.tobytes() and 1e3 * np.abs(one).max() > 1.0
    widths = [choose_width_m(HEAD, [kept], [held], present, finest_m=0.0028) for _ in range(2)]
    assert widths[0] == widths[1] and widths[0] is not None and widths[0] >= 0.0028


def test_beyond_what_is_measured_offsets_fade_and_never_overshoot(chart, bumped):
    """A beard hides the skin beside a slope: the offsets neither run on along it nor stay."""
    all_, _, _ = rows_of(chart, bumped)
    position = np.einsum("nk,nkc->nc", all_.barycentric, HEAD.vertices[all_.corners].astype(np.float64))
    slope = np.clip(0.03 - np.abs(position[:, 0]), 0, None)[:, None] / 10
    rows = dataclasses.replace(all_, residual=slope).taken(position[:, 1] > 0.0)
    offsets = solve_offsets(HEAD, [rows], np.zeros_like(HEAD.vertices), FreeFormStage(width_m=0.002))
    size_mm, below = 1e3 * np.linalg.norm(offsets, axis=1), HEAD.vertices[:, 1]
    skin = HEAD.vertex_parts == PARTS.index("skin")
    measured = size_mm[skin & (below > 0.002)].max()
    assert measured > 1.0 and size_mm[skin & (below < -0.002)].max() < 1.1 * measured
    assert size_mm[skin & (below < -0.04)].max() < 0.1 * measured


def test_the_top_of_a_parabola_is_found_between_two_steps():
    level = SweepLevel(1.0, 1.0, 9, 2.0, 9)
    truth = np.array([0.0003, -0.0011, 0.00085])
    scores = 0.9 - ((level.heights_m[:, None] - truth) / 0.004) ** 2
    found = best_heights(scores, np.ones(3, np.float32), level)
    np.testing.assert_allclose(found.height_m, truth, atol=1e-6)


def test_a_top_at_the_end_of_the_range_and_two_equal_tops_are_not_believed():
    level = SweepLevel(1.0, 1.0, 9, 2.0, 9)
    h = level.heights_m[:, None]
    end = 0.9 - ((h - 0.0025) / 0.004) ** 2
    two = np.maximum(0.9 - ((h + 0.001) / 0.001) ** 2, 0.88 - ((h - 0.001) / 0.001) ** 2)
    weak = 0.2 - ((h - 0.0005) / 0.004) ** 2
    good = 0.9 - ((h - 0.0005) / 0.002) ** 2
    found = best_heights(np.concatenate([end, two, weak, good], 1), np.ones(4, np.float32), level)
    assert found.known.tolist() == [False, False, False, True]


def test_without_measurements_there_are_no_offsets():
    rows = SurfaceRows(np.zeros((0, 3), np.int64), np.zeros((0, 3)), np.zeros((0, 1, 3)), np.zeros((0, 1)), np.zeros(0), 1e-4, 1e-4)
    assert choose_width_m(HEAD, [rows], [rows], np.zeros_like(HEAD.vertices)) is None
    offsets = solve_offsets(HEAD, [rows], np.zeros_like(HEAD.vertices), FreeFormStage())
    assert offsets.shape == HEAD.vertices.shape and not offsets.any()


def _half_swept(chart: FaceChart) -> Swept:
    """Heights of 1 mm on the subject's right half of the face, nothing on the left but views that see it."""
    right = chart.at_texels(HEAD.vertices)[:, 0] < 0.0
    height = np.where(right, 0.001, 0.0).astype(np.float32)
    heights = Heights(height, np.where(right, 1e-4, np.inf).astype(np.float32), np.full(len(right), 0.9, np.float32))
    found = SweepResult(heights, heights, heights, seen=np.ones(len(right), bool))
    return Swept(chart, found, normals_of(chart), LEVEL, np.ones(HEAD.num_vertices))


def test_where_the_sweep_is_silent_the_surface_found_before_holds_the_modes(chart):
    deformable = make_deformable(HEAD)
    landmarks = sample_surface(HEAD.triangles[:5].astype(np.int64), np.full((5, 3), 1 / 3), deformable.modes, deformable.shapes)
    view = SolveView("v", 0, 0, np.full(2, 700.0), np.full(2, 170.0), np.eye(4), 340, 340, None)
    problem = Problem(deformable, (view,), landmarks, np.ones(5), np.zeros(5, bool), np.array([0.1]), has_scale=True)
    no_weights = np.zeros((1, len(deformable.shapes)))
    state = HeadState(np.zeros(len(deformable.modes)), 0.0, np.zeros(1), np.eye(3)[None], np.zeros((1, 3)), no_weights)
    swept, present = _half_swept(chart), problem.neutral(state)
    silent = swept.silent_rows(present, present, 4)
    left = chart.corners[chart.at_texels(HEAD.vertices)[:, 0] > 0.02]

    def moved_mm(rows: SurfaceRows | None) -> tuple[float, float]:
        """Median movement of the left half and of all that was measured, in the world."""
        solved = solve_modes(problem, state, swept, stride=2, silent=rows)
        T_world_head = solved.T_world_head(0)
        moved = problem.neutral(solved) @ T_world_head[:3, :3].T + T_world_head[:3, 3] - present
        size = 1e3 * np.abs((moved * vertex_normals(present, HEAD.triangles)).sum(1))
        return float(np.median(size[left])), float(np.median(size[chart.corners[swept.found.heights.known]]))

    (free, measured_free), (held, measured_held) = moved_mm(None), moved_mm(silent)
    assert len(silent.weight) > 300
    assert held < 0.5 * free and measured_held > 0.7 * measured_free > 0.5
    # Moved by flow's own answer, the same rows ask for that and not for what is there.
    lifted = swept.silent_rows(present + 0.002 * vertex_normals(present, HEAD.triangles), present, 4)
    np.testing.assert_allclose(np.median(lifted.residual), 0.002, rtol=0.02)
