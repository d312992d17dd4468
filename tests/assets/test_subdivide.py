"""Subdivided heads: the same head with more triangles; its names, parts, expressions and landmarks carry over."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import ConventionError, RangeError
from assets.head_model import PARTS, HeadModel, check_head
from assets.heads import load_head
from assets.landmarks import LandmarkEmbedding
from assets.loop_subdivision import loop_step, mesh_edges, vertex_points
from assets.refinement import coarse_topology, refined_places, refined_triangles
from assets.subdivide import subdivide_embedding, subdivide_head

NOSTRIL_ROOMS = np.r_[352, 381:399, 2549, 2577:2595]
"""Vertices of the default head that `assets/heads/anny_nostrils.py` places, and of the rim the one beside them on each side."""


@pytest.fixture(scope="module")
def head() -> HeadModel:
    """Anny with three identity modes: what is tested does not depend on their number."""
    whole = load_head()
    return dataclasses.replace(whole, identity_names=whole.identity_names[:3], identity_basis=whole.identity_basis[:3].copy())


@pytest.fixture(scope="module")
def fine(head: HeadModel) -> HeadModel:
    return subdivide_head(head, 1)


@pytest.fixture(scope="module")
def finer(head: HeadModel) -> HeadModel:
    return subdivide_head(head, 2)


def _random_embedding(head: HeadModel, num: int = 400) -> LandmarkEmbedding:
    rng = np.random.default_rng(8)
    barycentric = rng.dirichlet((0.7, 0.7, 0.7), num)
    barycentric[:6] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    index = rng.choice(len(head.triangles), num).astype(np.int32)
    return LandmarkEmbedding("random", head.topology_hash, index, barycentric.astype(np.float32), np.ones(num, np.float32))


def test_a_level_makes_four_triangles_of_one_and_keeps_the_contract(head, fine, finer):
    for level, refined in ((1, fine), (2, finer)):
        check_head(refined)
        assert refined.name == f"anny+{level}"
        assert len(refined.triangles) == 4**level * len(head.triangles)
        assert refined.identity_names == head.identity_names
        assert np.array_equal(np.bincount(refined.triangle_parts), 4**level * np.bincount(head.triangle_parts))
    assert subdivide_head(head, 0) is head


@pytest.mark.parametrize("levels", [-1, 3, 1.5])
def test_other_levels_are_refused(head, levels):
    with pytest.raises(RangeError, match="0 to 2"):
        subdivide_head(head, levels)


def test_the_face_stays_where_it_was(head, fine):
    """The heads' own vertices come first and move by a tenth of a millimetre, those of the face by about one at most."""
    face = (head.vertex_parts == PARTS.index("skin")) & (head.vertex_regions == 1)
    moved = np.linalg.norm(fine.vertices[: head.num_vertices] - head.vertices, axis=1)[face] * 1000
    # The rooms behind the nostrils are coarse tubes that nobody sees: they round off by 2 mm.
    room = np.isin(np.flatnonzero(face), NOSTRIL_ROOMS)
    assert np.median(moved) < 0.15 and moved[~room].max() < 1.2 and moved[room].max() < 2.5
    assert np.abs(fine.eye_centres() - head.eye_centres()).max() < 2e-5  # The origin of the head frame.


def test_both_levels_lie_on_one_surface(fine, finer):
    """The vertices of the first level are vertices of the second."""
    np.testing.assert_allclose(finer.vertices[: fine.num_vertices], fine.vertices, atol=2e-7)
    np.testing.assert_allclose(finer.blendshape_deltas[:, : fine.num_vertices], fine.blendshape_deltas, atol=2e-7)


def test_the_same_map_serves_the_average_and_every_displacement(head):
    """Subdividing an expression of an identity is that expression of that identity of the subdivided head."""
    weights, coeffs = {"jawOpen": 0.6, "mouthSmileLeft": 0.8}, np.array([1.0, -2.0, 0.5])
    posed = head.neutral(coeffs) + head.expression_offsets(weights)
    refined, of_posed = subdivide_head(head, 1), subdivide_head(dataclasses.replace(head, vertices=posed.astype(np.float32)), 1)
    np.testing.assert_allclose(refined.neutral(coeffs) + refined.expression_offsets(weights), of_posed.vertices, atol=1e-6)


def test_an_eyeball_that_turned_rigidly_still_does(head, fine):
    """A turn of the eyeball about its centre, put in place of a shape, comes out as that turn of the refined eyeball."""
    ball, centre = head.vertex_parts == PARTS.index("eye_left"), head.eye_centres()[0].astype(np.float64)
    turn = Rotation.from_rotvec(np.radians([7.0, 18.0, 0.0]))
    deltas = head.blendshape_deltas.copy()
    deltas[5][ball] = turn.apply(head.vertices[ball] - centre) + centre - head.vertices[ball]
    refined = subdivide_head(dataclasses.replace(head, blendshape_deltas=deltas), 1)
    ball = refined.vertex_parts == PARTS.index("eye_left")
    turned = refined.vertices[ball] + refined.blendshape_deltas[5][ball]
    assert np.linalg.norm(turn.apply(fine.vertices[ball] - centre) + centre - turned, axis=1).max() < 1e-7


def test_sides_still_mirror(head, fine):
    partner = fine.vertices[fine.mirror_vertices] * (-1, 1, 1)
    assert np.percentile(np.linalg.norm(partner - fine.vertices, axis=1), 99) < 6e-4
    left, right = (fine.blendshape_deltas[ARKIT_BLENDSHAPES.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    assert np.abs(left[fine.mirror_vertices] * (-1, 1, 1) - right).max() < 0.15 * np.abs(right).max()
    assert np.array_equal(fine.mirror_vertices[: head.num_vertices], head.mirror_vertices)


def test_parts_stay_apart_and_regions_do_not_grow(head, fine):
    for name in ("eye_left", "teeth_upper", "tongue"):
        part = PARTS.index(name)
        corners = fine.triangles[fine.triangle_parts == part]
        if name != "tongue" or (head.vertex_parts[head.triangles[head.triangle_parts == part]] == part).all():
            assert (fine.vertex_parts[corners] == part).all()
    # A new vertex is iris only between two that are.
    for side in ("eye_left", "eye_right"):
        iris = (fine.vertex_regions == 5) & (fine.vertex_parts == PARTS.index(side))
        coarse = (head.vertex_regions == 5) & (head.vertex_parts == PARTS.index(side))
        centre = head.vertices[coarse].mean(0)
        radius = np.linalg.norm(head.vertices[coarse] - centre, axis=1).max()
        assert np.linalg.norm(fine.vertices[iris] - centre, axis=1).max() < radius + 2e-4
    with_regions = np.isin(fine.vertex_parts, [PARTS.index(name) for name in ("skin", "eye_left", "eye_right")])
    assert not fine.vertex_regions[~with_regions].any()
    ends = mesh_edges(head.triangles).ends
    new = slice(head.num_vertices, None)
    assert (fine.vertex_regions[new] == head.vertex_regions[ends].min(1))[with_regions[new]].all()


def test_the_cut_of_the_neck_stays_a_flat_cap_with_a_sharp_rim(head, fine):
    def cap(model: HeadModel) -> np.ndarray:
        """Doubled areas of the triangles that lie in the level of the lowest vertices."""
        corners = model.vertices[model.triangles].astype(np.float64)
        corners = corners[corners[..., 1].max(1) < model.vertices[:, 1].min() + 1e-4]
        return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)

    assert len(cap(head)) > 100 and len(cap(fine)) == 4 * len(cap(head))
    assert cap(fine).sum() == pytest.approx(cap(head).sum(), rel=0.05)
    assert fine.vertices[:, 1].min() == pytest.approx(head.vertices[:, 1].min(), abs=2e-5)


def test_uvs_are_split_in_the_middle_and_seams_stay(head, fine):
    def areas(model: HeadModel) -> np.ndarray:
        a, b, c = np.moveaxis(model.uvs[model.triangle_uvs].astype(np.float64), 1, 0)
        return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])

    # Each child has a quarter of its parent's area in the chart, with the same sign.
    np.testing.assert_allclose(areas(fine), np.tile(areas(head) / 4, 4), atol=1e-8)
    np.testing.assert_array_equal(fine.uvs[: len(head.uvs)], head.uvs)


@pytest.mark.parametrize("levels", [1, 2])
def test_landmarks_keep_their_share_of_the_parent_exactly(head, levels):
    """Where children lie flat on the parent, the carried-over points are the points themselves."""
    embedding = _random_embedding(head)
    carried = subdivide_embedding(head, embedding, levels)
    flat, triangles = head.vertices.astype(np.float64), head.triangles
    for _ in range(levels):
        edges = mesh_edges(triangles)
        flat, triangles = np.concatenate([flat, flat[edges.ends].mean(1)]), refined_triangles(triangles, len(flat), 1)
    np.testing.assert_allclose(carried.points(flat, triangles), embedding.points(flat[: head.num_vertices], head.triangles), atol=1e-7)
    assert carried.barycentric.min() >= -1e-6 and carried.barycentric.sum(1) == pytest.approx(1.0, abs=1e-5)


def test_landmarks_belong_to_the_subdivided_head_and_stay_near(head, fine, finer):
    embedding = _random_embedding(head)
    on_face = (head.triangle_parts == PARTS.index("skin")) & (head.vertex_regions[head.triangles] == 1).all(1)
    is_face = on_face[embedding.triangle_index]
    for levels, refined in ((1, fine), (2, finer)):
        carried = subdivide_embedding(head, embedding, levels)
        assert carried.topology_hash == refined.topology_hash and carried.scheme == embedding.scheme
        away = carried.points(refined.vertices, refined.triangles) - embedding.points(head.vertices, head.triangles)
        away_mm = np.linalg.norm(away, axis=1)[is_face] * 1000
        assert np.median(away_mm) < 0.3 and away_mm.max() < 1.5  # The bulge of the surface between the head's own vertices.


def test_an_embedding_of_another_head_is_refused(head):
    stranger = dataclasses.replace(_random_embedding(head), topology_hash="0" * 12)
    with pytest.raises(ConventionError, match="before subdivision"):
        subdivide_embedding(head, stranger, 1)


def test_the_coarse_topology_is_read_back_from_a_refined_head(head, fine, finer):
    for levels, refined in ((0, head), (1, fine), (2, finer)):
        coarse = coarse_topology(refined)
        assert (coarse.name, coarse.levels, coarse.topology_hash) == ("anny", levels, head.topology_hash)
    # A name that only looks so is no refinement.
    impostor = coarse_topology(dataclasses.replace(head, name="flame:/x/model+1"))
    assert impostor.levels == 0 and impostor.topology_hash == head.topology_hash


def test_a_point_goes_to_the_child_at_the_heavy_corner_or_the_middle():
    index, weights = refined_places(
        np.array([2, 2, 2, 2]), np.array([[0.8, 0.1, 0.1], [0, 0.6, 0.4], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3]]), 10, 1
    )
    np.testing.assert_array_equal(index, [2, 12, 22, 32])
    # Worked by hand: corner child 2w - e; the middle one has the middles of ab, bc, ca as corners.
    np.testing.assert_allclose(weights, [[0.6, 0.2, 0.2], [0, 0.2, 0.8], [0.2, 0.4, 0.4], [0.4, 0.2, 0.4]], atol=1e-7)


def test_creases_keep_a_fold_that_smoothing_would_round():
    """Two squares that meet at a right angle along y: with groups the fold's line keeps its own points, without it sinks."""
    triangles = np.array([[0, 2, 1], [1, 2, 3], [0, 1, 4], [1, 5, 4]])
    points = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1.0]])
    folded = loop_step(triangles, 6, np.array([1, 1, 2, 2])).matrix @ points
    rounded = loop_step(triangles, 6).matrix @ points
    middle = np.abs(folded[:, 1] - 0.5) < 1e-9
    on_fold = middle & (np.abs(folded[:, 0]) < 1e-9) & (np.abs(folded[:, 2]) < 1e-9)
    assert on_fold.sum() == 1
    assert not (np.abs(rounded[middle][:, [0, 2]]).max(1) < 1e-9).any()


def test_the_limit_of_a_regular_vertex_weighs_itself_half():
    """Loop 1987: with six neighbours the limit is 1/2 of the vertex and 1/12 of each neighbour."""
    fan = np.array([[0, 1 + k, 1 + (k + 1) % 6] for k in range(6)])
    row = vertex_points(mesh_edges(fan), 7, at_limit=True).toarray()[0]
    np.testing.assert_allclose(row, [0.5, *[1 / 12] * 6])
