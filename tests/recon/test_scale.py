"""Where a head's size comes from, and its error: a rig, the pupils, distances between named points."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from assets import load_head
from assets.errors import RangeError
from assets.head_model import HeadModel
from assets.landmarks import LandmarkEmbedding, load_embedding
from recon import FitSettings, load_avatar, save_avatar
from recon.capture import Capture
from recon.fitting import assemble, check_fit
from recon.named_points import named_points, place_of
from recon.scale import MEASURING_SD_MM, fitted_distance_mm, scale_words, size_by_distances
from tests.recon.synthetic_person import Person, make_person, prepare_person
from tests.recon.test_assemble import solution_of


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def embedding(head: HeadModel) -> LandmarkEmbedding:
    return load_embedding(head)


@pytest.fixture(scope="module")
def person(head: HeadModel) -> Person:
    return make_person(head, yaws_deg=(-20.0, 25.0))


def test_named_points_lie_where_their_names_say(head, embedding):
    """Asymmetric: the left side of the neutral is pushed out by 8 mm, which must show on left names alone."""
    place = {name: 1e3 * place_of(name, head, head.vertices, embedding)[0] for name in named_points()}
    for side, sign in (("left", 1), ("right", -1)):
        outer, inner, pupil = place[f"eye_outer_{side}"], place[f"eye_inner_{side}"], place[f"pupil_{side}"]
        assert sign * outer[0] > sign * pupil[0] > sign * inner[0] > 5
        assert sign * place[f"ear_{side}"][0] > sign * outer[0] + 15
        assert 15 < sign * place[f"mouth_corner_{side}"][0] < 35 and place[f"mouth_corner_{side}"][1] < -40
    assert place["nose_tip"][2] == max(point[2] for point in place.values())
    assert place["nose_bridge"][1] > place["nose_tip"][1] > place["nose_base"][1] > place["mouth_corner_left"][1] > place["chin"][1]
    assert all(abs(place[name][0]) < 2 for name in ("nose_tip", "nose_base", "nose_bridge", "chin"))
    wider = head.vertices.copy()
    wider[wider[:, 0] > 0.005, 0] += 0.008
    for name in named_points():
        moved = 1e3 * place_of(name, head, wider, embedding)[0][0] - place[name][0]
        assert moved == pytest.approx(8.0 if name.endswith("_left") else 0.0, abs=0.6), name


def test_a_stated_distance_scales_the_head_until_it_has_it(head, embedding):
    """88.5 mm stated on a head that has d: the factor is 88.5 / d, and its error that of ruler and landmarks, in quadrature."""
    fitted, spread = fitted_distance_mm("eye_outer_left", "eye_outer_right", head, head.vertices, embedding, 9)
    size = size_by_distances([("eye_outer_left", "eye_outer_right", 88.5)], head, head.vertices, embedding, 9)
    assert size.factor == pytest.approx(88.5 / fitted, rel=1e-9) and size.is_metric
    assert size.relative_sd == pytest.approx(math.hypot(MEASURING_SD_MM, spread) / 88.5, rel=1e-9)
    assert "eye_outer_left to eye_outer_right 88.5 mm" in size.source
    once = size_by_distances([("eye_outer_left", "eye_outer_right", 88.5)], head, head.vertices, embedding, 1)
    assert once.relative_sd is not None and size.relative_sd is not None and once.relative_sd > 1.5 * size.relative_sd


def test_a_long_distance_counts_for_more_than_a_short_one_and_several_for_more_than_one(head, embedding):
    """The ears ask for 1.10, the inner eye corners for 1.00: the mean lies nearer to what the longer distance asks."""
    ears, _ = fitted_distance_mm("ear_left", "ear_right", head, head.vertices, embedding, 16)
    eyes, _ = fitted_distance_mm("eye_inner_left", "eye_inner_right", head, head.vertices, embedding, 16)
    both = size_by_distances(
        [("ear_left", "ear_right", 1.1 * ears), ("eye_inner_left", "eye_inner_right", eyes)], head, head.vertices, embedding, 16
    )
    assert 1.06 < both.factor < 1.10
    assert len(both.notes) >= 1 and "contradict" in both.notes[0], "ten percent apart is no chance"
    agreeing = [("ear_left", "ear_right", 1.1 * ears), ("nose_bridge", "chin", 1.1 * _mm("nose_bridge", "chin", head, embedding))]
    together = size_by_distances(agreeing, head, head.vertices, embedding, 16)
    alone = size_by_distances(agreeing[:1], head, head.vertices, embedding, 16)
    assert together.notes == () and together.factor == pytest.approx(1.1, rel=1e-6)
    assert together.relative_sd is not None and alone.relative_sd is not None and both.relative_sd is not None
    assert together.relative_sd < alone.relative_sd < both.relative_sd, "what contradicts itself is known worse"


def _mm(first: str, second: str, head: HeadModel, embedding: LandmarkEmbedding) -> float:
    return fitted_distance_mm(first, second, head, head.vertices, embedding, 1)[0]


@pytest.mark.parametrize(
    ("distances", "words"),
    [
        ((("eye_outer_left", "eyeouter_right", 88.0),), "did you mean 'eye_outer_right'"),
        ((("eye_left", "chin", 70.0),), "did you mean 'eye_outer_left' or 'eye_inner_left'?"),
        ((("nose_tip", "nose_tip", 60.0),), "different points"),
        ((("ear_left", "ear_right", 0.155),), "5 to 300 millimetres"),
        ((("ear_left", "ear_right", float("nan")),), "5 to 300 millimetres"),
    ],
)
def test_a_distance_that_cannot_be_is_refused_before_any_work(distances, words):
    with pytest.raises(RangeError) as caught:
        check_fit(FitSettings(distances=distances))
    assert words in f"{caught.value.expected} {caught.value.do}"
    if "eyeouter" in str(distances):
        assert all(name in caught.value.expected for name in named_points())


def test_loose_photos_become_metric_by_a_distance_and_their_cameras_move_along(person, embedding):
    prepared = prepare_person(person, focal_px=600.0)
    solution = solution_of(prepared, log_scale=0.0)
    capture = Capture(Path(), prepared.views, "relative")
    stated = (("mouth_corner_left", "mouth_corner_right", 61.0),)
    avatar = assemble(capture, prepared, solution, embedding, FitSettings(distances=stated))
    left, right = (place_of(name, avatar.head, avatar.neutral, embedding)[0] for name in ("mouth_corner_left", "mouth_corner_right"))
    assert 1e3 * np.linalg.norm(left - right) == pytest.approx(61.0, abs=1e-2)
    assert avatar.scale == "metric" and avatar.scale_error is not None and 0.005 < avatar.scale_error < 0.1
    plain = assemble(capture, prepared, solution, embedding, FitSettings())
    assert plain.scale == "relative" and plain.scale_error is None and plain.scale_source == ""
    for with_size, without in zip(avatar.views, plain.views, strict=True):
        assert with_size.camera is not None and without.camera is not None
        px, _ = with_size.camera.project(avatar.pose_view(with_size).vertices.astype(float))
        expected, _ = without.camera.project(plain.pose_view(without).vertices.astype(float))
        np.testing.assert_allclose(px, expected, atol=5e-3)


def test_a_rig_gives_the_size_and_a_stated_distance_only_checks_it(person, embedding):
    prepared = prepare_person(person, rig=True)
    solution = solution_of(prepared, log_scale=0.0)
    stated = FitSettings(distances=(("eye_outer_left", "eye_outer_right", 200.0),))
    avatar = assemble(Capture(Path(), prepared.views, "metric"), prepared, solution, person.avatar.landmarks, FitSettings())
    assert avatar.scale_source == "the rig's cameras"
    checked = assemble(Capture(Path(), prepared.views, "metric"), prepared, solution, embedding, stated)
    np.testing.assert_array_equal(checked.offsets, avatar.offsets)
    assert any("The rig gives the size" in note and "stated as 200 mm" in note for note in checked.notes)


def test_scale_and_error_are_stored_and_read_back(person, tmp_path: Path):
    import dataclasses

    for error, source in ((0.0123, "the rig's cameras"), (None, "")):
        small = np.full((8, 8, 3), 150, np.uint8)
        saved = dataclasses.replace(person.avatar, albedo_srgb=small, scale_error=error, scale_source=source)
        avatar = load_avatar(save_avatar(tmp_path / "avatar", saved), head=person.avatar.head)
        assert (avatar.scale_error, avatar.scale_source) == (error, source)
    assert scale_words("metric", 0.0123, "the rig's cameras") == "metric, ± 1.2 % (from the rig's cameras)"
    assert scale_words("relative", None, "") == "relative"
