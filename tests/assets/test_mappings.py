"""Names of other systems to and from ARKit's: complete, honest about gaps, and lossless where nothing is missing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets.blendshapes import ARKIT_BLENDSHAPES, mirror_name
from assets.errors import RangeError
from assets.heads import load_head
from assets.mappings import MAPPINGS, mapping, shape_residuals

NATIVE_SIZES = {"ict": 57, "mediapipe": 52, "livelink": 61}

ABSENT = {"ict": {"tongueOut"}, "mediapipe": {"tongueOut"}, "livelink": set()}


@pytest.mark.parametrize("system", MAPPINGS)
def test_every_name_of_both_sides_is_mapped_or_has_a_reason(system):
    table = mapping(system)
    assert {*table.native_of} | {*table.missing_native} == {*ARKIT_BLENDSHAPES}
    assert {*table.native_of} & {*table.missing_native} == set()
    assert len(table.native_names) == len(set(table.native_names)) == NATIVE_SIZES[system]
    assert {*table.missing_native} == ABSENT[system]
    assert all(len(reason) > 20 for reason in (*table.missing_native.values(), *table.missing_arkit.values()))


@pytest.mark.parametrize("system", MAPPINGS)
def test_left_stays_left(system):
    """Native names of a left shape say left in their own way, and become the right shape's by changing that alone."""
    table = mapping(system)
    for name, natives in table.native_of.items():
        if mirror_name(name) == name:
            continue
        swapped = {native.replace("Left", "#").replace("Right", "Left").replace("#", "Right") for native in natives}
        swapped = {n[:-2] + {"_L": "_R", "_R": "_L"}.get(n[-2:], n[-2:]) for n in swapped}
        assert swapped == set(table.native_of[mirror_name(name)]), name


@pytest.mark.parametrize("system", MAPPINGS)
def test_arkit_weights_come_back_but_for_what_the_system_lacks(system):
    table = mapping(system)
    weights = dict(zip(ARKIT_BLENDSHAPES, np.random.default_rng(5).uniform(0.05, 1.0, 52).tolist(), strict=True))
    trip = table.round_trip(weights)
    assert {**trip.residuals} == {name: weights[name] for name in ABSENT[system]}
    assert trip.residual == max([0.0, *(weights[name] for name in ABSENT[system])])
    assert {**trip.weights} == pytest.approx({name: w for name, w in weights.items() if name not in ABSENT[system]}, abs=1e-15)


def test_icts_halves_each_take_the_whole_weight_and_come_back_as_their_mean():
    ict = mapping("ict")
    assert {**ict.from_arkit({"browInnerUp": 0.6})} == {"browInnerUp_L": 0.6, "browInnerUp_R": 0.6}
    assert {**ict.to_arkit({"cheekPuff_L": 0.8, "cheekPuff_R": 0.2})} == {"cheekPuff": 0.5}
    trip = ict.round_trip_native({"cheekPuff_L": 0.8, "cheekPuff_R": 0.2, "jawOpen": 0.3, "PupilDilate_L": 0.4})
    # What goes is the difference between the sides, and the pupil that ARKit does not know.
    assert {**trip.residuals} == pytest.approx({"cheekPuff_L": 0.3, "cheekPuff_R": -0.3, "PupilDilate_L": 0.4})
    assert trip.residual == pytest.approx(0.4)


def test_mediapipes_neutral_score_is_left_out():
    scores = {"_neutral": 0.9, "eyeBlinkLeft": 0.25}
    assert {**mapping("mediapipe").to_arkit(scores)} == {"eyeBlinkLeft": 0.25}
    assert {**mapping("mediapipe").round_trip_native(scores).residuals} == {"_neutral": 0.9}


def test_live_link_columns_are_in_the_order_of_arkits_names():
    columns = mapping("livelink").native_names
    assert columns[0] == "EyeBlinkLeft" and columns[51] == "TongueOut"
    assert [name[0].lower() + name[1:] for name in columns[:52]] == [*ARKIT_BLENDSHAPES]
    assert columns[52:55] == ("HeadYaw", "HeadPitch", "HeadRoll")


def test_a_heads_own_shapes_have_no_residual_and_absent_ones_are_wholly_lost():
    head = load_head()
    assert set(shape_residuals(head).values()) == {0.0}
    fitted = head.blendshape_residuals.copy()
    fitted[ARKIT_BLENDSHAPES.index("jawOpen")] = 0.25
    lacking = dataclasses.replace(head, absent_blendshapes=("tongueOut",), blendshape_residuals=fitted)
    assert {name: value for name, value in shape_residuals(lacking).items() if value} == {"jawOpen": 0.25, "tongueOut": 1.0}


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(RangeError, match="did you mean 'mouthSmile_L'"):
        mapping("ict").to_arkit({"mouthSmileL": 1.0})
    with pytest.raises(RangeError, match="did you mean 'mouthSmileLeft'"):
        mapping("ict").from_arkit({"mouthSmile_L": 1.0})
    with pytest.raises(RangeError, match="finite"):
        mapping("mediapipe").to_arkit({"jawOpen": float("nan")})
    with pytest.raises(RangeError, match="did you mean 'mediapipe'"):
        mapping("media pipe")
