"""Coverage and advice: directions, information of pairs, what is asked for next and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from assets import load_head
from recon.coverage import (
    PRIOR_SD_MM,
    CoverSurface,
    SeenFrom,
    cover,
    cover_surface,
    direction_of,
    pair_information,
    visibility,
    yaw_and_pitch_of,
)
from recon.coverage_expressions import EXPRESSIONS, above_rest, shown_expressions
from recon.coverage_next import gain_map, in_words, next_photos, yaw_gaps
from render import HeadPose, head_pose_matrix


@pytest.fixture(scope="module")
def surface() -> CoverSurface:
    return cover_surface(load_head())


def views(*yaws: float, pitch: float = 0.0) -> list[SeenFrom]:
    return [SeenFrom(f"{yaw:g}", yaw, pitch) for yaw in yaws]


def test_a_camera_that_sees_the_head_turned_to_its_left_stands_at_its_right():
    np.testing.assert_allclose(direction_of(30.0, 0.0), [-0.5, 0.0, np.cos(np.radians(30))], atol=1e-12)
    # Turned up means that the camera stands below.
    assert direction_of(0.0, 20.0)[1] < -0.3
    for yaw, pitch in ((37.0, -11.0), (-80.0, 24.0), (0.0, 5.0)):
        np.testing.assert_allclose(yaw_and_pitch_of(direction_of(yaw, pitch)), (yaw, pitch), atol=1e-9)


def test_for_a_yaw_alone_the_direction_is_that_of_the_projects_head_pose():
    turned = head_pose_matrix(HeadPose(yaw_deg=42.0))
    np.testing.assert_allclose(direction_of(42.0, 0.0), turned.T @ [0, 0, 1], atol=1e-12)


def test_pairs_tell_nothing_below_6_and_above_50_degrees_and_most_in_between():
    told = pair_information(np.array([5.9, 10.0, 20.0, 30.0, 49.0, 50.1]))
    assert told[0] == 0 and told[5] == 0
    assert told[1] < told[2] < told[3] and told[4] < told[1]
    # (sin 30 / 0.35 mm)^2 by hand.
    assert told[3] == pytest.approx((0.5 / 0.35) ** 2)


def test_a_camera_at_the_left_sees_the_left_ear_and_not_the_right_one(surface):
    seen = visibility(surface, direction_of(np.array([-70.0]), np.array([0.0])))[0]
    by_area = {
        area: seen[[name == area for name in surface.areas]].max() for area in ("left ear", "right ear", "left cheek", "right cheek")
    }
    assert by_area["left ear"] > 0.6 and by_area["left cheek"] > 0.6 and by_area["right ear"] == 0 and by_area["right cheek"] == 0


def test_one_view_leaves_the_prior_and_a_second_one_lowers_only_what_both_see(surface):
    alone = cover(surface, views(-15.0))
    np.testing.assert_allclose(alone.sd_mm, PRIOR_SD_MM)
    two = cover(surface, views(-15.0, 15.0)).sd_mm
    areas = np.array(surface.areas)
    assert np.median(two[areas == "nose"]) < 0.75 * PRIOR_SD_MM
    hidden = (visibility(surface, direction_of(np.array([-15.0, 15.0]), np.array([0.0, 0.0]))) == 0).any(0)
    assert hidden.mean() > 0.3
    np.testing.assert_allclose(two[hidden], PRIOR_SD_MM, rtol=1e-6)
    assert (two[~hidden] < PRIOR_SD_MM).all()


def test_the_order_of_views_does_not_change_the_coverage(surface):
    a = cover(surface, views(-60, -20, 10, 45))
    b = cover(surface, views(10, 45, -60, -20))
    np.testing.assert_allclose(a.information, b.information, rtol=1e-9)


def test_the_photo_asked_for_lies_on_the_side_that_is_missing(surface):
    right_only = next_photos(cover(surface, views(0, 15, 30, 45, 60, 75)))[0]
    left_only = next_photos(cover(surface, views(0, -15, -30, -45, -60, -75)))[0]
    assert -60 <= right_only.yaw_deg <= -15 and right_only.expression == "" and "person's left" in right_only.text
    assert 15 <= left_only.yaw_deg <= 60 and "person's right" in left_only.text
    assert any("left" in area for area in right_only.areas)


def test_profiles_are_asked_for_when_only_they_are_missing(surface):
    half = [SeenFrom(f"{yaw} {pitch}", yaw, pitch) for yaw in range(-45, 46, 15) for pitch in (-25.0, 0.0, 25.0)]
    assert abs(next_photos(cover(surface, half))[0].yaw_deg) >= 60


def test_each_photo_taken_leaves_less_to_gain(surface):
    have = views(-10, 10)
    losses = []
    for _ in range(5):
        coverage = cover(surface, have)
        losses.append(coverage.loss_mm)
        best = next_photos(coverage, 1)[0]
        weights = {name: 1.0 for group in EXPRESSIONS if group.name == best.expression for name in group.shapes}
        have.append(SeenFrom(f"new {len(have)}", best.yaw_deg, best.pitch_deg, 1.0, weights))
        assert cover(surface, have).loss_mm == pytest.approx(losses[-1] * (1 - best.gain), rel=1e-6)
    assert (np.diff(losses) < 0).all()


def test_an_expression_seen_once_is_asked_for_from_a_second_side(surface):
    around = [SeenFrom(f"{yaw} {pitch}", yaw, pitch) for yaw in range(-90, 91, 10) for pitch in (-40.0, -20.0, 0.0, 20.0, 40.0)]
    others = [
        SeenFrom(f"{group.name} {yaw}", yaw, 0.0, 1.0, dict.fromkeys(group.shapes, 0.9))
        for group in EXPRESSIONS
        for yaw in ((0.0,) if group.name == "smile" else (-60.0, -35.0, -10.0, 15.0, 40.0))
    ]
    best = next_photos(cover(surface, around + others))[0]
    assert best.expression == "smile" and 10 <= abs(best.yaw_deg) <= 50 and "Only one picture" in best.text


def test_a_full_set_asks_for_nothing(surface):
    around = [SeenFrom(f"{yaw} {pitch}", yaw, pitch) for yaw in range(-90, 91, 10) for pitch in (-40.0, -20.0, 0.0, 20.0, 40.0)]
    posed = [
        SeenFrom(f"{group.name} {yaw}", yaw, 0.0, 1.0, dict.fromkeys(group.shapes, 0.9))
        for group in EXPRESSIONS
        for yaw in range(-60, 61, 15)
    ]
    assert next_photos(cover(surface, around + posed)) == ()


def test_an_empty_set_is_told_where_to_begin(surface):
    first, second, *_ = next_photos(cover(surface, []))
    assert abs(first.yaw_deg) <= 30 and first.pitch_deg == 0 and first.expression == "" and first.gain > 0.1
    assert "Begin with this one" in first.text and "Begin" not in second.text
    assert 6 < abs(second.yaw_deg - first.yaw_deg) < 50, "a partner for it"


def test_small_faces_and_views_of_unknown_place_are_worth_less_or_nothing(surface):
    good = cover(surface, views(-15, 15)).loss_mm
    small = cover(surface, [SeenFrom("a", -15, 0, 0.4), SeenFrom("b", 15, 0, 0.4)]).loss_mm
    lost = cover(surface, [*views(-15), SeenFrom("b", float("nan"), float("nan"))]).loss_mm
    assert good < small < lost


def test_the_map_of_gain_is_higher_on_the_side_that_is_missing(surface):
    gain = gain_map(cover(surface, views(-75, -50, -25, 0)), np.array([-50.0, 30.0]), np.array([0.0]))
    assert gain.shape == (1, 2) and gain[0, 1] > 2 * gain[0, 0] >= 0


def test_gaps_are_those_that_no_neighbours_bridge():
    assert yaw_gaps(views(-70, -40, 20, 75)) == [(-40.0, 20.0), (20.0, 75.0)]
    assert yaw_gaps(views(-40, -10, 20)) == [(-90.0, -40.0), (20.0, 90.0)]
    assert yaw_gaps(views(-80, -50, -20, 10, 40, 70, 85)) == []


def test_words_name_the_persons_own_side_and_the_height():
    assert in_words(-45, 0) == "from the person's left at 45 degrees, level"
    assert in_words(90, 30) == "from the person's right, a full profile, from below at 30 degrees"
    assert in_words(3, -30) == "from straight in front, from above at 30 degrees"


def test_what_all_pictures_share_is_no_expression():
    same = [{"browInnerUp": 0.5, "mouthSmileLeft": 0.0 if k else 0.8} for k in range(5)]
    rested = above_rest(same, [0.0] * 5)
    assert all("browInnerUp" not in record for record in rested) and rested[0]["mouthSmileLeft"] == pytest.approx(0.8)
    # Too few to tell what is common: nothing is taken off.
    assert above_rest(same[:3], [0.0] * 3)[1]["browInnerUp"] == pytest.approx(0.5)
    # The score of a side says nothing of the front's.
    sided = [{"browInnerUp": 0.6}] * 4 + [{"browInnerUp": 0.0}] * 4
    assert above_rest(sided, [0.0] * 4 + [70.0] * 4) == [{}] * 8


def test_one_raised_corner_of_the_mouth_is_a_smile():
    assert shown_expressions({"mouthSmileRight": 0.6, "jawOpen": 0.9, "mouthPucker": 0.2}) == ("mouth open", "smile")
