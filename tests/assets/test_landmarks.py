"""Landmark embeddings on disk and the MediaPipe face drawing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from assets import load_embedding, load_head, mediapipe_face_edges, save_embedding
from assets.errors import ConventionError, MissingAssetError, ShapeError
from assets.landmarks import LandmarkEmbedding


def made_up_embedding(seed: int = 1) -> LandmarkEmbedding:
    head, rng = load_head(), np.random.default_rng(seed)
    return LandmarkEmbedding(
        scheme="mediapipe478",
        topology_hash=head.topology_hash,
        triangle_index=rng.integers(0, len(head.triangles), 478).astype(np.int32),
        barycentric=rng.dirichlet((1, 1, 1), 478).astype(np.float32),
        spread_mm=rng.uniform(0, 5, 478).astype(np.float32),
    )


def test_embedding_survives_saving_and_loading(tmp_path):
    head, embedding = load_head(), made_up_embedding()
    path = save_embedding(head, embedding, folder=tmp_path)
    assert path.name == f"anny-{head.topology_hash}.mediapipe478.npz"
    loaded = load_embedding(head, folder=tmp_path)
    for field in ("triangle_index", "barycentric", "spread_mm"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(embedding, field))


def test_points_are_barycentric_on_the_posed_mesh():
    head = load_head()
    embedding = dataclasses.replace(
        made_up_embedding(), triangle_index=np.array([7], np.int32), barycentric=np.array([[0.2, 0.3, 0.5]], np.float32)
    )
    a, b, c = head.vertices[head.triangles[7]] + np.float32(1)
    expected = 0.2 * a + 0.3 * b + 0.5 * c
    np.testing.assert_allclose(embedding.points(head.vertices + np.float32(1), head.triangles)[0], expected, atol=1e-6)


def test_missing_embedding_names_the_file_and_the_command(tmp_path):
    head = load_head()
    with pytest.raises(MissingAssetError, match=rf"{head.topology_hash}\.ibug68\.npz") as caught:
        load_embedding(head, "ibug68", folder=tmp_path)
    assert "recon.calibrate" in caught.value.do


def test_embedding_of_another_topology_or_size_is_refused(tmp_path):
    head, embedding = load_head(), made_up_embedding()
    with pytest.raises(ConventionError):
        save_embedding(head, dataclasses.replace(embedding, topology_hash="0" * 12), folder=tmp_path)
    with pytest.raises(ShapeError):
        save_embedding(head, dataclasses.replace(embedding, triangle_index=embedding.triangle_index[:68]), folder=tmp_path)
    with pytest.raises(ShapeError):
        save_embedding(head, dataclasses.replace(embedding, barycentric=embedding.barycentric * 1.1), folder=tmp_path)
    assert not list(tmp_path.iterdir())


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


def test_a_spread_is_never_nan_or_negative_but_may_be_inf(tmp_path):
    head, embedding = load_head(), made_up_embedding()
    for bad in (np.nan, -1.0):
        spread_mm = embedding.spread_mm.copy()
        spread_mm[17] = bad
        with pytest.raises(ShapeError, match="spread_mm"):
            save_embedding(head, dataclasses.replace(embedding, spread_mm=spread_mm), folder=tmp_path)
    unseen = dataclasses.replace(embedding, spread_mm=np.full(478, np.inf, np.float32))
    assert save_embedding(head, unseen, folder=tmp_path).exists()
