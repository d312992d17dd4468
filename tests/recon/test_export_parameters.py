"""An avatar in its head model's own terms: put back into the model they give the avatar's own vertices."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import InputError, MissingAssetError
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.heads import load_head
from assets.heads.flame_arkit import read_settings
from assets.heads.flame_coefficients import fit_flame_motion
from assets.heads.flame_rig import JawRig
from assets.heads.flame_source import read_flame
from assets.heads.ict import RESTING_LIPS, load_ict
from assets.heads.ict_mesh import IctMesh, head_mesh
from assets.heads.ict_source import EXPRESSIONS, read_ict
from recon.avatar import Avatar, FittedView
from recon.export import export_parameters, head_parameters
from render.camera import Camera
from tests.assets.flame_file import flame_path
from tests.recon.toy_head import toy_avatar, toy_head

SCALE = 1.06
SMIRK = {"mouthSmileLeft": 0.6, "jawOpen": 0.25, "browInnerUp": 0.4}


def view(name: str, weights: dict[str, float], correction: np.ndarray | None = None) -> FittedView:
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3], T_cam_world[:3, 3] = Rotation.from_euler("y", 20, degrees=True).as_matrix(), (0.1, -0.05, 0.8)
    camera = Camera(np.array([[700.0, 0, 301], [0, 710, 222], [0, 0, 1]]), T_cam_world, 640, 480)
    T_world_head = np.eye(4)
    T_world_head[:3, :3], T_world_head[:3, 3] = Rotation.from_euler("x", 10, degrees=True).as_matrix(), (0.0, 0.2, 0.3)
    return FittedView(name, "ok", "", camera, T_world_head, weights, 1.0, 0.0, 0.0, 0.0, correction)


def person(head: HeadModel, *views: FittedView) -> Avatar:
    rng = np.random.default_rng(6)
    lost = FittedView("lost.jpg", "no_face", "covered", None, None, {}, *[float("nan")] * 4)
    coeffs = rng.normal(0, 0.5, head.num_identity).astype(np.float32)
    free_form = rng.normal(0, 2e-4, head.vertices.shape)
    neutral = SCALE * (head.neutral(coeffs) + free_form)
    return toy_avatar(
        head,
        identity_coeffs=coeffs,
        offsets=(neutral - head.neutral(coeffs)).astype(np.float32),
        expression_scale=SCALE,
        views=(*views, lost),
    )


@pytest.fixture(scope="module")
def packed(recon_data) -> Path:
    file = recon_data / "assets" / "ict_facekit.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    return file


@pytest.fixture(scope="module")
def ict(packed) -> HeadModel:
    return load_ict(packed)


@pytest.fixture(scope="module")
def upstream(packed) -> IctMesh:
    return head_mesh(read_ict(packed), np.zeros((26719, 3)))


@pytest.fixture(scope="module")
def flame() -> HeadModel:
    return load_head(f"flame:{flame_path()}")


def test_ict_weights_put_into_upstreams_shapes_give_the_avatars_vertices(ict, upstream):
    avatar = person(ict, view("a.jpg", SMIRK), view("b.jpg", {"eyeBlinkRight": 1.0, "cheekPuff": 0.5}))
    found = head_parameters(avatar)
    assert found.view_names == ("a.jpg", "b.jpg") and found.expression.shape == (2, 57) and found.jaw_pose is None
    # Upstream's template without this project's resting lips, in the neutral's frame.
    still = np.isin(ict.vertex_parts, [PARTS.index("eye_left"), PARTS.index("eye_right")])
    for weights, row in zip((SMIRK, {"eyeBlinkRight": 1.0, "cheekPuff": 0.5}), found.expression, strict=True):
        own = upstream.displacement(np.tensordot(row, upstream.source.expression.astype(np.float64), 1))
        moved = upstream.vertices + own + np.tensordot(found.identity, ict.identity_basis, 1) + found.free_form_m
        ours = avatar.neutral + SCALE * ict.expression_offsets(weights)
        difference = SCALE * moved - ours
        # The neutral's origin is the eyes' midpoint, which resting lips do not move.
        np.testing.assert_allclose(difference[~still], 0, atol=2e-6)
    assert (
        found.expression[0, EXPRESSIONS.index("browInnerUp_L")]
        == found.expression[0, EXPRESSIONS.index("browInnerUp_R")]
        == np.float32(0.4)
    )
    assert found.neutral_expression[EXPRESSIONS.index("mouthClose")] == np.float32(RESTING_LIPS)
    assert found.left_over_mm[0] < 0.01 and found.not_carried == {}


def test_what_parameters_cannot_say_is_measured_and_named(ict):
    field = np.full(ict.vertices.shape, 0.002 / np.sqrt(3), np.float32)
    looking = {"eyeLookUpLeft": 0.5, "tongueOut": 1.0, "jawOpen": 0.3}
    found = head_parameters(person(ict, view("plain.jpg", {"jawOpen": 0.3}), view("off.jpg", looking, field)))
    assert found.left_over_mm[0] < 0.1 and found.left_over_mm[1] == pytest.approx(2.0, abs=0.1)
    assert set(found.not_carried) == {"eyeLookUpLeft", "tongueOut"}
    expected = 1000 * SCALE * np.median(np.linalg.norm(np.random.default_rng(0).normal(0, 2e-4, (200000, 3)), axis=1))
    assert found.free_form_mm["median"] == pytest.approx(expected, rel=0.05)


def test_camera_and_head_pose_become_one_matrix(ict):
    one = view("a.jpg", {})
    found = head_parameters(person(ict, one))
    point = np.array([0.01, -0.02, 0.09])
    assert one.camera is not None and one.T_world_head is not None
    in_world = one.T_world_head[:3, :3] @ point + one.T_world_head[:3, 3]
    expected = one.camera.T_cam_world[:3, :3] @ in_world + one.camera.T_cam_world[:3, 3]
    np.testing.assert_allclose(found.T_cam_head[0, :3, :3] @ point + found.T_cam_head[0, :3, 3], expected, atol=1e-12)
    np.testing.assert_array_equal(found.K[0], one.camera.K)


def test_flame_coefficients_and_jaw_are_found_again(flame):
    """A motion made by FLAME itself, two deviations in one component and a jaw that opens 12 degrees and turns 3."""
    source, settings = read_flame(flame_path()), read_settings()
    rig = JawRig(source)
    truth = np.zeros(100)
    truth[[0, 4, 11]] = 2.0, -1.0, 0.5
    jaw = np.radians([12.0, 3.0, -1.0])
    weights = (flame.vertex_regions == REGIONS.index("face")).astype(float) + 0.1
    found = fit_flame_motion(rig, rig.offsets(truth, jaw), weights, settings)
    left = np.linalg.norm(found.left_over_m, axis=1)[flame.vertex_regions == REGIONS.index("face")]
    assert 1000 * np.median(left) < 0.1
    np.testing.assert_allclose(np.degrees(found.jaw_rad), (12.0, 3.0, -1.0), atol=0.4)
    np.testing.assert_allclose(found.expression[[0, 4, 11]], truth[[0, 4, 11]], atol=0.25)


def test_flame_parameters_show_the_pictures_expression_as_far_as_flame_can(flame):
    both = {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "jawOpen": 0.5}
    avatar = person(flame, view("smile.jpg", both), view("rest.jpg", {}))
    found = head_parameters(avatar)
    assert found.expression.shape == (2, 100) and found.jaw_pose is not None and found.identity_names[0] == "shape_001"
    rig = JawRig(read_flame(flame_path()))
    shown = SCALE * rig.offsets(found.expression[0], found.jaw_pose[0])
    face = flame.vertex_regions == REGIONS.index("face")
    wanted = avatar.vertices(both) - avatar.neutral
    left = np.linalg.norm((wanted - shown)[face], axis=1)
    assert 1000 * np.median(left) == pytest.approx(found.left_over_mm[0], rel=1e-3)
    assert np.linalg.norm(left) < 0.3 * np.linalg.norm(wanted[face])
    assert 6 < np.degrees(found.jaw_pose[0, 0]) < 11, "half of jawOpen's 17 degrees"
    assert np.abs(found.expression[1]).max() < 1e-6 and not found.jaw_pose[1].any()


def test_files_carry_the_models_own_words(tmp_path, ict, flame):
    avatar = person(ict, view("a.jpg", SMIRK))
    found = head_parameters(avatar)
    arrays = np.load(export_parameters(avatar, tmp_path / "head.npz"))
    np.testing.assert_array_equal(arrays["identity_weights"], found.identity)
    np.testing.assert_array_equal(arrays["free_form_m"], found.free_form_m)
    assert arrays["expression_names"].tolist() == list(EXPRESSIONS) and str(arrays["model"]) == "ict"
    record = json.loads(export_parameters(avatar, tmp_path / "head.json").read_text())
    np.testing.assert_array_equal(np.float32(record["expression_weights"]), found.expression)
    assert "free_form_m" not in record and record["free_form_mm"] == found.free_form_mm and record["scale"] == SCALE
    record = json.loads(export_parameters(person(flame, view("a.jpg", SMIRK)), tmp_path / "flame.json").read_text())
    assert len(record["betas"]) == 100 and np.shape(record["expression"]) == (1, 100) and np.shape(record["jaw_pose"]) == (1, 3)
    assert str(flame_path()) not in json.dumps(record), "the file's folder is nobody else's business"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flame.json", "head.json", "head.npz"]


def test_heads_without_such_parameters_and_wrong_endings_are_refused(tmp_path, ict):
    with pytest.raises(InputError, match="ict or flame"):
        export_parameters(toy_avatar(toy_head(12, 16)), tmp_path / "head.npz")
    with pytest.raises(InputError, match=r"\.npz or \.json"):
        export_parameters(person(ict), tmp_path / "head.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_avatar_without_registered_pictures_still_has_its_identity(tmp_path, ict):
    record = json.loads(export_parameters(person(ict), tmp_path / "head.json").read_text())
    assert record["view_names"] == [] and len(record["identity_weights"]) == len(ict.identity_names)


def test_flames_file_must_be_where_it_was(tmp_path, flame):
    gone = dataclasses.replace(flame, name=f"flame:{tmp_path / 'gone.pkl'}")
    with pytest.raises(MissingAssetError, match=r"gone\.pkl"):
        head_parameters(person(gone, view("a.jpg", SMIRK)))


def test_arkit_names_are_all_of_upstreams_or_said_to_be_missing(ict):
    every = dict.fromkeys(ARKIT_BLENDSHAPES, 1.0)
    found = head_parameters(person(ict, view("all.jpg", every)))
    assert set(found.not_carried) == {name for name in ARKIT_BLENDSHAPES if name.startswith("eyeLook")} | {"tongueOut"}
    unused = {name for name, weight in zip(found.expression_names, found.expression[0], strict=True) if weight == 0}
    assert unused == {"PupilDilate_L", "PupilDilate_R", "cheekRaiser_L", "cheekRaiser_R"}
