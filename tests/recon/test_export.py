"""Exported meshes, read back by a reader of our own (GLB) and by trimesh."""

import dataclasses
import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import InputError, RangeError
from assets.head_model import PARTS, REGIONS
from assets.heads import load_head
from recon.avatar import NamedExpression, ShapeEvidence
from recon.export import export_mesh
from recon.export.occlusion import occlusion_map
from recon.export.tangents import vertex_tangents
from render.mesh import vertex_normals
from tests.recon.glb_reader import corners_by_material, picture_of, read_accessor, read_glb
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(24, 32)
T_WORLD = np.array([[0, 0, 1, 0.5], [0, 1, 0, -0.25], [-1, 0, 0, 2.0], [0, 0, 0, 1]])


def expected_by_material(values: np.ndarray, triangles: np.ndarray = HEAD.triangles) -> dict[str, np.ndarray]:
    """(V, k) values of the head's vertices at the corners of the toy's triangles, by material."""
    named = {"skin": ("skin",), "eyes": ("eye_left", "eye_right"), "teeth": ("teeth_upper",)}
    chosen = {name: np.isin(HEAD.triangle_parts, [PARTS.index(part) for part in parts]) for name, parts in named.items()}
    return {name: values[triangles[rows]] for name, rows in chosen.items()}


def assert_corners(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], atol: float = 0.0, about: str = "") -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=atol, err_msg=f"{about} {name}")


@pytest.fixture
def glb(tmp_path):
    avatar = toy_avatar(HEAD)
    path = export_mesh(avatar, tmp_path / "head.glb")
    return avatar, path, *read_glb(path)


def test_glb_is_well_formed_and_its_indices_stay_in_range(glb):
    _, _, document, binary = glb
    assert document["asset"]["version"] == "2.0"
    for primitive in document["meshes"][0]["primitives"]:
        values = {name: read_accessor(document, binary, index) for name, index in primitive["attributes"].items()}
        assert set(values) == {"POSITION", "NORMAL", "TEXCOORD_0"} and len({len(value) for value in values.values()}) == 1
        assert "min" in document["accessors"][primitive["attributes"]["POSITION"]]
        indices = read_accessor(document, binary, primitive["indices"])
        assert np.array_equal(np.unique(indices), np.arange(len(values["POSITION"])))
        np.testing.assert_allclose(np.linalg.norm(values["NORMAL"], axis=1), 1, atol=1e-5)


def test_glb_corners_are_the_avatars_with_v_flipped(glb):
    avatar, _, document, binary = glb
    assert_corners(corners_by_material(document, binary, "POSITION"), expected_by_material(avatar.neutral))
    flipped = HEAD.uvs * (1, -1) + (0, 1)
    expected = expected_by_material(flipped, HEAD.triangle_uvs)
    assert_corners(corners_by_material(document, binary, "TEXCOORD_0"), expected, atol=1e-7)


def test_glb_has_52_named_targets_that_move_the_right_vertices_by_metres(glb):
    _, _, document, binary = glb
    mesh = document["meshes"][0]
    assert tuple(mesh["extras"]["targetNames"]) == ARKIT_BLENDSHAPES
    assert len(mesh["weights"]) == 52 and not any(mesh["weights"])
    for index, name in enumerate(ARKIT_BLENDSHAPES):
        # What moves by less than a micrometre is left out; all else is exact.
        kept = np.linalg.norm(HEAD.blendshape_deltas[index], axis=1, keepdims=True) >= 1e-6
        assert_corners(
            corners_by_material(document, binary, "POSITION", index), expected_by_material(kept * HEAD.blendshape_deltas[index]), about=name
        )
    jaw = corners_by_material(document, binary, "POSITION", ARKIT_BLENDSHAPES.index("jawOpen"))["skin"]
    np.testing.assert_allclose(jaw.min((0, 1)), (0, -0.01, 0), atol=1e-7)  # The chin goes down by 10 mm.
    assert ARKIT_BLENDSHAPES[-1] == "tongueOut"
    assert not any(values.any() for values in corners_by_material(document, binary, "POSITION", 51).values())


def test_glb_normals_of_a_target_are_those_of_the_moved_mesh(glb):
    avatar, _, document, binary = glb
    base = corners_by_material(document, binary, "NORMAL")
    for name in ("jawOpen", "mouthSmileLeft", "eyeWideRight"):
        index = ARKIT_BLENDSHAPES.index(name)
        moved = vertex_normals(avatar.neutral + avatar.blendshape_deltas[index], HEAD.triangles)
        turned = corners_by_material(document, binary, "NORMAL", index)
        expected = expected_by_material(moved)
        assert_corners({part: base[part] + turned[part] for part in base}, expected, atol=1e-3, about=name)
        assert np.abs(expected["skin"] - base["skin"]).max() > 0.05, "the shape turns no normal, so nothing was tested"


def test_glb_carries_corrected_shapes_evidence_and_named_expressions(tmp_path):
    correction = np.where(HEAD.vertices[:, 1:2] < -0.05, np.float32([1e-3, 0, 2e-3]), 0).astype(np.float32)
    avatar = toy_avatar(
        HEAD,
        shape_corrections={"mouthSmileLeft": correction},
        shape_evidence={"mouthSmileLeft": ShapeEvidence(6, 2, 0.75)},
        expressions=(NamedExpression("smirk", {"mouthSmileLeft": 0.5}),),
    )
    document, binary = read_glb(export_mesh(avatar, tmp_path / "head.glb"))
    index = ARKIT_BLENDSHAPES.index("mouthSmileLeft")
    expected = expected_by_material(HEAD.blendshape_deltas[index] + correction)
    assert_corners(corners_by_material(document, binary, "POSITION", index), expected, atol=1e-6)
    extras = document["meshes"][0]["extras"]
    assert extras["shapeEvidence"] == {"mouthSmileLeft": {"num_views": 6, "num_instants": 2, "max_weight": 0.75}}
    assert extras["expressions"] == {"smirk": {"mouthSmileLeft": 0.5}}


def test_glb_materials_share_the_albedo_and_skin_alone_has_the_normal_map(tmp_path):
    normals = np.random.default_rng(3).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    for normal_map in (normals, None):
        avatar = toy_avatar(HEAD, normal_map=normal_map)
        document, binary = read_glb(export_mesh(avatar, tmp_path / "head.glb"))
        assert [material["name"] for material in document["materials"]] == ["skin", "eyes", "teeth"]
        roughness = {}
        for material in document["materials"]:
            shading = material["pbrMetallicRoughness"]
            assert shading["metallicFactor"] == 0
            roughness[material["name"]] = shading["roughnessFactor"]
            np.testing.assert_array_equal(picture_of(document, binary, shading["baseColorTexture"]["index"]), avatar.albedo_srgb)
            occlusion = picture_of(document, binary, material["occlusionTexture"]["index"])
            assert occlusion.ndim == 2 and occlusion.max() == 255
            assert ("normalTexture" in material) == (material["name"] == "skin" and normal_map is not None)
        assert roughness["eyes"] < roughness["teeth"] < roughness["skin"] == pytest.approx(0.6)
    document, binary = read_glb(export_mesh(toy_avatar(HEAD, normal_map=normals), tmp_path / "head.glb"))
    np.testing.assert_array_equal(picture_of(document, binary, document["materials"][0]["normalTexture"]["index"]), normals)


def test_the_occlusion_map_darkens_cavities_alone_and_teeth_as_they_are_seen():
    """On the default head: the throat, the nostrils and behind the teeth, but neither cheeks nor sockets of the eyes nor closed lids."""
    head = load_head("anny")
    still = {"identity_coeffs": np.zeros(head.num_identity, np.float32), "offsets": np.zeros_like(head.vertices)}
    brightness = occlusion_map(toy_avatar(head, **still))
    side = len(brightness)
    column, row = np.int64(np.clip(head.uvs[:, 0] * side, 0, side - 1)), np.int64(np.clip((1 - head.uvs[:, 1]) * side, 0, side - 1))
    at_vertices = np.zeros(head.num_vertices)
    at_vertices[head.triangles.ravel()] = brightness[row, column][head.triangle_uvs.ravel()]
    part = {name: at_vertices[head.vertex_parts == PARTS.index(name)] for name in ("mouth_socket", "teeth_upper", "eye_left")}
    face = at_vertices[(head.vertex_regions == REGIONS.index("face")) & (head.vertices[:, 2] > 0.03)]
    assert np.median(part["mouth_socket"]) < 100
    assert np.quantile(part["teeth_upper"], 0.1) < 60 and np.quantile(part["teeth_upper"], 0.95) > 150
    assert np.median(face) == 255 and np.quantile(face, 0.1) > 200


def test_tangents_run_along_u_square_to_the_normal_and_their_third_axis_upwards_in_the_texture(tmp_path):
    """On a chart that is mirrored left to right and turned for half of the triangles the frames turn with the chart."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(4, 3))
    triangle = np.array([[0, 1, 2]])
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    normals = np.tile(normal / np.linalg.norm(normal), (4, 1))
    for uvs in ([[0.1, 0.2], [0.5, 0.3], [0.2, 0.9], [0, 0]], [[-0.1, 0.2], [-0.5, 0.3], [-0.2, 0.9], [0, 0]]):
        chart = np.array(uvs)
        tangent, handedness = (lambda frame: (frame[:, :3], frame[:, 3]))(vertex_tangents(points, normals, chart, triangle))
        # Both axes of the chart in space, from solving for what moves uv by (1, 0) and (0, 1).
        edges = points[[1, 2]] - points[0]
        axes = np.linalg.solve(chart[[1, 2]] - chart[0], edges)
        np.testing.assert_allclose(tangent[0], axes[0] / np.linalg.norm(axes[0]), atol=1e-6)
        assert np.dot(np.cross(normals[0], tangent[0]) * handedness[0], axes[1]) > 0
        # The last vertex is in no triangle and has a frame nonetheless.
        np.testing.assert_allclose(np.linalg.norm(tangent, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose((tangent * normals).sum(1), 0, atol=1e-6)
    avatar = toy_avatar(HEAD, normal_map=np.full((8, 8, 3), 128, np.uint8))
    document, binary = read_glb(export_mesh(avatar, tmp_path / "head.glb"))
    primitives = document["meshes"][0]["primitives"]
    assert ["TANGENT" in primitive["attributes"] for primitive in primitives] == [True, False, False]
    frames = read_accessor(document, binary, primitives[0]["attributes"]["TANGENT"])
    np.testing.assert_allclose(np.linalg.norm(frames[:, :3], axis=1), 1, atol=1e-6)
    assert set(frames[:, 3]) == {1.0}, "the toy's chart is mirrored nowhere"


def test_glb_names_the_head_models_licence_but_not_the_users_file(tmp_path):
    head = dataclasses.replace(HEAD, name="flame:/home/me/secret/FLAME.pkl", licence="FLAME, non-commercial", commercial=False)
    document, _ = read_glb(export_mesh(toy_avatar(head), tmp_path / "head.glb"))
    assert "FLAME, non-commercial" in document["asset"]["copyright"] and document["asset"]["extras"]["commercialUse"] is False
    assert "secret" not in json.dumps(document) and document["meshes"][0]["name"] == "flame"


def test_trimesh_reads_the_glb_right_way_up(glb):
    avatar, path, _, _ = glb
    skin = next(mesh for mesh in trimesh.load(path, process=False).geometry.values() if mesh.visual.material.name == "skin")
    chosen = HEAD.triangle_parts == PARTS.index("skin")
    np.testing.assert_allclose(skin.vertices[skin.faces], avatar.neutral[HEAD.triangles[chosen]], atol=1e-7)
    tip = skin.vertices[skin.vertices[:, 2].argmax()]
    assert tip[1] < 0 and abs(tip[0]) < 0.01  # The nose points to +Z and lies below the eyes.
    assert skin.volume > 0  # Triangles wind counter-clockwise seen from outside.
    # trimesh turns v back to bottom-left on reading.
    np.testing.assert_allclose(skin.visual.uv[skin.faces], HEAD.uvs[HEAD.triangle_uvs[chosen]], atol=1e-6)


def test_glb_weights_are_default_morph_weights_or_baked(tmp_path):
    avatar, weights = toy_avatar(HEAD), {"jawOpen": 0.5}
    document, binary = read_glb(export_mesh(avatar, tmp_path / "a.glb", weights=weights))
    assert document["meshes"][0]["weights"][ARKIT_BLENDSHAPES.index("jawOpen")] == 0.5
    assert sum(document["meshes"][0]["weights"]) == 0.5
    document, binary = read_glb(export_mesh(avatar, tmp_path / "b.glb", weights=weights, with_blendshapes=False))
    assert not any("targets" in primitive for primitive in document["meshes"][0]["primitives"])
    assert_corners(corners_by_material(document, binary, "POSITION"), expected_by_material(avatar.vertices(weights)))


def test_world_frame_turns_positions_normals_and_targets_alike(tmp_path):
    avatar = toy_avatar(HEAD, T_world_head=T_WORLD)
    document, binary = read_glb(export_mesh(avatar, tmp_path / "a.glb", frame="world"))
    jaw = ARKIT_BLENDSHAPES.index("jawOpen")

    def posed(attribute: str) -> dict[str, np.ndarray]:
        base, target = (corners_by_material(document, binary, attribute, shape) for shape in (None, jaw))
        return {name: base[name] + target[name] for name in base}

    local = avatar.neutral + avatar.blendshape_deltas[jaw]
    turned = np.stack([local[:, 2] + 0.5, local[:, 1] - 0.25, -local[:, 0] + 2.0], -1)
    assert_corners(posed("POSITION"), expected_by_material(turned), atol=1e-6)
    normals = vertex_normals(local, HEAD.triangles)
    assert_corners(posed("NORMAL"), expected_by_material(np.stack([normals[:, 2], normals[:, 1], -normals[:, 0]], -1)), atol=1e-3)


@pytest.mark.parametrize("frame", ["head", "world"])
@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_ply_and_obj_keep_the_heads_vertex_order(tmp_path, suffix, frame):
    avatar = toy_avatar(HEAD, T_world_head=T_WORLD)
    path = export_mesh(avatar, tmp_path / f"head{suffix}", frame=frame, weights={"jawOpen": 1.0})
    expected = avatar.mesh({"jawOpen": 1.0}, frame).vertices
    if suffix == ".ply":
        mesh = trimesh.load(path, process=False)
        np.testing.assert_array_equal(np.asarray(mesh.vertices, np.float32), expected)
        np.testing.assert_array_equal(mesh.faces, HEAD.triangles)
    else:
        rows = [line.split()[1:] for line in path.read_text().splitlines() if line.startswith("v ")]
        np.testing.assert_array_equal(np.array(rows, np.float64).astype(np.float32), expected)


def test_obj_has_uvs_from_the_bottom_left_normals_and_a_texture(tmp_path):
    avatar = toy_avatar(HEAD)
    path = export_mesh(avatar, tmp_path / "my head.obj")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my head.mtl", "my head.obj", "my head.png"]
    lines = path.read_text().splitlines()
    uvs = np.array([line.split()[1:] for line in lines if line.startswith("vt ")], np.float32)
    np.testing.assert_array_equal(uvs, HEAD.uvs)
    faces = np.array([[c.split("/") for c in line.split()[1:]] for line in lines if line.startswith("f ")], int)
    np.testing.assert_array_equal(faces[:, :, 0] - 1, HEAD.triangles)
    np.testing.assert_array_equal(faces[:, :, 1] - 1, HEAD.triangle_uvs)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "my head.png")), avatar.albedo_srgb)
    mesh = trimesh.load(path, process=False, force="mesh", maintain_order=True)
    assert mesh.volume == pytest.approx(trimesh.Trimesh(avatar.neutral, HEAD.triangles, process=False).volume, rel=1e-5)


def test_exports_are_deterministic(tmp_path):
    for suffix in (".glb", ".obj", ".ply"):
        first = export_mesh(toy_avatar(HEAD), tmp_path / f"a{suffix}").read_bytes()
        assert export_mesh(toy_avatar(HEAD), tmp_path / f"a{suffix}").read_bytes() == first


def test_bad_requests_are_three_part_errors_and_leave_nothing(tmp_path):
    with pytest.raises(InputError, match=r"\.glb, \.obj, \.ply"):
        export_mesh(toy_avatar(HEAD), tmp_path / "head.fbx")
    with pytest.raises(InputError, match="sideways"):
        export_mesh(toy_avatar(HEAD), tmp_path / "head.glb", frame="sideways")  # type: ignore[arg-type]
    with pytest.raises(RangeError, match="jawOpen"):
        export_mesh(toy_avatar(HEAD), tmp_path / "head.glb", weights={"jawOpn": 1})
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="can be written"):
        export_mesh(toy_avatar(HEAD), tmp_path / "file" / "head.ply")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_the_header_says_in_which_frame_and_scale_the_mesh_is(tmp_path, suffix):
    def header(frame, **changes) -> str:
        path = export_mesh(toy_avatar(HEAD, **changes), tmp_path / f"head{suffix}", frame=frame)
        return next(line for line in path.read_bytes()[:400].decode("latin-1").splitlines() if "recon avatar" in line)

    rig = {"scale": "metric", "T_world_head": T_WORLD}
    assert "metres, head frame: +Y up, +Z front" in header("head", **rig) and "relative" not in header("head", **rig)
    assert "world frame" in header("world", **rig) and "+Y up" not in header("world", **rig)
    # The world of loose pictures is the head frame.
    assert "relative scale" in header("world") and "head frame: +Y up" in header("world")


def test_expressions_are_exported_in_the_heads_own_size(tmp_path):
    avatar = toy_avatar(HEAD, expression_scale=1.25)
    document, binary = read_glb(export_mesh(avatar, tmp_path / "head.glb"))
    jaw = corners_by_material(document, binary, "POSITION", ARKIT_BLENDSHAPES.index("jawOpen"))["skin"]
    np.testing.assert_allclose(jaw.min((0, 1)), (0, -0.0125, 0), atol=1e-7)
    baked = trimesh.load(export_mesh(avatar, tmp_path / "head.ply", weights={"jawOpen": 1.0}), process=False).vertices
    np.testing.assert_allclose((baked - avatar.neutral).min(0), (0, -0.0125, 0), atol=1e-6)
