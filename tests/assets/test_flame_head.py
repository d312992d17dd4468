"""The FLAME head from a FLAME-shaped file: frame, parts, regions, identity, texture layout, licence, cache."""

from __future__ import annotations

import time

import numpy as np
import pytest

from assets import ARKIT_BLENDSHAPES, HeadModel, load_head
from assets.errors import InputError, RangeError
from assets.head_model import PARTS, REGIONS
from assets.heads.flame import load_flame
from assets.heads.flame_chart import lay_out
from assets.heads.flame_parts import vertex_parts
from tests.assets.flame_file import NUM_SKIN, SHIFT_M, flame_arrays, flame_path


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head(f"flame:{flame_path()}")


def delta(head: HeadModel, name: str) -> np.ndarray:
    return head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]


def part(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_parts == PARTS.index(name)


def test_vertices_are_the_files_about_the_midpoint_of_its_eyes_in_metres(head):
    np.testing.assert_allclose(head.vertices, flame_arrays()["v_template"] - SHIFT_M, atol=1e-6)
    np.testing.assert_array_equal(head.triangles, flame_arrays()["f"])
    left, right = head.eye_centres()
    np.testing.assert_allclose((left + right) / 2, 0, atol=1e-6)
    assert left[0] > 0.028
    np.testing.assert_allclose(head.neck_joint, flame_arrays()["J"][1] - SHIFT_M, atol=1e-6)


def test_parts_are_found_by_connection_not_by_number():
    """Vertices in random order, eyeballs anywhere in it: each vertex keeps its part, and left stays at the greater x."""
    arrays = flame_arrays()
    known = np.full(5023, PARTS.index("skin"), np.uint8)
    known[NUM_SKIN + 2 : NUM_SKIN + 548], known[NUM_SKIN + 548 :] = PARTS.index("eye_left"), PARTS.index("eye_right")
    np.testing.assert_array_equal(vertex_parts(arrays["v_template"], arrays["f"].astype(int), "x"), known)
    order = np.random.default_rng(8).permutation(5023)
    place = np.argsort(order)
    found = vertex_parts(arrays["v_template"][order], place[arrays["f"].astype(int)][::-1], "x")
    np.testing.assert_array_equal(found, known[order])


def test_a_mesh_with_one_eyeball_is_refused():
    arrays = flame_arrays()
    with pytest.raises(InputError, match="1 components beside the skin"):
        vertex_parts(arrays["v_template"], arrays["f"][: 7800 + 1088].astype(int), "x")


def test_regions_lie_where_anatomy_has_them(head):
    centre = {name: head.vertices[head.vertex_regions == index].mean(0) for index, name in enumerate(REGIONS) if index}
    assert centre["face"][2] > -0.01 > centre["ears"][2] > centre["scalp"][2]
    assert centre["scalp"][1] > centre["face"][1] > centre["neck"][1]
    ears = head.vertices[head.vertex_regions == REGIONS.index("ears")]
    assert np.abs(ears[:, 0]).min() > 0.05
    # Loose vertices belong to no region, so that nothing is measured on them.
    assert (head.vertex_regions[NUM_SKIN : NUM_SKIN + 2] == 0).all()


def test_the_iris_is_a_disc_of_the_right_size_at_the_front_of_each_ball(head):
    for name, centre in zip(("eye_left", "eye_right"), head.eye_centres(), strict=True):
        iris = head.vertices[part(head, name) & (head.vertex_regions == REGIONS.index("iris"))] - centre
        radius = np.linalg.norm(iris[:, :2], axis=1)
        assert 0.0040 < radius.max() <= 0.0059
        assert iris[:, 2].min() > 0.012


def test_mirror_pairs_are_an_involution_and_swap_the_eyes(head):
    pairs = head.mirror_vertices
    np.testing.assert_array_equal(pairs[pairs], np.arange(head.num_vertices))
    assert part(head, "eye_right")[pairs[part(head, "eye_left")]].all()
    miss = np.linalg.norm(head.vertices[pairs] * (-1, 1, 1) - head.vertices, axis=1)
    # The made head is lopsided by up to 2 mm.
    assert np.median(miss) < 0.5e-3 and np.percentile(miss, 95) < 4e-3


def test_identity_has_a_hundred_unit_modes_that_leave_the_eyes_midpoint_in_place(head):
    assert head.num_identity == 100
    raw = flame_arrays()["shapedirs"][..., 3]
    balls = [raw[part(head, name)].mean(0) for name in ("eye_left", "eye_right")]
    np.testing.assert_allclose(head.identity_basis[3], raw - np.mean(balls, axis=0), atol=1e-8)
    for mode in head.identity_basis:
        assert np.abs(head.eye_centres(head.vertices + mode).mean(0)).max() < 1e-6


def test_no_triangle_of_the_layout_is_folded_and_no_texel_has_two_owners(head):
    corners = head.uvs[head.triangle_uvs].astype(np.float64)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert (edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]).min() > 0
    size = 2048
    shrunk = (corners.mean(1, keepdims=True) + 0.8 * (corners - corners.mean(1, keepdims=True))) * size
    owners = np.zeros((size, size), np.uint8)
    for triangle in shrunk:
        low, high = np.floor(triangle.min(0)).astype(int), np.ceil(triangle.max(0)).astype(int) + 1
        canvas = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
        sides = [np.cross(triangle[(k + 1) % 3] - triangle[k], np.stack([x, y], -1) - triangle[k]) for k in range(3)]
        canvas[np.minimum.reduce(sides) > 0] = 1
        owners[low[1] : high[1], low[0] : high[0]] += canvas
    assert owners.max() == 1
    assert owners.mean() > 0.4


def test_the_layout_gives_the_face_even_texels_and_the_seam_lies_behind(head):
    corners, solid = head.uvs[head.triangle_uvs] * 1024, head.vertices[head.triangles] * 1000
    flat_area = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    area = np.linalg.norm(np.cross(solid[:, 1] - solid[:, 0], solid[:, 2] - solid[:, 0]), axis=1)
    face = (head.vertex_regions[head.triangles] == REGIONS.index("face")).all(1)
    texels_per_mm = np.sqrt(flat_area[face] / area[face])
    low, middle, high = np.percentile(texels_per_mm, [5, 50, 95])
    assert middle > 2 and high / low < 3
    # Vertices with two texture coordinates are the seam's.
    pairs = np.unique(np.stack([head.triangles.ravel(), head.triangle_uvs.ravel()], 1), axis=0)
    doubled = np.flatnonzero((np.bincount(pairs[:, 0], minlength=head.num_vertices) > 1) & part(head, "skin"))
    assert len(doubled) > 15
    assert head.vertices[doubled, 2].max() < -0.03
    assert np.abs(head.vertices[doubled, 0]).max() < 0.012


def test_a_head_whose_neck_is_closed_cannot_be_laid_out(head):
    ball = head.triangles[head.triangle_parts == PARTS.index("eye_left")]
    with pytest.raises(InputError, match="neck"):
        lay_out(head.vertices, ball, np.ones(len(ball), np.uint8), np.zeros(head.num_vertices, bool), "x.pkl")


def test_licence_is_non_commercial_unless_the_user_states_the_open_one():
    assert not load_flame(flame_path()).commercial
    assert "non-commercial" in load_flame(flame_path()).licence
    stated = load_flame(flame_path(), licence="cc-by-4.0")
    assert stated.commercial and "as stated by the user" in stated.licence
    with pytest.raises(RangeError, match="MIT"):
        load_flame(flame_path(), licence="MIT")


def test_a_compiled_file_loads_in_less_than_a_second():
    load_flame(flame_path())
    start = time.process_time()
    load_flame(flame_path())
    assert time.process_time() - start < 1
