"""Matches beside hair count as the pixels that they join do."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.deformable import make_deformable
from recon.solve.own_colour import BESIDE_M, beside_unlike
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches
from recon.solve.residuals import sample_surface
from recon.solve.skin_colour import fit_skin_colour
from recon.solve.unlike_skin import SkinMap
from tests.recon.toy_head import toy_head

HEAD = toy_head(24, 32)
SKIN, HAIR = np.array([205, 150, 128], np.uint8), np.array([60, 42, 30], np.uint8)


def _picture(hair_columns: slice) -> WorkingPicture:
    colour = np.tile(SKIN, (80, 120, 1))
    colour[:, hair_columns] = HAIR
    return WorkingPicture(colour.astype(np.float32).mean(2), np.zeros(2), 1.0, colour)


def _skin_map(beside: np.ndarray | None) -> SkinMap:
    samples = SKIN * np.random.default_rng(2).uniform(0.8, 1.1, (200, 1)) + np.random.default_rng(3).normal(0, 2, (200, 3))
    model = fit_skin_colour(samples)
    assert model is not None
    known = np.full(HEAD.num_vertices, np.nan, np.float32)
    return SkinMap(np.ones(HEAD.num_vertices, np.float32), np.zeros(HEAD.num_vertices, bool), {3: model, 5: model}, known, beside=beside)


def _matches(view_b: int = 5) -> Matches:
    """Four matches on as many triangles: skin in both views, hair in the second, hair in the first, on the last two vertices' side."""
    deformable = make_deformable(HEAD)
    corners = HEAD.triangles[[10, 40, 90, 160]].astype(np.int64)
    samples = sample_surface(corners, np.full((4, 3), 1 / 3), deformable.modes, deformable.shapes)
    px_a = np.array([[20.0, 30.0], [30.0, 60.0], [100.0, 20.0], [20.0, 10.0]])
    px_b = np.array([[60.0, 40.0], [10.0, 50.0], [80.0, 70.0], [12.0, 33.0]])
    return Matches(3, view_b, samples, px_a, px_b, np.array([1.0, 0.8, 0.6, 0.4]), 1.0)


PICTURES = [_picture(slice(0, 0))] * 3 + [_picture(slice(90, 120))] + [_picture(slice(0, 0))] + [_picture(slice(0, 25))]
"""In view 3 hair is on the right, in view 5 on the left."""


def test_a_match_with_hair_in_either_of_its_pictures_counts_for_nothing():
    skin = _skin_map(np.ones(HEAD.num_vertices, bool))
    weight = skin.trusted([_matches()], PICTURES)[0].weight
    np.testing.assert_allclose(weight, [1.0, 0.0, 0.0, 0.0], atol=0.01)


def test_far_from_hair_a_dark_spot_is_a_mole_and_keeps_its_matches():
    beside = np.ones(HEAD.num_vertices, bool)
    matches = _matches()
    beside[matches.samples.corners[3]] = False
    np.testing.assert_allclose(_skin_map(beside).trusted([matches], PICTURES)[0].weight, [1.0, 0.0, 0.0, 0.4], atol=0.01)
    np.testing.assert_allclose(_skin_map(None).trusted([matches], PICTURES)[0].weight, matches.weight, atol=0.01)


def test_a_view_whose_skin_is_not_known_has_no_say():
    skin = _skin_map(np.ones(HEAD.num_vertices, bool))
    views = dataclasses.replace(skin, views={3: skin.views[3]})
    np.testing.assert_allclose(views.trusted([_matches()], PICTURES)[0].weight, [1.0, 0.8, 0.0, 0.4], atol=0.01)


def test_beside_reaches_as_far_as_it_says_and_nowhere_without_hair():
    points = np.array([[0.0, 0.0, 0.0], [0.9 * BESIDE_M, 0.0, 0.0], [1.1 * BESIDE_M, 0.0, 0.0]])
    np.testing.assert_array_equal(beside_unlike(points, np.array([True, False, False])), [True, True, False])
    assert not beside_unlike(points, np.zeros(3, bool)).any()
