"""Relief from the texture: pits slope towards their middle, pigment and unseen skin stay flat, coarse photos give none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.head_model import PARTS
from recon.avatar import Avatar, FittedView
from recon.fine_normals import FLAT, encoded, fine_normals
from recon.texture_chart import make_chart
from render.shading import linear_to_srgb_bytes
from tests.recon.test_texture import camera
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head()
SIZE = 1024
CHART = make_chart(HEAD, SIZE)
SKIN = np.array([0.45, 0.25, 0.18], np.float32)


def view(distance_m: float) -> FittedView:
    return FittedView("a", "ok", "", camera(0.0, size=1600, distance_m=distance_m), np.eye(4), {}, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def spot() -> tuple[int, int]:
    """A texel (row, column) of the skin well inside the chart."""
    inside = CHART.image((CHART.part == PARTS.index("skin")).astype(np.uint8))
    rows, columns = np.nonzero(inside)
    middle = np.argmin((rows - np.median(rows)) ** 2 + (columns - np.median(columns)) ** 2)
    return int(rows[middle]) + CHART.row0, int(columns[middle]) + CHART.column0


def avatar_with(spot: tuple[int, int], factor: np.ndarray, *, confidence: int = 255, distance_m: float = 0.7) -> Avatar:
    """Even skin with one round spot, 0.8 mm wide, whose middle has the colour times `factor` (3,)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    sigma = 0.4 / (1000 * float(np.median(CHART.texel_m)))
    bump = np.exp(-0.5 * ((rows - spot[0]) ** 2 + (columns - spot[1]) ** 2) / sigma**2)[..., None]
    albedo = linear_to_srgb_bytes((SKIN * factor**bump).astype(np.float32))
    avatar = dataclasses.replace(toy_avatar(HEAD), albedo_srgb=albedo, confidence=np.full((SIZE, SIZE), confidence, np.uint8))
    return dataclasses.replace(avatar, views=(view(distance_m),))


def test_a_pore_slopes_towards_its_middle(spot):
    found = fine_normals(avatar_with(spot, np.full(3, 0.8)))
    row, column = spot
    step = max(1, round(0.4 / (1000 * float(np.median(CHART.texel_m)))))
    # Left of the pit the ground falls to the right, so the normal leans right; above it, it leans down.
    assert found[row, column - step, 0] >= 131 and found[row, column + step, 0] <= 125
    assert found[row - step, column, 1] <= 125 and found[row + step, column, 1] >= 131
    assert np.abs(found[row, column, :2].astype(int) - 128).max() <= 1


def test_a_freckle_is_flatter_than_a_pore_of_its_darkness(spot):
    pore, freckle = np.full(3, 0.8), np.array([0.9, 0.78, 0.6])
    slope = [np.abs(fine_normals(avatar_with(spot, factor))[..., :2].astype(int) - 128).max() for factor in (pore, freckle)]
    assert slope[1] < 0.35 * slope[0]


def test_skin_that_no_photo_showed_is_flat(spot):
    assert (fine_normals(avatar_with(spot, np.full(3, 0.8), confidence=0)) == FLAT).all()


def test_photos_too_coarse_for_pores_give_no_map(spot):
    assert fine_normals(avatar_with(spot, np.full(3, 0.8), distance_m=4.0)) is None
    assert fine_normals(dataclasses.replace(avatar_with(spot, np.full(3, 0.8)), views=())) is None


def test_heights_become_the_normals_of_their_slope():
    """A plane that rises by a tenth to the right and by a fifth upwards."""
    columns, rows = np.meshgrid(np.arange(20), np.arange(20))
    texel_m = np.full((20, 20), 4e-4, np.float32)
    height = (4e-4 * (0.1 * columns - 0.2 * rows)).astype(np.float32)
    found = encoded(height, texel_m)[10, 10] / 127.5 - 1
    np.testing.assert_allclose(found, np.array([-0.1, -0.2, 1.0]) / np.sqrt(1.05), atol=0.006)
