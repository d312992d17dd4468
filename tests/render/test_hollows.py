"""Share of the sky that a surface does not see, on shapes for which it is known."""

import numpy as np
import trimesh

from render.hollows import hidden_shares


def test_a_ball_hides_nothing_from_outside_and_all_from_inside():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.01)
    assert not hidden_shares(ball.vertices, ball.faces).any()
    np.testing.assert_array_equal(hidden_shares(ball.vertices, ball.faces[:, ::-1]), 1.0)
    assert not hidden_shares(ball.vertices, ball.faces[:, ::-1], reach_m=0.0005).any(), "the far wall is out of reach"


def test_at_the_middle_of_a_pit_the_hidden_share_is_the_cosine_weighted_wall():
    """Floor of an open tube as deep as wide: a cosine-weighted hemisphere sees the rim's disc, r² / (r² + h²) = 1/5."""
    tube = trimesh.creation.cylinder(radius=0.005, height=0.01, sections=256)
    inward = tube.faces[:, ::-1]
    top = (tube.vertices[inward][:, :, 2] > 0.0049).all(1)
    pit = trimesh.Trimesh(tube.vertices, inward[~top], process=False)
    middle = int(np.argmin(np.linalg.norm(pit.vertices - (0, 0, -0.005), axis=1)))
    found = hidden_shares(pit.vertices, pit.faces, num_rays=2000)[middle]
    # Rays start half a millimetre above the floor.
    height = 0.01 - 0.0005
    expected = 1 - 0.005**2 / (0.005**2 + height**2)
    assert abs(found - expected) < 0.02
