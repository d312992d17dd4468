"""ICT-FaceKit as a HeadModel: what is particular to it. The contract common to all heads is tested elsewhere."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree

from assets import load_head
from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import ArtifactError, InputError, MissingAssetError
from assets.head_model import PARTS, REGIONS, HeadModel, check_head
from assets.heads import ict as ict_head
from assets.heads.ict import arkit_mapping, compile_ict, load_ict
from assets.heads.ict_mesh import CUT_HEIGHT_M
from assets.heads.ict_mirror import shorter_diagonals
from assets.heads.ict_source import EXPRESSIONS, IctSource, read_ict
from assets.install import install


@pytest.fixture(scope="module")
def packed(recon_data) -> Path:
    file = recon_data / "assets" / "ict_facekit.npz"
    if not file.is_file():
        pytest.skip(f"no packed ICT-FaceKit at {file}")
    return file


@pytest.fixture(scope="module")
def source(packed) -> IctSource:
    return read_ict(packed)


@pytest.fixture(scope="module")
def head(packed) -> HeadModel:
    return check_head(load_ict(packed))


def part(head: HeadModel, name: str) -> np.ndarray:
    return head.vertex_parts == PARTS.index(name)


def delta(head: HeadModel, name: str) -> np.ndarray:
    return head.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)].astype(np.float64)


def upstream_vertices(head: HeadModel, source: IctSource) -> tuple[np.ndarray, np.ndarray]:
    """(V,) the nearest of upstream's vertices, and (V,) its distance in metres, after units, origin and resting lips."""
    eyes_cm = np.array([0.0, 3.6037807, 7.8820353])
    rest = ict_head.RESTING_LIPS * source.expression[EXPRESSIONS.index("mouthClose")].astype(np.float64)
    distance, index = KDTree((source.template + rest - eyes_cm) * 0.01).query(head.vertices)
    return np.asarray(index), np.asarray(distance)


def seen_from_front(head: HeadModel, vertices: np.ndarray, name: str, centre: np.ndarray, reach_m: float) -> float:
    """Share of level rays at a square of the face that meet a part first; lashes are left out."""
    open3d = pytest.importorskip("open3d")
    step = np.linspace(-reach_m, reach_m, 160)
    x, y = np.meshgrid(step + centre[0], step + centre[1])
    origins = np.stack([x, y, np.full_like(x, 0.3)], -1).reshape(-1, 3)
    rays = np.concatenate([origins, np.broadcast_to((0.0, 0.0, -1.0), origins.shape)], 1).astype(np.float32)
    triangles = head.triangle_parts != PARTS.index("lashes")
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(open3d.core.Tensor(vertices.astype(np.float32)), open3d.core.Tensor(head.triangles[triangles].astype(np.uint32)))
    ids = scene.cast_rays(open3d.core.Tensor(rays))["primitive_ids"].numpy().astype(np.int64)
    seen = ids[ids < triangles.sum()]
    return float((head.triangle_parts[triangles][seen] == PARTS.index(name)).sum() / len(ids))


# --- Names ----------------------------------------------------------------------------------------------------------


def test_mapping_names_every_arkit_shape_and_every_upstream_shape_once():
    mapping = arkit_mapping()
    assert sorted([*mapping["shapes"], *mapping["absent"]]) == sorted(ARKIT_BLENDSHAPES)
    used = [name for names in mapping["shapes"].values() for name in names]
    assert sorted([*used, *mapping["unused"]]) == sorted(EXPRESSIONS)
    assert all(len(reason) > 20 for reason in [*mapping["absent"].values(), *mapping["unused"].values()])
    assert list(mapping["absent"]) == ["tongueOut"]


def test_left_and_right_of_the_mapping_are_the_subjects_own(head):
    for name in ARKIT_BLENDSHAPES:
        if name.endswith(("Left", "Right")) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            motion = (delta(head, name) ** 2).sum(1)
            own = head.vertices[:, 0] > 0 if name.endswith("Left") else head.vertices[:, 0] < 0
            assert motion[own].sum() > 0.8 * motion.sum(), name
    assert delta(head, "jawLeft")[part(head, "teeth_lower"), 0].mean() > 0.003


def test_split_shapes_are_summed_and_the_absent_one_is_zero(head, source):
    of_upstream, distance = upstream_vertices(head, source)
    skin = part(head, "skin") & (distance < 2e-6)
    assert skin.sum() > 10_000
    for name in ("browInnerUp", "cheekPuff"):
        left, right = (source.expression[EXPRESSIONS.index(f"{name}_{side}")].astype(np.float64) for side in "LR")
        both = (left + right) * 0.01
        np.testing.assert_allclose(delta(head, name)[skin], both[of_upstream[skin]], atol=5e-7)
    assert head.absent_blendshapes == ("tongueOut",)
    assert not delta(head, "tongueOut").any()


# --- Geometry against upstream --------------------------------------------------------------------------------------


def test_vertices_are_upstreams_in_metres_about_the_eyes_with_the_lips_met(head, source):
    kept = ~(part(head, "eye_left") | part(head, "eye_right") | part(head, "lashes")) & (head.vertices[:, 1] > CUT_HEIGHT_M + 0.002)
    assert kept.sum() > 20_000
    assert upstream_vertices(head, source)[1][kept].max() < 2e-6
    assert 0.061 < np.subtract(*head.eye_centres())[0] < 0.063


def test_identity_modes_are_upstreams_with_the_eyes_held_and_the_hem_level(head, source):
    assert head.identity_names == tuple(f"identity{index:03d}" for index in range(100))
    nose = int(np.argmax(head.vertices[:, 2]))
    upstream_nose = int(np.argmax(source.template[:, 2]))
    relative = source.identity[:, upstream_nose].astype(np.float64) * 0.01 - head.identity_basis[:, nose]
    # What differs is the motion of the eyes' midpoint, the same for all vertices.
    ear = int(np.argmax(head.vertices[:, 0] * (head.vertices[:, 1] > -0.05)))
    upstream_ear = int(np.argmax(source.template[:, 0] * (source.template[:, 1] > -1.4)))
    other = source.identity[:, upstream_ear].astype(np.float64) * 0.01 - head.identity_basis[:, ear]
    np.testing.assert_allclose(relative, other, atol=1e-6)
    for mode in head.identity_basis:
        assert np.abs(head.eye_centres(head.vertices + mode).mean(0)).max() < 1e-6
    hem = head.vertices[:, 1] == head.vertices[:, 1].min()
    assert hem.sum() > 50
    assert np.abs(head.identity_basis[:, hem, 1]).max() < 1e-7


def test_random_heads_vary_about_as_much_as_adults_do(head):
    draws = np.random.default_rng(7).normal(size=(100, head.num_identity))
    eyes = np.stack([head.eye_centres(head.neutral(draw)) for draw in draws])
    distance = np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=1)
    # Adults: 63 mm with a standard deviation of 3.8 (Dodgson 2004).
    assert 0.052 < distance.min() < distance.max() < 0.075
    assert 0.0015 < distance.std() < 0.0045


def test_the_only_borders_are_inside_the_mouth(head):
    solid = head.triangles[head.triangle_parts != PARTS.index("lashes")]
    edges = np.sort(np.concatenate([solid[:, [0, 1]], solid[:, [1, 2]], solid[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 2
    border = np.unique(unique[counts == 1])
    assert not part(head, "skin")[border].any()
    assert (np.abs(head.vertices[border, 0]) < 0.04).all()
    assert (head.vertices[border, 2] < 0.03).all()


def test_the_cut_neck_is_closed_by_a_level_disc_of_its_own_texture(head):
    low = head.vertices[:, 1].min()
    of_disc = (head.vertices[head.triangles][..., 1] == low).all(1)
    corners = head.vertices[head.triangles[of_disc]].astype(np.float64)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 1] / 2
    assert area.max() < 0
    outline = cv2.convexHull(corners.reshape(-1, 3)[:, [0, 2]].astype(np.float32))
    assert 0.85 * cv2.contourArea(outline) < -area.sum() <= cv2.contourArea(outline) * 1.001
    others = np.unique(head.triangle_uvs[~of_disc])
    assert not np.isin(head.triangle_uvs[of_disc], others).any()


def test_parts_have_what_belongs_to_them(head):
    assert head.absent_parts == ()
    x, y, z = head.vertices.T
    assert x[part(head, "eye_left")].min() > 0 > x[part(head, "eye_right")].max()
    incisors = z > z[part(head, "teeth_upper")].max() - 0.004
    assert y[part(head, "teeth_upper") & incisors].mean() > y[part(head, "teeth_lower") & incisors].mean() + 0.01
    drop = delta(head, "jawOpen")[:, 1]
    assert drop[part(head, "teeth_lower")].max() < -0.005
    assert np.abs(drop[part(head, "teeth_upper")]).max() < 1e-4
    assert drop[part(head, "tongue") & (z > 0)].max() < -0.01
    assert abs(y[part(head, "lashes")].mean()) < 0.006
    assert z[part(head, "lashes")].min() > 0.008


def test_triangles_face_outwards(head):
    corners = head.vertices[head.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for name in ("eye_left", "eye_right"):
        of_part = head.triangle_parts == PARTS.index(name)
        outward = corners[of_part].mean(1) - head.vertices[part(head, name)].mean(0)
        assert (np.einsum("fc,fc->f", normal[of_part], outward) > 0).all(), name
    scalp = (head.vertex_regions[head.triangles] == REGIONS.index("scalp")).all(1)
    outward = corners[scalp].mean(1) - (0, 0, -0.07)
    assert (np.einsum("fc,fc->f", normal[scalp], outward) > 0).mean() > 0.995
    lashes = head.triangle_parts == PARTS.index("lashes")
    assert (normal[lashes, 1] > 0).mean() > 0.95


def test_regions_lie_where_their_names_say(head):
    def region(name: str) -> np.ndarray:
        return head.vertices[head.vertex_regions == REGIONS.index(name)]

    assert all(len(region(name)) > 300 for name in REGIONS)
    assert np.abs(region("ears")[:, 0]).min() > 0.055
    assert -0.10 < region("ears")[:, 2].min() < region("ears")[:, 2].max() < -0.055
    assert region("face")[:, 2].max() == head.vertices[:, 2].max()
    assert region("scalp")[:, 1].max() == head.vertices[:, 1].max()
    assert region("neck")[:, 1].min() == head.vertices[:, 1].min()
    assert region("neck")[:, 1].max() < -0.04
    mirrored = head.vertex_regions[head.mirror_vertices]
    assert (mirrored == head.vertex_regions).mean() > 0.998


def test_mirror_is_its_own_inverse_and_swaps_sides(head):
    pairs = head.mirror_vertices
    np.testing.assert_array_equal(pairs[pairs], np.arange(head.num_vertices))
    off = np.linalg.norm(head.vertices[pairs] * (-1, 1, 1) - head.vertices, axis=1)
    assert off.max() < 3e-4
    assert np.percentile(off, 99.9) < 3e-5
    swapped = {PARTS.index("eye_left"): PARTS.index("eye_right"), PARTS.index("eye_right"): PARTS.index("eye_left")}
    expected = np.array([swapped.get(number, number) for number in range(len(PARTS))])[head.vertex_parts]
    np.testing.assert_array_equal(head.vertex_parts[pairs], expected)


def test_quads_are_split_alike_on_both_sides_unless_they_would_fold():
    kite = np.array([(0, 0, 0), (2, 0, 0), (5, 3, 0), (0, 2, 0)], float)
    arrow = np.array([(0, 0, 0), (1, 0.4, 0), (0, 3, 0), (-1, 0.4, 0)], float) * (1, -1, 1)
    dented = np.array([(0, 0, 0), (2, -1, 0), (0, 0.1, 0), (-2, -1, 0)], float)
    vertices = np.concatenate([kite, arrow, dented])
    faces = np.array([(0, 1, 2), (0, 2, 3), (6, 5, 4), (6, 4, 7), (8, 9, 10), (8, 10, 11)], np.int32)
    split, split_uvs = shorter_diagonals(vertices, faces, faces + 20)
    np.testing.assert_array_equal(split, [(0, 1, 3), (1, 2, 3), (6, 5, 7), (5, 4, 7), (8, 9, 10), (8, 10, 11)])
    np.testing.assert_array_equal(split_uvs, split + 20)


# --- Eyes, lids, lips -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_the_eyeball_is_one_smooth_closed_surface_with_a_flat_iris(head, side, sign):
    of_part = head.triangle_parts == PARTS.index(f"eye_{side}")
    triangles = head.triangles[of_part]
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, inverse, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    assert (counts == 2).all()
    corners = head.vertices[triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    owner = np.argsort(inverse.ravel(), kind="stable").reshape(-1, 2) % len(triangles)
    bend = np.degrees(np.arccos(np.clip(np.einsum("ec,ec->e", normal[owner[:, 0]], normal[owner[:, 1]]), -1, 1)))
    in_front = head.vertices[unique].mean(1)[:, 2] > 0.005
    assert bend[in_front].max() < 17
    iris = part(head, f"eye_{side}") & (head.vertex_regions == REGIONS.index("iris"))
    points = head.vertices[iris].astype(np.float64)
    _, spread, axes = np.linalg.svd(points - points.mean(0))
    assert spread[2] / np.sqrt(len(points)) < 1.6e-4
    assert 0.0105 < np.ptp(points[:, 1]) < 0.0125
    # The optical axis lies some degrees outwards of where the eye looks, as in people (kappa, about 5 degrees).
    axis = axes[2] * np.sign(axes[2, 2])
    assert 3 < sign * np.degrees(np.arcsin(axis[0])) < 9
    centre = head.eye_centres()[0 if side == "left" else 1]
    np.testing.assert_allclose(np.abs(centre), (0.031026, 0, 0), atol=2e-6)


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_gaze_shapes_turn_the_eyeball_rigidly_by_the_stated_angle(head, side):
    eye, other = part(head, f"eye_{side.lower()}"), part(head, "eye_right" if side == "Left" else "eye_left")
    centre = head.eye_centres()[0 if side == "Left" else 1]
    rest = head.vertices[eye].astype(np.float64) - centre
    outward = 1 if side == "Left" else -1
    for action, axis, sign in (("Up", 1, 1), ("Down", 1, -1), ("In", 0, -outward), ("Out", 0, outward)):
        moved = rest + delta(head, f"eyeLook{action}{side}")[eye]
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(rest, axis=1), atol=1e-7)
        # Kabsch: the rotation between both, whose trace is 1 + 2 cos(angle).
        u, _, vt = np.linalg.svd(rest.T @ moved)
        rotation = vt.T @ np.diag((1, 1, np.linalg.det(vt.T @ u.T))) @ u.T
        angle = np.degrees(np.arccos((np.trace(rotation) - 1) / 2))
        assert angle == pytest.approx(arkit_mapping()["gaze_deg"][f"eyeLook{action}"], abs=0.01)
        assert sign * (rotation @ (0, 0, 1))[axis] == pytest.approx(np.sin(np.radians(angle)), abs=1e-4)
        assert not delta(head, f"eyeLook{action}{side}")[other].any()
        lids = part(head, "skin") & (np.linalg.norm(head.vertices - centre, axis=1) < 0.025)
        assert np.linalg.norm(delta(head, f"eyeLook{action}{side}")[lids], axis=1).max() > 0.002


def test_blink_closes_its_own_eye_and_leaves_the_other_open(head):
    left, right = head.eye_centres()
    blinked = head.vertices + head.expression_offsets({"eyeBlinkLeft": 1.0})
    assert seen_from_front(head, head.vertices, "eye_left", left, 0.02) > 0.10
    assert seen_from_front(head, blinked, "eye_left", left, 0.02) == 0
    assert seen_from_front(head, blinked, "eye_right", right, 0.02) > 0.10


def test_lips_of_the_neutral_meet_though_upstreams_show_teeth(head, source):
    mouth = np.array([0.0, -0.066, 0.0])
    parts = ("teeth_upper", "teeth_lower", "tongue", "mouth_socket")
    assert sum(seen_from_front(head, head.vertices, name, mouth, 0.03) for name in parts) == 0
    parted = head.vertices - head.expression_offsets({"mouthClose": ict_head.RESTING_LIPS})
    assert seen_from_front(head, parted, "teeth_upper", mouth, 0.03) > 0.002


# --- Texture --------------------------------------------------------------------------------------------------------


def test_no_two_parts_share_a_texel_and_the_face_has_most(head):
    size = 2048
    corners = head.uvs[head.triangle_uvs].astype(np.float64) * size
    corners = corners.mean(1, keepdims=True) + 0.97 * (corners - corners.mean(1, keepdims=True))
    owners, covered = np.zeros((size, size), np.uint8), {}
    for index in range(1, len(PARTS)):
        canvas = np.zeros((size, size), np.uint8)
        for corner in corners[head.triangle_parts == index]:
            cv2.fillConvexPoly(canvas, np.round((corner - 0.5) * 16).astype(np.int32), (1,), shift=4)
        owners += canvas
        covered[PARTS[index]] = int(canvas.sum())
    assert owners.max() == 1
    assert covered["skin"] > 5 * max(count for name, count in covered.items() if name != "skin")
    assert owners.mean() > 0.4


def test_every_iris_has_a_hundred_texels_across_in_a_1024_texture(head):
    iris = head.vertex_regions == REGIONS.index("iris")
    for name in ("eye_left", "eye_right"):
        whole = iris[head.triangles].all(1) & (head.triangle_parts == PARTS.index(name))
        assert np.ptp(head.uvs[head.triangle_uvs[whole]].reshape(-1, 2), axis=0).min() * 1024 > 98


# --- Loading --------------------------------------------------------------------------------------------------------


def test_a_compiled_head_loads_in_less_than_a_second(packed, head):
    start = time.process_time()
    again = load_ict(packed)
    assert time.process_time() - start < 1
    assert again.topology_hash == head.topology_hash


def test_compiling_gives_what_is_cached(source, head):
    for name, array in compile_ict(source).items():
        np.testing.assert_array_equal(array, getattr(head, name), err_msg=name)


def test_the_installed_head_is_loaded_by_name_and_a_changed_file_is_refused(packed, head, tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_HOME", str(tmp_path))
    with pytest.raises(MissingAssetError, match="recon assets install ict-facekit"):
        load_head("ict")
    asset = install("ict-facekit", from_path=packed)
    loaded = load_head("ict")
    assert (loaded.name, loaded.commercial, loaded.topology_hash) == ("ict", True, head.topology_hash)
    np.testing.assert_array_equal(loaded.identity_basis, head.identity_basis)
    with asset.path.open("r+b") as file:
        file.seek(asset.size_bytes // 2)
        file.write(b"changed")
    with pytest.raises(ArtifactError, match="changed since"):
        load_head("ict")


def test_a_damaged_cache_file_is_compiled_anew(packed, head, tmp_path, monkeypatch):
    monkeypatch.setenv("RECON_CACHE", str(tmp_path))
    key = ict_head._fingerprint(packed)
    path = tmp_path / "heads" / f"ict-{ict_head.UPSTREAM_COMMIT}-{key}-{ict_head.COMPILE_VERSION}.npz"
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 cut short")
    assert load_ict(packed).num_vertices == head.num_vertices
    assert path.stat().st_size > 10_000_000


def test_files_that_are_not_ict_or_not_the_pinned_commit_are_refused(packed, tmp_path):
    with pytest.raises(InputError, match="FaceXModel"):
        load_ict(tmp_path)
    with pytest.raises(InputError, match="give the path of one that exists"):
        load_ict(tmp_path / "nowhere.npz")
    shutil.copyfile(packed, tmp_path / "own.npz")
    with np.load(packed) as file:
        arrays = dict(file)
    arrays["template"][7, 1] += 0.01
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError, match="another version, or changed files"):
        load_ict(tmp_path / "own.npz")
    arrays["faces"] = arrays["faces"] + 9000
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError, match=r"faces that point outside"):
        load_ict(tmp_path / "own.npz")
