"""Landmark schemes: order, sides and places of iBUG 68, OpenPose 70 and InstantID 5 as taken from MediaPipe's points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import KDTree

from assets.errors import RangeError, ShapeError
from assets.head_model import PARTS, HeadModel
from assets.heads import load_head
from assets.landmark_schemes import SCHEMES, mirror_point_name, scheme_points, scheme_size, scheme_table
from assets.landmarks import LandmarkEmbedding, load_embedding
from render import RayScene
from tests.assets.heads_under_test import DATA, load


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def points478(head: HeadModel) -> np.ndarray:
    """(478, 3) millimetres on the average head."""
    return _places(head, load_embedding(head))


def _places(head: HeadModel, embedding: LandmarkEmbedding) -> np.ndarray:
    return embedding.points(head.vertices.astype(np.float64), head.triangles) * 1000


def _named(scheme: str, points: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(scheme_table(scheme).point_names, points, strict=True))


def test_sizes_are_in_the_names():
    assert {scheme: scheme_size(scheme) for scheme in SCHEMES} == {"mediapipe478": 478, "ibug68": 68, "openpose70": 70, "instantid5": 5}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_names_are_unique_and_sides_come_in_pairs(scheme):
    table = scheme_table(scheme)
    assert len(set(table.point_names)) == table.size == len(table.sources) == len(table.mirror)
    for name, partner in zip(table.point_names, table.mirror, strict=True):
        assert table.point_names[partner] == mirror_point_name(name)
    np.testing.assert_array_equal(table.mirror[table.mirror], np.arange(table.size))


def test_mediapipe_has_28_points_in_the_middle_and_225_pairs():
    table = scheme_table("mediapipe478")
    assert np.count_nonzero(table.mirror == np.arange(478)) == 28
    assert sum(name.startswith("right_") for name in table.point_names) == 225


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sides_are_the_subjects_own_and_partners_lie_at_mirror_places(scheme, points478):
    table = scheme_table(scheme)
    points = scheme_points(scheme, points478)
    side = np.array([name.startswith("left_") - 1.0 * name.startswith("right_") for name in table.point_names])
    # The subject's left is +X; points of the middle lie within half a millimetre of it.
    assert (points[side != 0, 0] * side[side != 0] > 0).all()
    assert np.abs(points[side == 0, 0]).max() < 0.5
    assert np.linalg.norm(points[table.mirror] * (-1, 1, 1) - points, axis=1).max() < 0.5


def test_mirrored_sources_are_the_sources_of_the_partner():
    whole = scheme_table("mediapipe478").mirror
    for scheme in SCHEMES[1:]:
        table = scheme_table(scheme)
        for source, partner in zip(table.sources, table.mirror, strict=True):
            assert set(whole[list(source)]) == set(table.sources[partner])


def test_the_jaw_runs_from_the_subjects_right_ear_over_the_chin_to_the_left(points478):
    jaw = scheme_points("ibug68", points478)[:17]
    # Right is -X; beside the ears, where the face is widest, neighbours may stand straight above each other.
    assert (np.diff(jaw[:, 0]) > -1.0).all() and (np.diff(jaw[1:16, 0]) > 0).all()
    assert (np.diff(jaw[:9, 1]) < 0).all() and (np.diff(jaw[8:, 1]) > 0).all()
    assert (np.diff(jaw[3:9, 2]) > 0).all() and (np.diff(jaw[8:14, 2]) < 0).all()  # Forward from the jaw's angle to the chin.


def test_jaw_points_share_the_line_as_in_the_annotations(points478):
    """Shares of the line's length of the 68 Multi-PIE vertices in ICT-FaceKit's README, on its average head."""
    steps = np.linalg.norm(np.diff(scheme_points("ibug68", points478)[:17], axis=0), axis=1)
    shares = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    expected = [0, 0.064, 0.125, 0.185, 0.257, 0.332, 0.391, 0.454, 0.5, 0.546, 0.609, 0.668, 0.743, 0.815, 0.875, 0.936, 1]
    assert np.abs(shares - expected).max() < 0.025


# "Multi-PIE 68 point facial landmarks", README of ICT-VGL/ICT-FaceKit (MIT licence): vertices of its mesh.
ICT_VERTICES = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914, 2044, 1401,
    3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751,
    3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470,
    5517, 5966,
)  # fmt: skip


def test_the_68_points_lie_where_the_makers_of_ict_facekit_put_them():
    """Medians by group, on the average head. Brows are left out: that head has none, so the detector sees those painted on it."""
    head = load("ict")
    with np.load(DATA / "assets/ict_facekit.npz") as arrays:
        template = arrays["template"].astype(np.float64) / 100
    makers = template[list(ICT_VERTICES)]
    # Both are the same mesh but for the origin and what was cut away: nearly all the makers' points are vertices here too.
    shift, tree = template[21451:24591].mean(0), KDTree(head.vertices)
    for _ in range(30):
        shift = shift + np.median(makers - shift - head.vertices[tree.query(makers - shift)[1]], axis=0)
    assert np.median(tree.query(makers - shift)[0]) < 1e-5
    away_mm = np.linalg.norm(_places(head, load_embedding(head, "ibug68")) - (makers - shift) * 1000, axis=1)
    limits = {"jaw": (range(17), 5), "nose": (range(27, 36), 3.5), "eyes": (range(36, 48), 2), "lips": (range(48, 60), 1.5)}
    limits |= {"inner lips": (range(60, 68), 2)}
    medians = {name: float(np.median(away_mm[list(points)])) for name, (points, _) in limits.items()}
    assert all(medians[name] < limit for name, (_, limit) in limits.items()), medians


def test_brows_nose_eyes_and_lips_run_in_the_order_of_the_300_w_annotations(points478):
    points = scheme_points("ibug68", points478)
    x, y = points[:, 0], points[:, 1]
    for run in (range(17, 27), range(31, 36), range(48, 55), range(60, 65)):
        assert (np.diff(x[list(run)]) > 0).all(), run
    assert (np.diff(y[27:31]) < 0).all()  # Down the bridge.
    assert (np.diff(x[54:60]) < 0).all() and (np.diff(x[[64, 65, 66, 67, 60]]) < 0).all()  # Lower lips run back.
    for outer, lids in ((36, (37, 38, 40, 41)), (42, (43, 44, 46, 47))):
        corners = x[outer], x[outer + 3]
        assert corners[0] < min(x[list(lids)]) and max(x[list(lids)]) < corners[1]
        assert min(y[list(lids[:2])]) > max(y[list(lids[2:])])
    assert y[51] > y[62] >= y[66] > y[57] > y[8]


def test_the_pupils_of_openpose_lie_on_the_irises_the_right_one_first(head, points478):
    points = scheme_points("openpose70", points478)
    np.testing.assert_array_equal(points[:68], scheme_points("ibug68", points478))
    left, right = head.iris_centres() * 1000
    assert np.linalg.norm(points[68] - right) < 2.5 and np.linalg.norm(points[69] - left) < 2.5


def test_the_five_points_of_instantid_begin_with_the_eye_at_the_left_of_a_frontal_picture(points478):
    points = _named("instantid5", scheme_points("instantid5", points478))
    # Seen from the front, the subject's right (-X) is at the left of the picture.
    assert list(points) == ["right_pupil", "left_pupil", "nose_tip", "right_mouth_corner", "left_mouth_corner"]
    eyes_y = (points["right_pupil"][1] + points["left_pupil"][1]) / 2
    mouth_y = (points["right_mouth_corner"][1] + points["left_mouth_corner"][1]) / 2
    share = (eyes_y - points["nose_tip"][1]) / (eyes_y - mouth_y)
    # ArcFace's 112 px template: eyes at y 51.6, nose at 71.7, mouth at 92.3.
    assert share == pytest.approx((71.7 - 51.6) / (92.3 - 51.6), abs=0.06)


def test_means_of_two_points_stay_near_the_surface(head, points478):
    surface = RayScene(head.vertices, head.triangles[head.triangle_parts == PARTS.index("skin")])
    table = scheme_table("ibug68")
    doubled = [len(source) > 1 for source in table.sources]
    points = scheme_points("ibug68", points478)[doubled] / 1000
    away = surface.closest(points).distance * 1000
    assert away.max() < 3.0 and np.median(away) < 1.0


def test_pixels_work_as_metres_do_and_nan_stays_nan():
    pixels = np.random.default_rng(3).uniform(0, 512, (478, 2))
    pixels[40] = np.nan
    out = scheme_points("ibug68", pixels)
    assert out.shape == (68, 2)
    np.testing.assert_allclose(out[5], (pixels[136] + pixels[150]) / 2)
    assert np.isnan(out[49]).all() and np.isfinite(np.delete(out, 49, 0)).all()


def test_wrong_names_and_shapes_are_refused_with_the_next_step():
    with pytest.raises(RangeError, match="ibug68"):
        scheme_points("ibug86", np.zeros((478, 2)))
    with pytest.raises(ShapeError, match="irises"):
        scheme_points("ibug68", np.zeros((468, 3)))
