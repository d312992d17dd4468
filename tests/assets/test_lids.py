"""Lids: what is added to blinks, and what is pushed out of the eyeballs."""

from __future__ import annotations

import numpy as np
import pytest

from assets import ARKIT_BLENDSHAPES, HeadModel, load_head
from assets.errors import RangeError
from assets.gaze import gaze_offsets, gaze_rotation, lid_weights
from assets.head_model import PARTS
from assets.lids import BLINKS, blink_corrections, closing_deltas, find_rims, lid_rims, lids_outside
from assets.posing import personal_deltas, pose_vertices


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("anny")


@pytest.fixture(scope="module")
def person(head) -> np.ndarray:
    return head.neutral(np.random.default_rng(5).normal(size=head.num_identity))


def test_rims_face_each_other_across_the_opening(head):
    for side, rims in enumerate(lid_rims(head)):
        upper, lower = rims.points(head.vertices, head.triangles)
        assert (upper[:, 1] > lower[:, 1]).all()
        assert 0.006 < (upper - lower)[:, 1].max() < 0.012
        np.testing.assert_allclose(upper[:, 0], rims.across, atol=1e-6)
        assert 0.020 < np.ptp(rims.across) < 0.035
        assert np.sign(rims.across.mean()) == (1, -1)[side]


def test_a_part_without_triangles_has_no_rims(head):
    assert not len(find_rims(head.vertices, head.triangles, head.triangle_parts, PARTS.index("lashes")).across)


def test_rims_of_a_person_meet_in_height_at_a_blink(head, person):
    deltas = closing_deltas(head, person)
    for name, rims in zip(BLINKS, lid_rims(head), strict=True):
        raw, own = (
            rims.points(person + shapes[ARKIT_BLENDSHAPES.index(name)], head.triangles) for shapes in (head.blendshape_deltas, deltas)
        )
        inner = slice(4, -4)
        gap, own_gap = (np.abs(upper - lower)[inner, 1] for upper, lower in (raw, own))
        assert np.median(own_gap) < 6e-4
        assert own_gap.max() < 9e-4 < gap.max()


def test_rims_meet_at_a_blink_that_is_the_persons_own_too(head, person):
    """A person's own blink ends a millimetre too high: what the rims lack is made up after that, not before."""
    index = ARKIT_BLENDSHAPES.index("eyeBlinkLeft")
    own = 0.15 * np.linalg.norm(head.blendshape_deltas[index], axis=1, keepdims=True) * (0.0, 1.0, 0.0)
    deltas = personal_deltas(head, np.float32(1.25) * person, scale=1.25, corrections={"eyeBlinkLeft": np.float32(own)})
    rims = lid_rims(head)[0]
    upper, lower = rims.points(1.25 * person + deltas[index], head.triangles)
    assert np.abs(upper - lower)[4:-4, 1].max() < 1.25 * 9e-4
    others = np.delete(deltas - personal_deltas(head, np.float32(1.25) * person, scale=1.25), index, axis=0)
    assert not others.any()


def test_only_blinks_are_corrected_and_by_what_blink_corrections_say(head, person):
    added = closing_deltas(head, person) - head.blendshape_deltas
    blinks = [ARKIT_BLENDSHAPES.index(name) for name in BLINKS]
    assert not np.delete(added, blinks, axis=0).any()
    expected = 0.7 * added[blinks[0]] + 0.2 * added[blinks[1]]
    np.testing.assert_allclose(blink_corrections(head, person, [0.7, 0.2]), expected, atol=1e-8)
    assert not blink_corrections(head, person, [0.0, 0.0]).any()


def test_the_correction_is_linear_in_the_neutral(head, person):
    other = head.neutral(np.random.default_rng(6).normal(size=head.num_identity))
    at = [closing_deltas(head, neutral) for neutral in (person, other, 0.25 * person + 0.75 * other)]
    np.testing.assert_allclose(at[2], 0.25 * at[0] + 0.75 * at[1], atol=2e-7)


def test_what_lies_in_the_eyeball_is_pushed_out_and_what_does_not_stays(head, person):
    ball = head.vertex_parts == PARTS.index("eye_left")
    centre, radius = person[ball].mean(0), np.linalg.norm(person[ball] - person[ball].mean(0), axis=1).max()
    blinked = person + personal_deltas(head, person)[0]
    lid = np.flatnonzero((head.vertex_regions == 1) & (np.linalg.norm(blinked - centre, axis=1) < radius + 0.004) & (blinked[:, 2] > 0.008))
    sunk = blinked.copy()
    sunk[lid] -= (blinked[lid] - centre) * 0.2
    out = lids_outside(head, sunk, person)
    outer = np.linalg.norm(out[lid] - centre, axis=1) - np.linalg.norm(sunk[lid] - centre, axis=1)
    assert np.count_nonzero(outer > 1e-3) > 40
    rest = np.setdiff1d(np.arange(head.num_vertices), lid)
    assert np.abs(lids_outside(head, person, person) - person).max() == 0
    assert np.abs(out[rest] - lids_outside(head, blinked, person)[rest]).max() < 1e-7


def test_a_head_of_another_size_poses_the_same_in_its_size(head, person):
    weights = {"eyeBlinkLeft": 0.6, "jawOpen": 0.4, "eyeLookInRight": 0.3}
    posed = pose_vertices(head, person, personal_deltas(head, person), weights, yaw_deg=9, pitch_deg=-14)
    big = np.float32(1.25) * person
    deltas = personal_deltas(head, big, scale=1.25)
    np.testing.assert_allclose(pose_vertices(head, big, deltas, weights, yaw_deg=9, pitch_deg=-14, scale=1.25), 1.25 * posed, atol=3e-7)


def test_lids_follow_in_proportion_to_the_angle(head):
    small, large = (lid_weights(head, yaw_deg=0, pitch_deg=-angle) for angle in (5, 10))
    assert set(small) == {"eyeLookDownLeft", "eyeLookDownRight"}
    assert large["eyeLookDownLeft"] == pytest.approx(2 * small["eyeLookDownLeft"])
    assert set(lid_weights(head, yaw_deg=12, pitch_deg=0)) == {"eyeLookOutLeft", "eyeLookInRight"}


def test_gaze_is_refused_where_its_angles_are_not_finite_and_nothing_moves_straight_ahead(head):
    with pytest.raises(RangeError, match="finite"):
        gaze_offsets(head, head.vertices, yaw_deg=float("nan"), pitch_deg=0)
    assert not gaze_offsets(head, head.vertices, yaw_deg=0, pitch_deg=0).any()
    np.testing.assert_allclose(gaze_rotation(90, 0) @ (0, 0, 1), (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(gaze_rotation(0, 90) @ (0, 0, 1), (0, 1, 0), atol=1e-12)
