"""Consistency measures: zero on identical input, planted changes found where they were planted."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from assets.errors import ShapeError
from render import expression_ramp, head_turn, masked_psnr, masked_ssim, measure_pair, orbit, render_sweep, uv_variance, warp_between
from render.quality import chart_texels
from render.shading import ambient_light
from tests.render.posables import Ball


@pytest.fixture(scope="module")
def ball() -> Ball:
    return Ball(light=ambient_light())


@pytest.fixture(scope="module")
def views(ball: Ball) -> list:
    return list(render_sweep(ball, orbit(ball, yaw_deg=[0, 25, -30], width=256, height=256)))


def smooth_texture(points: np.ndarray) -> np.ndarray:
    """A colour for every world point, without edges: what a consistent generator would paint."""
    return 128 + 100 * np.sin(points * (40, 60, 50) + (0, 1, 2))


def test_identical_pictures_have_no_error() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).random((40, 50)) > 0.5
    assert masked_psnr(image, image, mask) == np.inf
    assert masked_ssim(image, image, mask) == pytest.approx(1, abs=1e-12)


def test_psnr_of_a_known_error() -> None:
    a = np.full((8, 9, 3), 100, np.uint8)
    b = a.copy()
    b[2, 3] += 10
    mask = np.zeros((8, 9), bool)
    mask[2, 2:6] = True
    # A quarter of the masked pixels is off by 10: mean squared error 25, 10 log10(255^2 / 25) = 34.15 dB.
    assert masked_psnr(a, b, mask) == pytest.approx(34.1514, abs=1e-3)
    b[0, 0] = 255
    assert masked_psnr(a, b, mask) == pytest.approx(34.1514, abs=1e-3), "outside the mask nothing counts"
    assert np.isnan(masked_psnr(a, b, np.zeros((8, 9), bool)))


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = np.full((20, 30, 1), 100.0), np.full((20, 30, 1), 50.0)
    c1 = (0.01 * 255) ** 2
    assert masked_ssim(a, b, np.ones((20, 30), bool)) == pytest.approx((2 * 100 * 50 + c1) / (100**2 + 50**2 + c1), abs=1e-9)


def test_ssim_agrees_with_scikit_image_away_from_the_border() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    rng = np.random.default_rng(2)
    a = cv2.GaussianBlur(rng.random((64, 80, 3)) * 255, (0, 0), 2)
    b = a + rng.normal(0, 6, a.shape)
    keyword = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "channel_axis": 2, "full": True}
    _, full = metrics.structural_similarity(a, b, **keyword)
    # Only windows wholly inside agree; a mask of the middle would cut its own border off, hence one pixel at a time.
    whole = np.ones((64, 80), bool)
    ours = masked_ssim(a, b, whole)
    assert ours == pytest.approx(full.mean(), abs=5e-3)
    assert masked_ssim(a[10:21, 20:31], b[10:21, 20:31], whole[:11, :11]) != pytest.approx(ours, abs=1e-6)


def test_ssim_ignores_what_lies_outside_the_mask() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 40, 40, 3)) * 255
    mask = np.zeros((40, 40), bool)
    mask[10:25, 12:30] = True
    before = masked_ssim(a, b, mask)
    a[~mask], b[~mask] = 0, 255
    assert masked_ssim(a, b, mask) == pytest.approx(before, abs=1e-12)


def test_warping_a_frame_into_itself_changes_nothing(views: list) -> None:
    image, mask = warp_between(views[0], views[0].beauty_srgb, views[0])
    assert mask.sum() > 0.9 * views[0].mask.sum()
    assert not mask[~views[0].mask].any()
    np.testing.assert_allclose(image[mask], views[0].beauty_srgb[mask], atol=5e-3)
    pair = measure_pair(views[0], views[0].beauty_srgb, views[0], views[0].beauty_srgb)
    assert pair.psnr_db > 100 and pair.ssim > 0.99999 and pair.num_pixels == mask.sum()


@pytest.mark.parametrize("other", [1, 2])
def test_a_painting_on_the_surface_warps_onto_itself(views: list, other: int) -> None:
    a, b = views[0], views[other]
    painted_a, painted_b = (np.nan_to_num(smooth_texture(view.position_world)) for view in (a, b))
    image, mask = warp_between(a, painted_b, b)
    assert mask.sum() > 0.5 * a.mask.sum()
    assert np.abs(image - painted_a)[mask].max() < 4, "bilinear sampling of a smooth painting"


def test_warping_follows_the_surface_through_expression_and_head_pose(ball: Ball) -> None:
    still, open_jaw = render_sweep(ball, expression_ramp(ball, weights={"jawOpen": 1.0}, num_frames=2, width=256, height=256))
    turned = next(render_sweep(ball, head_turn(ball, yaw_deg=[20], pitch_deg=15, width=256, height=256)))
    for other in (open_jaw, turned):
        pair = measure_pair(still, still.albedo_srgb, other, other.albedo_srgb)
        # The checker has hard edges, so resampling leaves about 25 dB; pixels of the wrong square would leave under 15.
        assert pair.psnr_db > 22 and pair.shared > 0.7
        unwarped = masked_psnr(still.albedo_srgb, other.albedo_srgb, still.mask & other.mask)
        assert pair.psnr_db > unwarped + 5


def test_hidden_points_are_masked(views: list) -> None:
    front, side = views[0], views[1]
    _, mask = warp_between(side, front.beauty_srgb, front)
    # Seen from +25 degrees the subject's right side shows; its points beyond the front view's horizon have normals away from it.
    position, normal = side.position_world, side.normal_world
    towards = front.camera.position_world - position
    hidden = np.einsum("hwc,hwc->hw", np.nan_to_num(normal), np.nan_to_num(towards)) < -0.01
    assert hidden.sum() > 500
    assert not mask[hidden].any()


def test_a_planted_change_lowers_the_figures_and_shows_where_it_is(views: list) -> None:
    a, b = views[:2]
    painted_a, painted_b = (np.rint(np.nan_to_num(smooth_texture(view.position_world))).astype(np.uint8) for view in (a, b))
    honest = measure_pair(a, painted_a, b, painted_b)
    spot = np.linalg.norm(b.position_world - (-0.02, 0.05, 0.09), axis=-1) < 0.02
    changed = painted_b.copy()
    changed[spot] = 255 - changed[spot]
    planted = measure_pair(a, painted_a, b, changed)
    assert planted.psnr_db < honest.psnr_db - 10 and planted.ssim < honest.ssim - 0.01
    image, mask = warp_between(a, changed, b)
    wrong = mask & (np.abs(image - painted_a).max(-1) > 40)
    where = np.linalg.norm(a.position_world[wrong] - (-0.02, 0.05, 0.09), axis=-1)
    assert wrong.sum() > 100 and where.max() < 0.025


def test_chart_texels_hold_the_surface_point_of_their_centre(ball: Ball) -> None:
    texels = chart_texels(ball.neutral, 64)
    hit = texels.face_id >= 0
    assert hit.mean() > 0.95
    corners = ball.neutral.uvs[ball.neutral.triangle_uvs[texels.face_id[hit]]]
    uv = np.einsum("nk,nkc->nc", texels.barycentric[hit], corners)
    rows, columns = np.nonzero(hit)
    np.testing.assert_allclose(uv, np.stack([(columns + 0.5) / 64, 1 - (rows + 0.5) / 64], -1), atol=1e-5)


def test_uv_variance_is_the_variance_of_what_frames_show(views: list) -> None:
    flat = [(view, np.full((256, 256, 3), level, np.uint8)) for view, level in zip(views, (100, 110, 150), strict=True)]
    statistics = uv_variance(iter(flat), size=64)
    assert set(np.unique(statistics.count)) == {0, 1, 2, 3}
    # Levels 100, 110, 150: mean 120, squares 400 + 100 + 900 over 3 - 1.
    all_three = statistics.count == 3
    np.testing.assert_allclose(statistics.mean[all_three], 120, rtol=1e-6)
    np.testing.assert_allclose(statistics.variance[all_three], 700, rtol=1e-5)
    assert np.isnan(statistics.mean[statistics.count == 0]).all() and np.isnan(statistics.variance[statistics.count < 2]).all()
    same = uv_variance(((view, np.full((256, 256, 3), 77, np.uint8)) for view in views), size=64)
    assert same.deviation == pytest.approx(0, abs=1e-4)


def test_uv_variance_shows_a_planted_flicker_in_its_texels(views: list) -> None:
    pictures = [np.full((256, 256, 3), 100, np.uint8) for _ in views]
    left = np.nan_to_num(views[1].uv[..., 0]) > 0.5
    pictures[1][left & views[1].mask] = 140
    statistics = uv_variance(zip(views, pictures, strict=True), size=64)
    seen = statistics.count > 1
    columns = np.broadcast_to(np.arange(64), (64, 64))
    assert np.nanmax(statistics.variance[seen & (columns < 31)]) < 1e-3
    assert np.nanmedian(statistics.variance[(statistics.count == 3) & (columns > 32)]) > 400


def test_pictures_of_another_size_are_refused(views: list) -> None:
    with pytest.raises(ShapeError, match=r"\(256, 256, C\)"):
        warp_between(views[0], np.zeros((128, 128, 3), np.uint8), views[1])
    with pytest.raises(ShapeError):
        masked_psnr(np.zeros((4, 4, 3)), np.zeros((4, 4, 3)), np.ones((4, 4)))
    assert dataclasses.is_dataclass(measure_pair(views[0], views[0].beauty_srgb, views[1], views[1].beauty_srgb))
