"""Scalp and neck: charts around the face, silhouettes, and what is not skin."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial import KDTree

from assets.drawn import drawn_triangles
from assets.head_model import PARTS, REGIONS
from recon.solve.chart import CUT_M, FACE_MARGIN_M, surround_charts
from recon.solve.deformable import DeformableHead, make_deformable
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches, Problem
from recon.solve.residuals import project, sample_surface
from recon.solve.silhouette import (
    EdgeProfiles,
    before_background,
    find_edges,
    find_outline,
    outline_rows,
    rim_points,
)
from recon.solve.skin_colour import fit_skin_colour
from recon.solve.stages import SurroundStage
from recon.solve.state import HeadState, SolveView
from recon.solve.surround import fit_surround, surround_basis
from recon.solve.unlike_skin import LABELS, MAX_SKIN_DISTANCE, SkinMap, agreement_of, map_skin
from render import RayScene, vertex_normals
from render.camera import Camera, look_at
from tests.recon.toy_head import sphere, toy_head

SKIN, HAIR, WALL = np.array([176.0, 128.0, 104.0]), np.array([38.0, 33.0, 31.0]), np.array([92.0, 118.0, 150.0])
SIZE_PX, FOCAL_PX, DISTANCE_M = 340, 700.0, 0.75
YAWS_DEG = (-85.0, -60.0, -35.0, -12.0, 15.0, 38.0, 63.0, 88.0)
MIDDLE = np.array([0.0, -0.01, -0.07])


def _camera(yaw_deg: float) -> Camera:
    yaw = np.radians(yaw_deg)
    position = MIDDLE + DISTANCE_M * np.array([np.sin(yaw), 0.1, np.cos(yaw)])
    return look_at(position, MIDDLE, focal_px=FOCAL_PX, width=SIZE_PX, height=SIZE_PX)


def _problem(deformable: DeformableHead, cameras: list[Camera]) -> tuple[Problem, HeadState]:
    """All views of one instant, the head at the world's origin."""
    head = deformable.head
    views = tuple(
        SolveView(f"v{i}", 0, 0, camera.K[[0, 1], [0, 1]], camera.K[:2, 2], camera.T_cam_world, camera.width, camera.height, None)
        for i, camera in enumerate(cameras)
    )
    corners = head.triangles[:5].astype(np.int64)
    landmarks = sample_surface(corners, np.full((5, 3), 1 / 3), deformable.modes, deformable.shapes)
    problem = Problem(deformable, views, landmarks, np.ones(5), np.zeros(5, bool), np.array([0.1]), has_scale=True)
    num_modes, num_shapes = len(deformable.modes), len(deformable.shapes)
    state = HeadState(np.zeros(num_modes), 0.0, np.zeros(1), np.eye(3)[None], np.zeros((1, 3)), np.zeros((1, num_shapes)))
    return problem, state


def _picture(vertices: np.ndarray, colours: np.ndarray, triangles: np.ndarray, camera: Camera, seed: int) -> WorkingPicture:
    """Flat-lit picture of vertex colours (V, 3) before a wall, by four rays a pixel, with noise."""
    scene, total = RayScene(vertices, triangles), np.zeros((SIZE_PX, SIZE_PX, 3))
    x, y = np.meshgrid(np.arange(SIZE_PX), np.arange(SIZE_PX))
    normals = vertex_normals(vertices, triangles)
    for dx, dy in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        px = np.stack([x + dx, y + dy], -1).reshape(-1, 2)
        in_cam = np.concatenate([(px - camera.K[:2, 2]) / FOCAL_PX, np.ones((len(px), 1))], 1)
        hits = scene.cast(camera.position_world, in_cam @ camera.T_cam_world[:3, :3])
        hit = np.isfinite(hits.distance)
        corners = triangles[hits.triangle_index[hit]]
        light = 0.75 + 0.25 * (normals[corners] * hits.barycentric[hit][..., None]).sum(1)[:, 1]
        sample = np.tile(WALL, (len(px), 1))
        sample[hit] = (colours[corners] * hits.barycentric[hit][..., None]).sum(1) * light[:, None]
        total += sample.reshape(SIZE_PX, SIZE_PX, 3) / 4
    noisy = np.clip(total + np.random.default_rng(seed).normal(0, 2.0, total.shape), 0, 255).astype(np.uint8)
    return WorkingPicture(noisy.astype(np.float32).mean(2), np.zeros(2), 1.0, noisy)


def _skin_colours(head) -> np.ndarray:
    return np.tile(SKIN, (head.num_vertices, 1))


def test_charts_around_the_face_lie_on_scalp_and_neck_and_no_further_into_the_face_than_their_margin():
    head = toy_head()
    charts = surround_charts(head, 3.0)
    scalp = head.vertices[(head.vertex_regions == REGIONS.index("scalp")) & (head.vertex_parts == PARTS.index("skin"))]
    covered = np.zeros(head.num_vertices, bool)
    for chart in charts:
        covered[chart.corners] = True
        points = chart.at_texels(head.vertices)
        assert KDTree(scalp).query(points)[0].max() < FACE_MARGIN_M + 0.008
        assert points[:, 1].min() > head.vertices[:, 1].min() + CUT_M - 1e-6
    above = scalp[:, 1] > head.vertices[:, 1].min() + 0.03
    index = np.flatnonzero((head.vertex_regions == REGIONS.index("scalp")) & (head.vertex_parts == PARTS.index("skin")))
    # What no texel touches are rims between sides and what the cut hides.
    assert covered[index[above]].mean() > 0.97


def test_texels_of_a_side_are_as_large_as_asked_and_the_subjects_left_comes_first():
    head = toy_head()
    left, right = surround_charts(head, 3.0)[:2]
    assert left.at_texels(head.vertices)[:, 0].min() > 0 > right.at_texels(head.vertices)[:, 0].max()
    position = left.grid(left.at_texels(head.vertices).astype(np.float64), fill=np.nan)
    # Seen from the left the columns go backwards along z and the rows down: neighbours are 3 mm apart in projection.
    np.testing.assert_allclose(np.nanmedian(np.diff(position[..., 2], axis=1)), -0.003, atol=1e-5)
    np.testing.assert_allclose(np.nanmedian(np.diff(position[..., 1], axis=0)), -0.003, atol=1e-5)


def test_rim_of_a_ball_is_the_circle_that_geometry_gives_and_its_normals_point_outwards():
    unit, triangles, _, _ = sphere(60, 80, (0, 0, 1, 1))
    vertices, camera = 0.1 * unit + (0.01, -0.02, 0.03), _camera(20.0)
    rim = rim_points(vertices, unit, triangles, np.ones(len(unit), bool), camera, RayScene(vertices, triangles))
    # Points where the line of sight is perpendicular to the normal lie on a circle of radius r sqrt(1 - (r/d)^2) at depth d - r^2/d.
    distance = np.linalg.norm(camera.position_world - (0.01, -0.02, 0.03))
    points = np.einsum("nk,nkc->nc", rim.barycentric, vertices[rim.corners])
    expected_depth = distance - 0.1**2 / distance
    depth = np.linalg.norm(np.cross(points - (0.01, -0.02, 0.03), camera.position_world - (0.01, -0.02, 0.03)), axis=1) / distance
    np.testing.assert_allclose(depth, 0.1 * np.sqrt(1 - (0.1 / distance) ** 2), rtol=2e-3)
    assert len(rim.px) > 100
    centre, _ = camera.project(np.array([[0.01, -0.02, 0.03]]))
    away = (rim.px - centre) / np.linalg.norm(rim.px - centre, axis=1, keepdims=True)
    assert (away * rim.normal_px).sum(1).min() > 0.98
    np.testing.assert_allclose(np.median(rim.px_per_m), FOCAL_PX / expected_depth, rtol=0.02)


def test_rim_leaves_out_what_has_more_of_the_head_behind_it():
    unit, triangles, _, _ = sphere(40, 60, (0, 0, 1, 1))
    small, large = 0.03 * unit + (0.0, 0.0, 0.2), 0.15 * unit
    vertices, both = np.concatenate([small, large]), np.concatenate([triangles, triangles + len(unit)])
    camera = look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3), focal_px=FOCAL_PX, width=SIZE_PX, height=SIZE_PX)
    rim = rim_points(vertices, np.concatenate([unit, unit]), both, np.ones(len(vertices), bool), camera, RayScene(vertices, both))
    assert rim.corners.min() >= len(unit)


def _profiles(edge: float, low: np.ndarray, high: np.ndarray, noise: float, seed: int, count: int = 40) -> EdgeProfiles:
    offset = np.arange(-20.0, 21.0)
    share = np.clip(offset - edge + 0.5, 0, 1)[None, :, None]
    colour = (1 - share) * low + share * high + np.random.default_rng(seed).normal(0, noise, (count, 41, 3))
    return EdgeProfiles(offset, colour.astype(np.float32), np.ones((count, 41), bool))


@pytest.mark.parametrize("edge", [-8.3, 0.0, 5.6])
def test_edge_is_found_to_a_fifth_of_a_pixel_on_either_side_of_the_mesh(edge: float):
    found = find_edges(_profiles(edge, SKIN, WALL, 2.0, 5), 5)
    np.testing.assert_allclose(found.offset_px, edge, atol=0.2)
    assert found.weight.min() == 1.0
    np.testing.assert_allclose(found.colour.mean(0), SKIN, atol=2.0)


def test_no_edge_is_claimed_before_clutter_or_a_wall_of_the_skins_colour_or_beyond_the_picture():
    assert find_edges(_profiles(3.0, SKIN, SKIN + 4.0, 2.0, 6), 5).weight.max() == 0.0
    cluttered = _profiles(3.0, SKIN, WALL, 2.0, 7)
    cluttered.colour[:, 24:] = np.random.default_rng(8).uniform(0, 255, (40, 17, 3))
    assert np.median(find_edges(cluttered, 5).weight) == 0.0
    outside = dataclasses.replace(_profiles(3.0, SKIN, WALL, 2.0, 9), inside=np.zeros((40, 41), bool))
    assert find_edges(outside, 5).weight.max() == 0.0


def test_an_edge_towards_something_that_ends_before_the_wall_is_no_outline_and_neither_is_one_at_the_pictures_border():
    edges = find_edges(_profiles(3.0, SKIN, HAIR, 2.0, 11), 5)
    assert edges.weight.min() == 1.0
    hair, wall = _profiles(-99.0, SKIN, HAIR, 2.0, 12), _profiles(-99.0, SKIN, WALL, 2.0, 13)
    assert before_background(edges, hair).weight.min() > 0.95
    assert before_background(edges, wall).weight.max() == 0.0
    assert before_background(edges, dataclasses.replace(hair, inside=np.zeros((40, 41), bool))).weight.max() == 0.0


def test_of_two_edges_the_one_to_the_background_counts_not_the_hairline_inside():
    profiles = _profiles(6.0, HAIR, WALL, 2.0, 10)
    profiles.colour[:, :12] = SKIN
    np.testing.assert_allclose(find_edges(profiles, 4).offset_px, 6.0, atol=0.3)


def test_outline_residual_counts_along_the_normal_only_and_its_derivatives_are_those_of_the_projection():
    problem, state = _problem(make_deformable(toy_head(16, 20)), [_camera(30.0)])
    points = np.array([[0.03, -0.05, 0.01], [-0.06, 0.02, -0.08]])
    normal, slide = np.array([[0.6, 0.8], [-1.0, 0.0]]), np.array([[-0.8, 0.6], [0.0, 1.0]])
    projection = project(points, state, problem.views[0])
    edge = projection.px + 3.0 * normal + 50.0 * slide
    rows, h = outline_rows(projection, edge, normal), 1e-6
    np.testing.assert_allclose(rows.residual, 3.0, atol=1e-9)
    for axis in range(3):
        moved = outline_rows(project(points + h * np.eye(3)[axis], state, problem.views[0]), edge, normal).residual
        np.testing.assert_allclose((rows.residual - moved) / h, rows.d_point[:, axis], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("tone", [SKIN, 0.32 * SKIN, np.array([228.0, 190.0, 172.0])])
def test_skin_colour_holds_the_same_skin_in_light_and_shade_for_every_tone_and_refuses_hair_and_cloth(tone: np.ndarray):
    rng = np.random.default_rng(2)
    lit = tone * rng.uniform(0.6, 1.1, (300, 1)) + rng.normal(0, 2.0, (300, 3))
    # A third of the samples lie under a fringe.
    model = fit_skin_colour(np.concatenate([lit, HAIR * 0.8 + rng.normal(0, 2.0, (100, 3))]))
    assert model is not None
    assert np.quantile(model.distance(lit), 0.99) < MAX_SKIN_DISTANCE
    blue, white = np.array([60.0, 80.0, 160.0]), np.array([235.0, 236.0, 240.0])
    assert model.distance(blue) > MAX_SKIN_DISTANCE and model.distance(white) > MAX_SKIN_DISTANCE
    if tone[0] > 100:
        assert model.distance(HAIR) > MAX_SKIN_DISTANCE


def test_too_few_samples_make_no_skin_colour():
    assert fit_skin_colour(np.tile(SKIN, (5, 1))) is None


def test_places_where_matches_disagree_are_labelled_and_their_matches_lose_their_weight():
    head = toy_head(24, 32)
    deformable = make_deformable(head)
    problem, state = _problem(deformable, [_camera(-20.0), _camera(20.0)])
    front = np.flatnonzero((head.triangle_parts == 1) & (head.vertices[head.triangles].mean(1)[:, 2] > -0.03))
    front = np.repeat(front, 6)
    samples = sample_surface(head.triangles[front].astype(np.int64), np.full((len(front), 3), 1 / 3), deformable.modes, deformable.shapes)
    points = samples.points(head.vertices)
    px_a, px_b = (project(points, state, view).px + np.random.default_rng(3).normal(0, 0.2, (len(points), 2)) for view in problem.views)
    glasses = (points[:, 1] > -0.015) & (points[:, 1] < 0.02) & (points[:, 0] > 0.01)
    px_b[glasses] += np.random.default_rng(4).normal(0, 8.0, (glasses.sum(), 2))
    matches = Matches(0, 1, samples, px_a, px_b, np.ones(len(points)), 1.0)
    agreement = agreement_of(problem, state, [matches])
    skin = SkinMap(np.ones(head.num_vertices, np.float32), np.zeros(head.num_vertices, bool), {}, agreement)
    weight = skin.trusted([matches], [])[0].weight
    assert np.median(weight[glasses]) < 0.6 < 0.95 < np.median(weight[~glasses])
    inside = np.isin(np.arange(head.num_vertices), samples.corners[glasses]) & ~np.isin(
        np.arange(head.num_vertices), samples.corners[~glasses]
    )
    assert LABELS[2].startswith("not skin") and (skin.labels[inside] == 2).mean() > 0.6
    outside = np.setdiff1d(samples.corners[~glasses], samples.corners[glasses])
    assert (skin.labels[outside] == 1).all()


def test_bumps_leave_face_and_ears_where_they_are_and_the_cut_of_the_neck_level():
    head = toy_head()
    basis = surround_basis(head)
    assert np.abs(basis.bumps[:, head.vertex_regions == REGIONS.index("face")]).max() == 0.0
    lowest = head.vertices[:, 1] < head.vertices[:, 1].min() + 1e-6
    assert np.abs(basis.bumps[:, lowest, 1]).max() == 0.0
    # One standard deviation of a bump is 6 mm at its middle, unless it is cut off by the face.
    assert np.median(np.linalg.norm(basis.bumps, axis=2).max(1)) == pytest.approx(0.006, rel=0.05)
    centre = np.linalg.norm(basis.bumps, axis=2).argmax(1)
    gap = np.linalg.norm(head.vertices[centre][basis.neighbours] - head.vertices[centre][:, None], axis=2)
    assert basis.neighbours.shape[1] == 6 and gap.max() < 0.12 and (basis.neighbours != np.arange(len(centre))[:, None]).all()


@pytest.fixture(scope="module")
def scalp_person() -> tuple[Problem, HeadState, np.ndarray, list[Camera]]:
    """A head whose scalp is 6 mm out at its left and 4 mm in on its right: the average's problem, and the true vertices."""
    head = toy_head()
    cameras = [_camera(yaw) for yaw in YAWS_DEG]
    problem, state = _problem(make_deformable(head), cameras)
    growth = np.linalg.norm(surround_basis(head).bumps, axis=2).max(0)[:, None] / 0.006
    normals = vertex_normals(head.vertices, head.triangles)
    amount = np.where(head.vertices[:, :1] > 0, 0.006, -0.004) * np.clip(np.abs(head.vertices[:, :1]) / 0.03, 0, 1)
    return problem, state, head.vertices + np.clip(growth, 0, 1) * amount * normals, cameras


def _fit(problem: Problem, state: HeadState, pictures: list[WorkingPicture]) -> np.ndarray:
    views = list(range(len(pictures)))
    skin = map_skin(problem, state, pictures, views)
    return fit_surround(problem, state, pictures, views, skin, SurroundStage(texel_mm=3.0)).neutral(state)


def _scalp_error_mm(problem: Problem, fitted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Along the truth's normals, over the scalp that some outline or match can hold."""
    head = problem.deformable.head
    scalp = (head.vertex_regions == REGIONS.index("scalp")) & (np.abs(head.vertices[:, 1]) < 0.07) & (np.abs(head.vertices[:, 0]) > 0.03)
    return 1e3 * ((fitted - truth) * vertex_normals(truth, head.triangles)).sum(1)[scalp]


def test_scalp_of_skin_is_moved_to_its_silhouettes_and_the_face_stays(scalp_person):
    problem, state, truth, cameras = scalp_person
    head = problem.deformable.head
    triangles = drawn_triangles(head)
    pictures = [_picture(truth, _skin_colours(head), triangles, camera, i) for i, camera in enumerate(cameras)]
    fitted = _fit(problem, state, pictures)
    before, after = np.abs(_scalp_error_mm(problem, head.vertices, truth)), np.abs(_scalp_error_mm(problem, fitted, truth))
    assert np.median(before) > 3.5
    assert np.median(after) < 0.5 and np.quantile(after, 0.9) < 1.5
    face = head.vertex_regions == REGIONS.index("face")
    np.testing.assert_allclose(fitted[face], head.vertices[face], atol=1e-7)


def test_a_head_of_hair_does_not_pull_the_skull_outwards(scalp_person):
    problem, state, _, cameras = scalp_person
    head = problem.deformable.head
    triangles, normals = drawn_triangles(head), vertex_normals(head.vertices, head.triangles)
    scalp = (head.vertex_regions == REGIONS.index("scalp"))[:, None] & (head.vertices[:, 1:2] > -0.02)
    haired = head.vertices + np.where(scalp, 0.022, 0.0) * normals
    # A ring more than the shell is dark, so that the shell's rim is not painted half as skin.
    ring = (head.vertices[:, 2:] < -0.055) & (head.vertices[:, 1:2] > -0.04)
    colours = np.where(ring, HAIR, SKIN)
    pictures = [_picture(haired, colours, triangles, camera, i) for i, camera in enumerate(cameras)]
    outline = find_outline(head, head.vertices, cameras[0], pictures[0], 0)
    assert outline is not None and (outline.edges.weight > 0).sum() > 30
    fitted = _fit(problem, state, pictures)
    moved = ((fitted - head.vertices) * normals).sum(1)[scalp[:, 0]]
    assert np.median(np.abs(moved)) < 0.003 and np.abs(moved).max() < 0.008
