"""Lids, gaze, lips and teeth of every head model, seen by level rays as a camera sees them, on the average head and on random people."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.gaze import gaze_offsets, look_angles_deg
from assets.head_model import PARTS, HeadModel
from assets.lids import lid_rims
from assets.posing import personal_deltas, pose_vertices
from tests.assets.head_rays import Look, Looker, beside_longest_run, longest_columns_mm
from tests.assets.heads_under_test import delta, part, random_neutrals, region

EYES = ("eye_left", "eye_right")
SUFFIX = ("Left", "Right")
OPENING_MM = (18.0, 13.0)
"""Half width and half height of the picture of an eye: what of the other eye or the nose comes in is cut off."""

VIEWS = ((0, 0), (20, 0), (-20, 0), (0, 20), (0, -20))
NUM_PEOPLE = 6


@functools.cache
def people(head: HeadModel) -> list[tuple[np.ndarray, np.ndarray]]:
    """Neutral (V, 3) and own shapes (52, V, 3) of the average head and of random people."""
    return [(neutral, personal_deltas(head, neutral)) for neutral in (head.vertices, *random_neutrals(head, NUM_PEOPLE))]


def look_at_eye(head: HeadModel, vertices: np.ndarray, side: int, yaw_deg: float = 0, pitch_deg: float = 0) -> Look:
    centre = head.eye_centres(vertices)[side]
    return Looker(head, vertices).look(centre, OPENING_MM, yaw_deg=yaw_deg, pitch_deg=pitch_deg, step_mm=0.15)


def posed(head: HeadModel, person: tuple[np.ndarray, np.ndarray], weights: dict[str, float], **gaze: float) -> np.ndarray:
    return pose_vertices(head, *person, weights, **gaze)


# --- Lids -----------------------------------------------------------------------------------------------------------


def test_blinks_close_the_eyes_of_the_average_head_and_of_random_people(head):
    """Less than 0.5 mm of eyeball in any column, from the front and from 20 degrees to each side, above and below."""
    if "eyeBlinkLeft" in head.absent_blendshapes:
        assert not delta(head, "eyeBlinkLeft").any() and not delta(head, "eyeBlinkRight").any()
        return
    worst = 0.0
    for person in people(head):
        for side in (0, 1):
            vertices = posed(head, person, {f"eyeBlink{SUFFIX[side]}": 1.0})
            looker, centre = Looker(head, vertices), head.eye_centres(vertices)[side]
            for yaw_deg, pitch_deg in VIEWS:
                seen = looker.look(centre, OPENING_MM, yaw_deg=yaw_deg, pitch_deg=pitch_deg, step_mm=0.15)
                worst = max(worst, longest_columns_mm(seen.shows(EYES[side]), seen.step_mm))
    print(f"{head.name}: {worst:.2f} mm open at the most")
    assert worst < 0.5


def test_eyes_are_open_at_neutral_and_a_blink_leaves_the_other_eye_open(head):
    for side in (0, 1):
        opened = look_at_eye(head, head.vertices, side)
        assert 5.0 < longest_columns_mm(opened.shows(EYES[side]), opened.step_mm) < 15.0
        blinked = posed(head, people(head)[0], {f"eyeBlink{SUFFIX[1 - side]}": 1.0})
        assert look_at_eye(head, blinked, side).area_mm2(EYES[side]) == pytest.approx(opened.area_mm2(EYES[side]), rel=0.01)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.75])
def test_no_eyeball_comes_through_a_closing_lid(head, weight):
    """In each column of the picture what is seen of the eyeball is one stretch: the opening between the lids."""
    if "eyeBlinkLeft" in head.absent_blendshapes:
        assert "eyeBlinkRight" in head.absent_blendshapes
        return
    for person in people(head)[:4]:
        for side in (0, 1):
            seen = look_at_eye(head, posed(head, person, {f"eyeBlink{SUFFIX[side]}": weight}), side)
            holes_mm2 = beside_longest_run(seen.shows(EYES[side])) * seen.step_mm**2
            assert holes_mm2 < 0.25, f"{holes_mm2:.2f} mm2 of eyeball beside the opening"


def test_lids_at_half_a_blink_lie_no_deeper_in_the_eyeball_than_at_rest(head):
    """A straight line between open and closed cuts the corner of a ball: the skin over the ball must not sink into it."""
    if "eyeBlinkLeft" in head.absent_blendshapes:
        assert not len(lid_rims(head)[0].across)
        return
    face = np.flatnonzero(region(head, "face"))
    average = ball_distance_mm(head, head.vertices, face)
    for person in people(head):
        half = posed(head, person, {"eyeBlinkLeft": 0.5})
        before, after = (ball_distance_mm(head, vertices, face) for vertices in (person[0], half))
        is_lid = (average > 0.5) & (average < 8) & (before > 0.3)
        assert is_lid.sum() > 20
        print(f"{head.name}: {after[is_lid].min():.2f} mm")
        assert after[is_lid].min() > 0.0


def ball_distance_mm(head: HeadModel, vertices: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(N,) distance of vertices before the left eyeball from its surface, along the radius; inf for what is not before it."""
    ball = part(head, "eye_left")
    centre = vertices[ball].mean(0)
    arms, rays = vertices[ball] - centre, vertices[indices] - centre
    radii, lengths = np.linalg.norm(arms, axis=1), np.linalg.norm(rays, axis=1)
    nearest = np.argmax((rays / lengths[:, None]) @ (arms / radii[:, None]).T, axis=1)
    return np.where(rays[:, 2] > 0.4 * lengths, lengths - radii[nearest], np.inf) * 1e3


# --- Gaze -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("yaw_deg", "pitch_deg", "axis", "sign"), [(20, 0, 0, 1), (-20, 0, 0, -1), (0, 20, 1, 1), (0, -20, 1, -1)])
def test_a_gaze_of_20_degrees_moves_the_iris_by_the_chord_of_20_degrees(head, yaw_deg, pitch_deg, axis, sign):
    """2 r sin(10 degrees), r from the eyeball's centre to the iris's; positive yaw to the subject's left, positive pitch up."""
    for person in people(head):
        start, centres = head.iris_centres(person[0]), head.eye_centres(person[0])
        turned = posed(head, person, {}, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
        moved = head.iris_centres(turned) - start
        chord = 2 * np.linalg.norm(start - centres, axis=1) * np.sin(np.radians(10))
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), chord, rtol=0.03)
        assert (sign * moved[:, axis] > 0.9 * chord).all()
        np.testing.assert_allclose(head.eye_centres(turned), centres, atol=1e-6)


def test_the_eyeball_turns_as_one_rigid_piece(head):
    ball = part(head, "eye_left")
    turned = head.vertices + gaze_offsets(head, head.vertices, yaw_deg=12, pitch_deg=-9)
    sample = np.flatnonzero(ball)[:: max(1, ball.sum() // 40)]
    before, after = (np.linalg.norm(v[sample][:, None] - v[sample][None], axis=-1) for v in (head.vertices, turned))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_gaze_shapes_turn_the_iris_of_their_own_eye(head):
    for side, suffix in enumerate(SUFFIX):
        for way, axis, sign in (("Up", 1, 1), ("Down", 1, -1), ("In", 0, -1 + 2 * side), ("Out", 0, 1 - 2 * side)):
            motion = head.iris_centres(head.vertices + delta(head, f"eyeLook{way}{suffix}")) - head.iris_centres()
            assert sign * motion[side, axis] > 0.002, f"eyeLook{way}{suffix}"
            assert np.abs(motion[1 - side]).max() < 1e-4
    assert 8 < min(look_angles_deg(head).values()) <= max(look_angles_deg(head).values()) < 45


def test_lids_follow_the_gaze_up_and_down(head):
    """Looking down lowers the upper lid, looking up raises it; a head whose lids do not close has lids that stand still."""
    rims = lid_rims(head)
    if "eyeBlinkLeft" in head.absent_blendshapes:
        skin = part(head, "skin")
        assert not any(delta(head, f"eyeLook{way}Left")[skin].any() for way in ("Up", "Down", "In", "Out"))
        assert not gaze_offsets(head, head.vertices, yaw_deg=0, pitch_deg=-20)[skin].any()
        return
    for person in people(head):
        for side in (0, 1):
            heights = {}
            for pitch_deg in (-20, 0, 20):
                upper = rims[side].points(posed(head, person, {}, pitch_deg=pitch_deg), head.triangles)[0]
                heights[pitch_deg] = upper[len(upper) // 3 : -len(upper) // 3, 1].mean() * 1e3
            assert heights[-20] < heights[0] - 1.5
            assert heights[20] > heights[0] + 0.5


def test_no_eyeball_comes_through_the_lids_at_any_gaze(head):
    for person in people(head)[:3]:
        for yaw_deg, pitch_deg in ((25, 0), (-25, 0), (0, 18), (0, -25), (18, -15)):
            vertices = posed(head, person, {}, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
            seen = look_at_eye(head, vertices, 0)
            assert beside_longest_run(seen.shows("eye_left")) * seen.step_mm**2 < 0.25


@pytest.mark.parametrize(("yaw_deg", "pitch_deg"), [(0, 20), (0, -20), (20, 10)])
def test_a_blink_stays_closed_wherever_the_eye_looks(head, yaw_deg, pitch_deg):
    if "eyeBlinkLeft" in head.absent_blendshapes:
        assert not delta(head, "eyeBlinkLeft").any()
        return
    for person in people(head)[:3]:
        blinked = posed(head, person, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
        for side in (0, 1):
            seen = look_at_eye(head, blinked, side)
            assert longest_columns_mm(seen.shows(EYES[side]), seen.step_mm) < 0.5


# --- Mouth ----------------------------------------------------------------------------------------------------------

INSIDE = ("teeth_upper", "teeth_lower", "tongue", "mouth_socket")


def look_at_mouth(head: HeadModel, vertices: np.ndarray, yaw_deg: float = 0, half_mm: tuple[float, float] = (38, 24)) -> Look:
    return Looker(head, vertices).look(mouth_centre(head), half_mm, yaw_deg=yaw_deg)


def mouth_centre(head: HeadModel) -> np.ndarray:
    """(3,) where the lips move apart most: the mean of what `mouthClose` moves more than half as far as the farthest."""
    lips = np.linalg.norm(delta(head, "mouthClose"), axis=1) * region(head, "face")
    return head.vertices[lips > 0.5 * lips.max()].mean(0)


def test_lips_meet_at_neutral(head):
    """Nothing of the mouth's inside, and no hole, shows for more than 0.3 mm between the lips."""
    seen = look_at_mouth(head, head.vertices)
    assert longest_columns_mm(seen.shows(*INSIDE) | seen.is_back, seen.step_mm) <= 0.3
    assert seen.shows("skin").mean() > 0.9


def test_teeth_are_inside_the_mouth_at_neutral(head):
    """No pixel of a tooth from any yaw within 60 degrees."""
    for yaw_deg in range(-60, 61, 15):
        assert not look_at_mouth(head, head.vertices, yaw_deg).shows("teeth_upper", "teeth_lower").any(), yaw_deg


def test_teeth_show_at_jaw_open_0_7(head):
    opened = head.vertices + head.expression_offsets({"jawOpen": 0.7})
    seen = look_at_mouth(head, opened, half_mm=(38, 50))
    if {"teeth_upper", "teeth_lower"} <= set(head.absent_parts):
        assert not np.isin(head.triangle_parts, [PARTS.index("teeth_upper"), PARTS.index("teeth_lower")]).any()
        return
    area = {name: seen.area_mm2(name) for name in ("teeth_upper", "teeth_lower")}
    print(f"{head.name}: {area} mm2")
    assert sum(area.values()) > 4.0
    assert min(area.values()) > 1.0


def test_jaw_open_parts_the_lips_and_takes_the_lower_teeth_and_tongue_along(head):
    drop_mm = delta(head, "jawOpen")[:, 1] * 1e3
    for name, most in (("teeth_lower", -10.0), ("tongue", -6.0)):
        if name in head.absent_parts:
            assert not part(head, name).any()
        else:
            assert drop_mm[part(head, name)].mean() < most
    if "teeth_upper" not in head.absent_parts:
        assert np.abs(drop_mm[part(head, "teeth_upper")]).max() < 0.1
    # Without a mouth socket the rays go through to the inside of the head's back.
    opened = look_at_mouth(head, head.vertices + head.expression_offsets({"jawOpen": 1.0}), half_mm=(38, 50))
    assert longest_columns_mm(opened.shows(*INSIDE) | opened.is_back | opened.shows("background"), opened.step_mm) > 15.0


def test_mouth_close_with_jaw_open_keeps_the_lips_together(head):
    """ARKit's `mouthClose` is the closing of the lips independent of the jaw: with as much jawOpen they stay nearly closed."""
    weights = {"jawOpen": 0.3, "mouthClose": 0.3}
    closed = look_at_mouth(head, head.vertices + head.expression_offsets(weights), half_mm=(20, 24))
    opened = look_at_mouth(head, head.vertices + head.expression_offsets({"jawOpen": 0.3}), half_mm=(20, 24))
    gaps = [longest_columns_mm(~seen.shows("skin") | seen.is_back, seen.step_mm) for seen in (closed, opened)]
    assert gaps[0] < 0.35 * gaps[1]


def test_every_shape_of_the_table_is_an_arkit_name():
    from tests.assets.test_head_contract import MOTIONS

    assert set(MOTIONS) <= set(ARKIT_BLENDSHAPES)
