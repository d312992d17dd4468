"""Landmark embeddings of all schemes and the MediaPipe face drawing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets import load_embedding, load_head, mediapipe_face_edges
from assets.detector_model import load_detector_model, save_detector_model
from assets.errors import MissingAssetError, RangeError, ShapeError
from assets.landmark_schemes import SCHEMES, scheme_points, scheme_size, scheme_table
from assets.landmarks import LandmarkEmbedding, check_embedding, closest_on_triangles, embedding_of


def made_up_embedding(seed: int = 1) -> LandmarkEmbedding:
    head, rng = load_head(), np.random.default_rng(seed)
    return LandmarkEmbedding(
        scheme="mediapipe478",
        topology_hash=head.topology_hash,
        triangle_index=rng.integers(0, len(head.triangles), 478).astype(np.int32),
        barycentric=rng.dirichlet((1, 1, 1), 478).astype(np.float32),
        spread_mm=rng.uniform(0, 5, 478).astype(np.float32),
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_lies_on_the_surface_where_the_calibration_has_it_from_the_front(scheme):
    head = load_head()
    embedding = load_embedding(head, scheme)
    points = embedding.points(head.vertices, head.triangles)
    seen = load_detector_model(head).points(head.vertices, head.triangles, 0.0)
    wanted, sources = scheme_points(scheme, seen), scheme_table(scheme).sources
    assert embedding.scheme == scheme and points.shape == (scheme_size(scheme), 3)
    away_mm = 1000 * np.linalg.norm(points - wanted, axis=1)
    is_mean = np.array([len(source) > 1 for source in sources])
    assert away_mm[~is_mean].max() < 0.01
    # The mean of points on a curved surface lies under it, by the height of the arc over their chord.
    assert away_mm.max() < 4.0
    assert np.isfinite(embedding.spread_mm).all() and 0.3 < np.median(embedding.spread_mm) < 3.0


def test_the_nearest_place_on_triangles_is_inside_on_a_side_or_at_a_corner():
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 2, 0]], [[5.0, 5, 5], [6, 5, 5], [5, 6, 5]]])
    for point, wanted in (
        ((0.25, 0.5, 3.0), (0.5, 0.25, 0.25)),  # Straight above the inside.
        ((0.5, -1.0, 0.0), (0.5, 0.5, 0.0)),  # Before the side from the first to the second corner.
        ((-1.0, -1.0, 0.0), (1.0, 0.0, 0.0)),  # Beyond a corner.
    ):
        triangle, weights = closest_on_triangles(np.array(point), flat)
        assert triangle == 0
        np.testing.assert_allclose(weights, wanted, atol=1e-12)
    assert closest_on_triangles(np.array((5.1, 5.1, 4.0)), flat)[0] == 1
    # A triangle without area is a line; it has nearest places all the same.
    triangle, weights = closest_on_triangles(np.array((1.5, 1.0, 0.0)), np.array([[[0.0, 0, 0], [1, 0, 0], [3, 0, 0]]]))
    np.testing.assert_allclose(weights @ [0, 1, 3], 1.5)


def test_the_spread_is_the_median_distance_of_round_noise():
    head, model = load_head(), load_detector_model(load_head())
    noise = np.random.default_rng(0).standard_normal((20000, 2)) * 1.7
    round_ = dataclasses.replace(model, covariance_mm2=np.tile(np.eye(2, dtype=np.float32) * 1.7**2, (*model.triangle_index.shape, 1, 1)))
    np.testing.assert_allclose(embedding_of(head, round_).spread_mm, np.median(np.linalg.norm(noise, axis=1)), rtol=0.02)
    blind = dataclasses.replace(model, detection_rate=np.zeros_like(model.detection_rate))
    assert np.isinf(embedding_of(head, blind).spread_mm).all()


def test_points_are_barycentric_on_the_posed_mesh():
    head = load_head()
    embedding = dataclasses.replace(
        made_up_embedding(), triangle_index=np.array([7], np.int32), barycentric=np.array([[0.2, 0.3, 0.5]], np.float32)
    )
    a, b, c = head.vertices[head.triangles[7]] + np.float32(1)
    expected = 0.2 * a + 0.3 * b + 0.5 * c
    np.testing.assert_allclose(embedding.points(head.vertices + np.float32(1), head.triangles)[0], expected, atol=1e-6)


def test_a_head_that_was_never_calibrated_names_the_files_and_the_command(tmp_path):
    head = load_head()
    with pytest.raises(MissingAssetError, match=rf"{head.topology_hash}\.bundled\.npz") as caught:
        load_embedding(head, "ibug68", folder=tmp_path)
    assert "recon assets calibrate --head anny" in caught.value.do
    with pytest.raises(RangeError, match="ibug68"):
        load_embedding(head, "ibug86")


def test_without_the_bundled_detectors_calibration_that_of_tasks_serves(tmp_path):
    head = load_head()
    model = dataclasses.replace(load_detector_model(head), detector="tasks")
    save_detector_model(head, model, folder=tmp_path)
    found, shipped = load_embedding(head, folder=tmp_path), load_embedding(head)
    np.testing.assert_array_equal(found.triangle_index, shipped.triangle_index)


def test_embedding_of_another_size_or_that_does_not_sum_to_one_is_refused():
    head, embedding = load_head(), made_up_embedding()
    assert check_embedding(embedding, len(head.triangles)) is embedding
    for wrong in (
        dataclasses.replace(embedding, triangle_index=embedding.triangle_index[:68]),
        dataclasses.replace(embedding, barycentric=embedding.barycentric * 1.1),
        dataclasses.replace(embedding, triangle_index=embedding.triangle_index + len(head.triangles)),
    ):
        with pytest.raises(ShapeError):
            check_embedding(wrong, len(head.triangles))


def test_face_drawing_has_124_edges_over_128_landmarks_and_two_pupils():
    parts = mediapipe_face_edges()
    edges = [pair for part in parts for pair in part.pairs]
    assert len(edges) == 124
    assert len({point for pair in edges for point in pair}) == 128
    assert {part.side: part.points for part in parts if part.points} == {"right": (468,), "left": (473,)}
    order = [(part.part, part.side) for part in parts]
    assert order[:6] == [("oval", "both"), ("eye", "left"), ("brow", "left"), ("eye", "right"), ("brow", "right"), ("lips", "both")]


def test_edges_are_mediapipes_own():
    mesh = pytest.importorskip("mediapipe").solutions.face_mesh
    theirs = {
        ("oval", "both"): mesh.FACEMESH_FACE_OVAL,
        ("lips", "both"): mesh.FACEMESH_LIPS,
        ("eye", "left"): mesh.FACEMESH_LEFT_EYE,
        ("eye", "right"): mesh.FACEMESH_RIGHT_EYE,
        ("brow", "left"): mesh.FACEMESH_LEFT_EYEBROW,
        ("brow", "right"): mesh.FACEMESH_RIGHT_EYEBROW,
    }
    ours = {(part.part, part.side): {frozenset(pair) for pair in part.pairs} for part in mediapipe_face_edges() if part.pairs}
    assert ours == {key: {frozenset(pair) for pair in pairs} for key, pairs in theirs.items()}


def test_colours_are_rgb_with_red_on_the_subjects_right_eye():
    colours = {(part.part, part.side): part.rgb for part in mediapipe_face_edges()}
    assert colours["eye", "right"] == (180, 200, 10)
    assert colours["brow", "left"] == (10, 220, 180)
    assert colours["pupil", "left"] == (10, 200, 250)
    assert colours["lips", "both"] == (10, 180, 10)


def test_a_spread_is_never_nan_or_negative_but_may_be_inf():
    head, embedding = load_head(), made_up_embedding()
    for bad in (np.nan, -1.0):
        spread_mm = embedding.spread_mm.copy()
        spread_mm[17] = bad
        with pytest.raises(ShapeError, match="spread_mm"):
            check_embedding(dataclasses.replace(embedding, spread_mm=spread_mm), len(head.triangles))
    check_embedding(dataclasses.replace(embedding, spread_mm=np.full(478, np.inf, np.float32)), len(head.triangles))
