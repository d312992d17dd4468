"""What only the Anny head has: exact symmetry, a closed skin, single teeth, named identities, its texture layout.

What it shares with every other head is in test_head_contract.py and test_head_eyes_and_mouth.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from assets import ARKIT_BLENDSHAPES, HeadModel, load_head
from assets.head_model import PARTS, REGIONS
from assets.heads.anny_identity import SIDE_SHARE
from assets.heads.anny_mesh import affine_weights
from assets.heads.anny_teeth import CROWNS_MM, row_of_teeth


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("anny")


def part(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_parts == PARTS.index(name)


def region(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_regions == REGIONS.index(name)


def delta(head: HeadModel, name: str) -> np.ndarray:
    return head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]


def shell_edges(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the skin with the mouth socket that hangs on it, and by how many triangles each is used."""
    triangles = head.triangles[np.isin(head.triangle_parts, [PARTS.index("skin"), PARTS.index("mouth_socket")])]
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    label = connected_components(csr_matrix((np.ones(len(pairs)), tuple(pairs.T)), (head.num_vertices,) * 2))[1]
    face = label[np.flatnonzero(region(head, "face"))[0]]
    return np.unique(np.sort(pairs[label[pairs[:, 0]] == face], axis=1), axis=0, return_counts=True)


def test_the_skin_is_closed_with_a_level_disc_in_the_neck(head):
    _, counts = shell_edges(head)
    assert (counts == 2).all()
    foot = head.vertices[:, 1].min()
    bottom = (np.abs(head.vertices[head.triangles][..., 1] - foot) < 1e-6).all(1)
    corners = head.vertices[head.triangles[bottom]].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 1] < 0).all()
    # The hem is 190 mm wide at the shoulders' rise, and the disc fills it.
    assert 0.012 < np.linalg.norm(normal, axis=1).sum() / 2 < 0.025


def test_each_jaw_has_fourteen_teeth_that_stay_rigid_when_it_opens(head):
    opened = head.vertices + delta(head, "jawOpen")
    for name in ("teeth_upper", "teeth_lower"):
        triangles = head.triangles[head.triangle_parts == PARTS.index(name)]
        pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
        label = connected_components(csr_matrix((np.ones(len(pairs)), tuple(pairs.T)), (head.num_vertices,) * 2))[1]
        teeth = [np.flatnonzero(label == tooth) for tooth in np.unique(label[triangles])]
        assert len(teeth) == 14
        for tooth in teeth:
            before, after = (np.linalg.norm(v[tooth][:, None] - v[tooth][None], axis=-1) for v in (head.vertices, opened))
            assert np.abs(after - before).max() < 0.03 * before.max()
            assert 0.004 < before.max() < 0.016


def test_crowns_have_the_widths_of_the_table_and_meet_at_the_middle(head):
    for jaw in ("upper", "lower"):
        crowns = row_of_teeth(jaw).points.reshape(14, -1, 3)
        incisors = crowns[[0, 7]]
        assert np.ptp(incisors[0][:, 0]) == pytest.approx(CROWNS_MM[jaw][0][0] * 1e-3, rel=0.06)  # The arch is curved.
        assert abs(incisors[0][:, 0].min()) < 2e-4
        np.testing.assert_allclose(crowns[7:], crowns[:7] * (-1, 1, 1), atol=1e-12)
        height = np.ptp(incisors[0][:, 1])
        assert height == pytest.approx(1.15 * CROWNS_MM[jaw][0][1] * 1e-3, rel=0.03)  # With the share below the gum's margin.


def test_moving_least_squares_weights_reproduce_affine_motions():
    rng = np.random.default_rng(3)
    sources, points = rng.normal(size=(40, 3)) * 0.02, rng.normal(size=(25, 3)) * 0.015
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    weights = affine_weights(sources, points, 0.015)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(weights @ (sources @ matrix.T + shift), points @ matrix.T + shift, atol=1e-9)


def test_eyeballs_are_round_and_the_iris_has_its_size(head):
    for side, name in enumerate(("eye_left", "eye_right")):
        arms = head.vertices[part(head, name)] - head.eye_centres()[side]
        assert np.ptp(np.linalg.norm(arms, axis=1)) < 8e-4
        iris = head.vertices[part(head, name) & region(head, "iris")]
        radius = np.linalg.norm(iris - head.iris_centres()[side], axis=1).max()
        assert 0.0055 < radius < 0.0075  # Visible irises of adults have 5.9 mm (Ruefer et al. 2005); the mesh's ring 6.4.


def test_both_sides_of_a_pair_together_are_what_the_targets_make_of_both(head):
    """Nothing is lost where a pair of one-sided shapes is shared out anew: the fades of both sides add up to one."""
    both = delta(head, "mouthSmileLeft") + delta(head, "mouthSmileRight")
    middle = region(head, "face") & (np.abs(head.vertices[:, 0]) < 1e-4)
    np.testing.assert_allclose(delta(head, "mouthSmileLeft")[middle][:, 1:], both[middle][:, 1:] / 2, atol=1e-5)
    assert np.abs(both[:, 0] + both[head.mirror_vertices, 0]).max() < 1e-6


def test_mirror_pairs_are_exact_and_their_own_inverse(head):
    mirrored = head.vertices[head.mirror_vertices] * (-1, 1, 1)
    assert np.percentile(np.linalg.norm(mirrored - head.vertices, axis=1), 99) < 1e-4
    np.testing.assert_array_equal(head.mirror_vertices[head.mirror_vertices], np.arange(head.num_vertices))


def test_identity_modes_keep_the_eyes_at_the_origin_and_the_hem_level(head):
    assert len(set(head.identity_names)) == head.num_identity == len(head.identity_basis)
    for mode in head.identity_basis:
        assert np.abs(head.eye_centres(head.vertices + mode).mean(0)).max() < 1e-5
    hem = head.vertices[:, 1] == head.vertices[:, 1].min()
    assert np.abs(head.identity_basis[:, hem, 1]).max() < 1e-7


def test_random_heads_vary_about_as_much_as_adults_do(head):
    draws = np.random.default_rng(7).normal(size=(100, head.num_identity))
    heads = np.stack([head.neutral(draw) for draw in draws])
    face = region(head, "face")
    pupil_distance = np.array([np.linalg.norm(np.subtract(*head.eye_centres(one))) for one in heads])
    width = np.ptp(heads[:, face, 0], axis=1)
    assert 0.0020 < pupil_distance.std() < 0.0045
    assert 0.0035 < width.std() < 0.0075
    assert 0.050 < pupil_distance.min() < pupil_distance.max() < 0.078
    spread = np.sqrt(((heads[:, face] - heads[:, face].mean(0)) ** 2).sum(-1).mean())
    assert 0.002 < spread < 0.006


def test_identity_includes_one_sided_asymmetry(head):
    asymmetric = head.identity_basis[head.identity_names.index("cheek-volume-incr-left")]
    mirrored = asymmetric[head.mirror_vertices] * (-1, 1, 1)
    assert np.abs(asymmetric + mirrored).max() < 0.1 * np.abs(asymmetric).max()


def test_a_target_of_one_side_alone_is_the_sum_of_its_common_and_its_difference_mode(head):
    """Left and right apart: the common mode at 1 and the difference at 1 / SIDE_SHARE move the subject's left only."""
    names = [name for name in head.identity_names if name.endswith("-left")]
    assert len(names) == 32
    for name in names:
        common, apart = (head.identity_basis[head.identity_names.index(each)] for each in (name.removesuffix("-left"), name))
        motion = common + apart / SIDE_SHARE
        far = (head.vertices[:, 0] < -0.02) & (head.vertices[:, 1] > -0.11)
        # Targets that move an eye move the eyes' midpoint, which stays the origin: the whole head gives way by half of it.
        give_way = np.median(motion[far & part(head, "skin")], axis=0)
        assert np.abs(motion - give_way)[far].max() < 0.1 * np.abs(motion - give_way).max(), name


def test_phenotypes_and_face_targets_are_named_identity_parameters(head):
    wanted = {"gender", "age", "muscle", "weight", "african", "asian", "caucasian", "size", "head-round", "forehead-scale-vert-incr"}
    assert wanted <= set(head.identity_names)
    for stem in ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "neck", "nose"):
        assert any(name.startswith(stem) for name in head.identity_names), stem


def test_uvs_lie_in_the_square_and_no_two_parts_share_a_texel(head):
    assert head.uvs.min() >= 0
    assert head.uvs.max() <= 1
    cv2 = pytest.importorskip("cv2")
    size = 1024
    # A small shrink of each triangle keeps shared edges of neighbours out of the count.
    corners = head.uvs[head.triangle_uvs].astype(np.float64) * size
    corners = corners.mean(1, keepdims=True) + 0.97 * (corners - corners.mean(1, keepdims=True))
    owners = np.zeros((size, size), np.uint8)
    for index in range(1, len(PARTS)):
        canvas = np.zeros((size, size), np.uint8)
        for corner in corners[head.triangle_parts == index]:
            cv2.fillConvexPoly(canvas, np.round((corner - 0.5) * 16).astype(np.int32), 1, shift=4)
        owners += canvas
    assert owners.max() == 1


def test_every_iris_has_a_hundred_texels_across_in_a_1024_texture(head):
    for name in ("eye_left", "eye_right"):
        triangles = head.triangle_parts == PARTS.index(name)
        front = triangles & (head.vertices[head.triangles][..., 2].mean(1) > 0.005)
        assert np.ptp(head.uvs[head.triangle_uvs[front]].reshape(-1, 2), axis=0).min() > 0.1
