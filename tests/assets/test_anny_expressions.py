"""The corrections of Anny's expression shapes (data/anny_expressions.toml) do what their reasons say, and the same on both sides."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

import assets
from assets import HeadModel, load_head
from assets.blendshapes import ARKIT_BLENDSHAPES, mirror_name
from assets.head_model import PARTS
from assets.heads.anny_expressions import HALF_FADE_M, recipes

TABLE = tomllib.loads((Path(assets.__file__).parent / "data/anny_expressions.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("anny")


def motion(head: HeadModel, name: str, part: str = "skin") -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 3) and displacements (N, 3) of one part, metres."""
    is_part = head.vertex_parts == PARTS.index(part)
    return head.vertices[is_part], head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)][is_part]


def mean_near(head: HeadModel, name: str, point: tuple[float, float, float], reach_m: float = 0.012) -> np.ndarray:
    """(3,) mean displacement of the skin around a point, metres."""
    places, offsets = motion(head, name)
    near = np.linalg.norm(places - point, axis=1) < reach_m
    assert near.sum() > 5
    return offsets[near].mean(0)


def mouth_corner(head: HeadModel, side: int) -> tuple[float, float, float]:
    """The left (+1) or right (-1) corner: where mouthSmile lifts the skin most."""
    places, offsets = motion(head, "mouthSmileLeft" if side > 0 else "mouthSmileRight")
    x, y, z = places[offsets[:, 1].argmax()]
    return float(x), float(y), float(z)


def test_every_entry_is_a_shape_with_a_reason_and_stands_for_its_mirror_image():
    for name, entry in TABLE.items():
        assert name in ARKIT_BLENDSHAPES and not name.endswith("Right")
        assert set(entry) <= {"mix", "half", "reason"} and len(entry["reason"]) > 20
        assert {name, mirror_name(name)} <= set(recipes())


def test_left_and_right_of_a_target_are_exchanged_and_in_of_a_dimple_is_not():
    assert recipes()["mouthRight"]["mix"] == {"mouthRight": 0.9, "mouth/mouth-trans-in": 0.6, "mouth/mouth-trans-out": -0.6}
    assert recipes()["mouthDimpleRight"]["half"] == {"mouth/mouth-dimples-in": 1.0}
    assert "cheek/r-cheek-volume-incr" in recipes()["cheekSquintRight"]["mix"]
    assert "units/nose-right-elevation" in recipes()["noseSneerRight"]["mix"]


@pytest.mark.parametrize("name", sorted(recipes()))
def test_teeth_stay_where_lips_move(head, name):
    for part in ("teeth_upper", "teeth_lower"):
        _, offsets = motion(head, name, part)
        rigid = offsets.mean(0) if name.startswith("jaw") and part == "teeth_lower" else np.zeros(3)
        assert np.abs(offsets - rigid).max() < 2e-4


def test_the_mouth_moves_to_its_side_as_a_whole(head):
    for side, name in ((1, "mouthLeft"), (-1, "mouthRight")):
        for corner in (1, -1):
            assert 0.004 < side * mean_near(head, name, mouth_corner(head, corner))[0] < 0.02


def test_the_jaw_moves_sideways_rather_than_forward(head):
    x, _, z = motion(head, "jawLeft", "teeth_lower")[1].mean(0)
    assert x > 0.006 and abs(z) < 0.35 * x


def test_a_sneer_lifts_the_nostril_of_its_side(head):
    places, _ = motion(head, "noseSneerLeft")
    tip = places[places[:, 2].argmax()]
    wing = (0.017, float(tip[1]), float(tip[2]) - 0.02)
    lift = mean_near(head, "noseSneerLeft", wing)
    other = mean_near(head, "noseSneerLeft", (-wing[0], wing[1], wing[2]))
    assert lift[1] > 0.003 and abs(other[1]) < 0.3 * lift[1]


def test_a_press_lifts_the_lower_lip_and_does_not_pull_the_corner_out(head):
    x, y, _ = mouth_corner(head, 1)
    corner = mean_near(head, "mouthPressLeft", mouth_corner(head, 1))
    assert corner[0] < 0.003
    places, offsets = motion(head, "mouthPressLeft")
    lower_lip = (np.abs(places[:, 0] - 0.4 * x) < 0.006) & (np.abs(places[:, 1] - (y - 0.008)) < 0.006) & (places[:, 2] > 0.015)
    assert offsets[lower_lip, 1].mean() > 0.001


def test_a_half_stays_on_its_side(head):
    places, offsets = motion(head, "mouthDimpleLeft")
    own = np.linalg.norm(offsets[places[:, 0] > 0], axis=1).max()
    far = np.linalg.norm(offsets[places[:, 0] < -HALF_FADE_M], axis=1).max()
    assert own > 0.004 and far < 0.1 * own


def test_brows_lift_the_forehead_above_them(head):
    assert mean_near(head, "browInnerUp", (0.016, 0.03, 0.024))[1] > 0.0025


def test_puffed_cheeks_bulge_to_the_sides(head):
    places, offsets = motion(head, "cheekPuff")
    cheek = (places[:, 0] > 0.04) & (np.abs(places[:, 1] + 0.065) < 0.012) & (places[:, 2] > -0.01)
    assert cheek.sum() > 5 and offsets[cheek, 0].mean() > 0.003


def test_the_upper_lid_rises_with_the_eye(head):
    places, offsets = motion(head, "eyeLookUpLeft")
    centre = head.eye_centres()[0]
    lid = (np.abs(places[:, 0] - centre[0]) < 0.006) & (places[:, 1] > centre[1]) & (places[:, 1] < centre[1] + 0.006)
    lid &= places[:, 2] > centre[2] + 0.008
    assert lid.sum() > 3 and offsets[lid, 1].max() > 0.002
