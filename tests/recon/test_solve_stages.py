"""Parts of the dense solve on their own: chart, unwrapping, flow, triangulation, free-form, rejection, working pictures."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from assets import load_head
from assets.head_model import HeadModel
from assets.laplacian import uniform_laplacian
from recon.solve import pictures
from recon.solve.bundle import MAX_FOCAL_STEP, shortened
from recon.solve.chart import make_chart
from recon.solve.flow import match_pair, neighbour_pairs
from recon.solve.freeform import FreeFormStage, solve_offsets
from recon.solve.pictures import FACE_DIAGONAL_PX, make_working_picture
from recon.solve.prepare import landmark_weights
from recon.solve.rejection import misfitting_views
from recon.solve.stages import FINE, MIN_DEPTH_SPAN_DEG, tempered
from recon.solve.start import robust_similarity, triangulate
from recon.solve.state import Layout
from recon.solve.surface_rows import SurfaceRows
from recon.solve.unwrap import Unwrapped, normalise, unwrap
from render import look_at, vertex_normals


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def test_chart_texels_have_the_size_that_was_asked_for(head):
    chart = make_chart(head, 2.0)
    points = chart.grid(chart.at_texels(head.vertices), fill=np.nan)
    steps_mm = 1e3 * np.linalg.norm(points[:, 1:] - points[:, :-1], axis=2)
    assert np.nanmedian(steps_mm) == pytest.approx(2.0, rel=0.3)


def test_unwrapped_pixels_are_where_the_camera_projects_the_skin_and_hidden_skin_is_out(head):
    chart = make_chart(head, 3.0)
    camera = look_at(np.array([0.5, 0.0, 0.15]), np.zeros(3), up=np.array([0.0, 1.0, 0.0]), focal_px=700.0, width=400, height=420)
    # A picture whose grey is its x coordinate at pixel centres, so that reading it tells where it was read.
    ramp = np.broadcast_to(np.arange(400, dtype=np.float32) + 0.5, (420, 400)).copy()
    seen = unwrap(chart, head.vertices, vertex_normals(head.vertices, head.triangles), head.triangles, camera, ramp, 9.0)
    texels = chart.at_texels(head.vertices)
    expected, _ = camera.project(texels)
    np.testing.assert_allclose(seen.px[chart.mask], expected, atol=0.01)
    left = texels[:, 0] > 0.03
    visible = seen.mask[chart.mask]
    # The camera stands at the subject's left: that cheek is seen, the right one is not.
    assert visible[left].mean() > 0.5 and visible[texels[:, 0] < -0.03].mean() < 0.05


def test_normalised_pattern_ignores_exposure_and_contrast():
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (80, 90)).astype(np.float32), (0, 0), 1.5)
    mask = np.ones(texture.shape, bool)
    plain, other = normalise(texture, mask, 7.0, floor=0.0), normalise(0.4 * texture + 30, mask, 7.0, floor=0.0)
    np.testing.assert_allclose(plain, other, atol=1e-3)


def test_matches_of_a_shifted_pattern_lie_half_the_shift_on_either_side():
    rng = np.random.default_rng(1)
    large = cv2.GaussianBlur(rng.standard_normal((140, 160)).astype(np.float32), (0, 0), 2.0)
    large /= large.std()
    y, x = np.meshgrid(np.arange(120), np.arange(130), indexing="ij")
    px = np.stack([x, y], -1).astype(np.float32)
    # View b shows at column x what view a shows at column x + 3: the flow from a to b is (-3, +2).
    a = Unwrapped(np.ones((120, 130), np.float32), px, large[5:125, 5:135])
    b = Unwrapped(np.ones((120, 130), np.float32), px, large[3:123, 8:138])
    found = match_pair(a, b, stride=3, max_matches=2000)
    assert found is not None and len(found.rows) > 500 and found.share > 0.9
    np.testing.assert_allclose(np.median(found.px_b - found.px_a, axis=0), [-3.0, 2.0], atol=0.05)
    middle = 0.5 * (found.px_a + found.px_b)
    np.testing.assert_allclose(np.median(middle - np.stack([found.columns, found.rows], 1), axis=0), [0, 0], atol=0.02)


def test_a_patch_in_a_corner_of_the_chart_matches_at_its_own_place():
    """Flow is computed on the box around what both views show: rows, columns and pixels stay those of the whole chart."""
    rng = np.random.default_rng(6)
    large = cv2.GaussianBlur(rng.standard_normal((420, 400)).astype(np.float32), (0, 0), 2.0)
    large /= large.std()
    px = np.stack(np.meshgrid(np.arange(390), np.arange(410)), -1).astype(np.float32)
    seen = np.zeros((410, 390), np.float32)
    seen[261:371, 221:341] = 1.0
    a, b = Unwrapped(seen, px, large[5:415, 5:395] * seen), Unwrapped(seen, px, large[4:414, 7:397] * seen)
    found = match_pair(a, b, stride=3, max_matches=2000)
    assert found is not None and len(found.rows) > 500
    assert (found.rows % 3 == 0).all() and (found.columns % 3 == 0).all()
    assert found.rows.min() >= 261 and found.rows.max() < 371 and found.columns.min() >= 221 and found.columns.max() < 341
    np.testing.assert_allclose(np.median(found.px_b - found.px_a, axis=0), [-2.0, 1.0], atol=0.05)
    middle = 0.5 * (found.px_a + found.px_b)
    np.testing.assert_allclose(np.median(middle - np.stack([found.columns, found.rows], 1), axis=0), [0, 0], atol=0.02)


def test_unrelated_patterns_do_not_match():
    rng = np.random.default_rng(2)
    px = np.stack(np.meshgrid(np.arange(130), np.arange(120)), -1).astype(np.float32)
    one, other = (
        Unwrapped(
            np.ones((120, 130), np.float32), px, cv2.GaussianBlur(rng.standard_normal((120, 130)).astype(np.float32), (0, 0), 2.0) * 5
        )
        for _ in range(2)
    )
    found = match_pair(one, other, stride=2, max_matches=4000)
    assert found is None or found.share < 0.25


def test_neighbours_are_neither_too_close_nor_too_far():
    angles = np.array([[0, 3, 20, 60], [3, 0, 17, 57], [20, 17, 0, 40], [60, 57, 40, 0.0]])
    assert neighbour_pairs(angles, per_view=7) == [(0, 2), (1, 2), (2, 3)]


def test_triangulation_shrugs_off_one_wrong_camera():
    rng = np.random.default_rng(3)
    points = rng.uniform(-0.08, 0.08, (20, 3))
    cameras = [
        look_at(np.array([np.sin(a), 0.2, np.cos(a)]), np.zeros(3), up=np.array([0.0, 1.0, 0.0]), focal_px=900.0, width=500, height=500)
        for a in np.radians([-60.0, -25.0, 5.0, 30.0, 65.0])
    ]
    pixels = np.stack([camera.project(points)[0] for camera in cameras])
    pixels[1, 7] += [45.0, -30.0]
    found, error = triangulate(np.stack([camera.K @ camera.T_cam_world[:3] for camera in cameras]), pixels)
    assert np.abs(found - points).max() < 2e-4
    assert error.max() < 1.0


def test_similarity_is_found_although_a_fifth_of_the_points_is_wrong():
    rng = np.random.default_rng(4)
    source = rng.uniform(-0.1, 0.1, (60, 3))
    turn = cv2.Rodrigues(np.array([0.2, -0.5, 0.3]))[0]
    target = 1.2 * source @ turn.T + [0.5, -0.2, 0.1]
    target[:12] += rng.uniform(0.02, 0.05, (12, 3))
    found = robust_similarity(source, target)
    assert found.scale == pytest.approx(1.2, abs=2e-3)
    np.testing.assert_allclose(found.R, turn, atol=3e-3)


def test_free_form_recovers_a_bump_from_depth_residuals_and_leaves_the_rest(head):
    chart = make_chart(head, 2.0)
    normals = chart.at_texels(vertex_normals(head.vertices, head.triangles)).astype(np.float64)
    position = chart.at_texels(head.vertices)
    centre = np.array([0.04, -0.05, 0.01])
    bump_mm = 2.0 * np.exp(-((position - centre) ** 2).sum(1) / (2 * 0.02**2))
    # One residual a texel that sees motion along the normal, 2000 px/m; the second sees nothing.
    d_point = np.stack([2000.0 * normals, 0 * normals], 1)
    residual = np.stack([2000.0 * 1e-3 * bump_mm, 0 * bump_mm], 1)
    residual[::50, 0] += 8.0  # 4 mm: matches that are plainly wrong
    weight = np.ones(len(position))
    rows = SurfaceRows(chart.corners, chart.barycentric, d_point, residual, weight, noise=0.7, robust=0.7)
    offsets = solve_offsets(head, [rows], np.zeros_like(head.vertices), FreeFormStage())
    along_mm = 1e3 * (chart.at_texels(offsets) * normals).sum(1)
    assert np.median(np.abs(along_mm - bump_mm)) < 0.1
    assert np.abs(along_mm - bump_mm)[bump_mm > 1.0].mean() < 0.25
    assert 1e3 * np.linalg.norm(offsets[head.vertices[:, 2] < -0.12], axis=1).max() < 0.5


def test_laplacian_of_a_linear_field_vanishes_inside_a_regular_mesh():
    y, x = np.meshgrid(np.arange(5), np.arange(5), indexing="ij")
    corner = (5 * y + x)[:-1, :-1].ravel()
    triangles = np.concatenate([np.stack([corner, corner + 1, corner + 6], 1), np.stack([corner, corner + 6, corner + 5], 1)])
    field = 2.0 * x.ravel() - 3.0 * y.ravel()
    inside = ((x > 0) & (x < 4) & (y > 0) & (y < 4)).ravel()
    np.testing.assert_allclose((uniform_laplacian(triangles, 25) @ field)[inside], 0.0, atol=1e-12)


def test_only_a_view_far_out_of_line_is_rejected():
    residual, face = np.array([3.0, 4.0, 3.5, 31.0, np.nan]), np.full(5, 400.0)
    assert misfitting_views(residual, face).tolist() == [False, False, False, True, False]
    # The same residuals on a capture that fits badly as a whole: none stands out.
    assert not misfitting_views(np.array([20.0, 25.0, 31.0]), np.full(3, 400.0)).any()
    # Out of line but still good: kept.
    assert not misfitting_views(np.array([1.0, 1.0, 6.0]), np.full(3, 400.0)).any()


def test_landmark_never_seen_by_the_calibration_weighs_nothing():
    np.testing.assert_allclose(landmark_weights(np.array([1.0, 2.0, np.inf, 0.1, 1.0])), [1.0, 0.25, 0.0, 4.0, 1.0])


def test_working_picture_keeps_pixel_centres_when_it_crops_and_shrinks():
    ramp = np.broadcast_to((np.arange(3000, dtype=np.float64) + 0.5)[None, :, None] * 255 / 3000, (2000, 3000, 3)).astype(np.uint8)
    landmarks = np.array([[1200.0, 700.0], [2100.0, 1500.0]])
    picture = make_working_picture(ramp, landmarks)
    assert np.linalg.norm(np.ptp(picture.to_working(landmarks), axis=0)) == pytest.approx(FACE_DIAGONAL_PX)
    # Grey tells the view's x: at the middle of the working picture it has to be the x that to_working maps there.
    height, width = picture.grey.shape
    x_view = (width // 2 + 0.5) / picture.scale + picture.origin_px[0]
    assert picture.grey[height // 2, width // 2] == pytest.approx(x_view * 255 / 3000, abs=0.8)


@pytest.mark.parametrize("landmarks", [None, np.array([[300.0, 250.0], [1500.0, 2100.0]])])
def test_a_working_picture_made_in_bands_is_the_one_made_whole(monkeypatch, landmarks):
    picture = cv2.resize(np.random.default_rng(3).integers(0, 256, (300, 260, 3), dtype=np.uint8), (1900, 2300))
    whole = make_working_picture(picture, landmarks)
    monkeypatch.setattr(pictures, "_BAND_PX", 400_000)
    tracemalloc.start()
    banded = make_working_picture(picture, landmarks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole.colour is not None and banded.colour is not None
    assert np.abs(whole.grey - banded.grey).max() < 0.01 and np.abs(whole.colour.astype(int) - banded.colour).max() <= 1
    # Whole, the grey floats alone take 16 bytes a pixel; in bands the result and a tenth of that.
    assert peak < 4 * picture.shape[0] * picture.shape[1] + 8 * whole.grey.size


def test_little_parallax_moves_the_say_from_matches_to_landmarks():
    assert tempered(FINE, 140.0) == FINE
    # 15 of 60 degrees: a quarter of the parallax, a sixteenth of the information on depth.
    narrow = tempered(FINE, 15.0)
    assert narrow.match_weight == pytest.approx(FINE.match_weight / 16)
    assert narrow.landmark_weight == pytest.approx(FINE.landmark_weight + 1.5)


def test_views_from_one_side_leave_focal_lengths_as_they_were_guessed():
    """Freed there, those of twelve portraits without EXIF ran to 1.7 and 0.8 times the guess, and the mesh off the faces."""
    assert "focal" in FINE.free and "focal" in tempered(FINE, MIN_DEPTH_SPAN_DEG).free
    assert tempered(FINE, MIN_DEPTH_SPAN_DEG - 5.0).free == FINE.free - {"focal"}


def test_a_step_is_shortened_as_a_whole_where_a_focal_length_would_change_too_far():
    layout = Layout(num_modes=3, num_focals=2, num_instants=1, num_shapes=2)
    step = np.linspace(-0.09, 0.11, layout.size)
    np.testing.assert_array_equal(shortened(step, layout), step)
    step[layout.focal(1)] = -4 * MAX_FOCAL_STEP
    np.testing.assert_allclose(shortened(step, layout), step / 4)
    np.testing.assert_array_equal(shortened(step, Layout(3, 0, 1, 2)), step)
