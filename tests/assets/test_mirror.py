"""Pairs of mirrored vertices: exact where a head is symmetric, one to one everywhere."""

from __future__ import annotations

import numpy as np

from assets.head_model import PARTS
from assets.mirror import mirror_pairs

NO_TRIANGLES = np.zeros((0, 3), int)


def test_an_exactly_symmetric_cloud_is_paired_exactly():
    half = np.random.default_rng(3).uniform(0.01, 0.1, (200, 3))
    cloud = np.concatenate([half, half * (-1, 1, 1), [[0.0, 0.5, 0.5]]])
    np.testing.assert_array_equal(mirror_pairs(cloud, np.ones(401, np.uint8), NO_TRIANGLES), [*range(200, 400), *range(200), 400])


def test_vertices_at_one_place_are_paired_one_to_one():
    """Two strips that meet in a line: the doubled vertices must not both choose the same partner."""
    left = np.array([(1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 1, 0), (1, 0, 0), (1, 1, 0), (1, 0, 2), (1, 1, 2)], float)
    vertices = np.concatenate([left, left * (-1, 1, 1), [(0, 0, 0)]])
    quads = np.array([(0, 2, 3), (0, 3, 1), (4, 6, 7), (4, 7, 5)])
    triangles = np.concatenate([quads, quads + 8, [(16, 0, 8)]])
    pairs = mirror_pairs(vertices, np.ones(17, np.uint8), triangles)
    np.testing.assert_array_equal(pairs, [*range(8, 16), *range(8), 16])


def test_the_left_eye_lies_opposite_the_right_one_though_skin_is_nearer():
    skin, left, right = (PARTS.index(name) for name in ("skin", "eye_left", "eye_right"))
    vertices = np.array([(0.03, 0, 0), (-0.033, 0, 0), (0.031, 0, 0), (-0.031, 0, 0)])
    pairs = mirror_pairs(vertices, np.array([left, right, skin, skin]), NO_TRIANGLES)
    np.testing.assert_array_equal(pairs, [1, 0, 3, 2])


def test_what_has_no_partner_is_its_own_and_nobody_shares_one():
    vertices = np.array([(0.03, 0, 0), (0.031, 0, 0), (-0.0302, 0, 0), (0.0, 0.1, 0)])
    np.testing.assert_array_equal(mirror_pairs(vertices, np.ones(4, np.uint8), NO_TRIANGLES), [2, 1, 0, 3])
