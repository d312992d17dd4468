"""Exported meshes, read back by a reader of our own (GLB) and by trimesh."""

import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import InputError, RangeError
from recon.export import export_mesh
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(24, 32)
T_WORLD = np.array([[0, 0, 1, 0.5], [0, 1, 0, -0.25], [-1, 0, 0, 2.0], [0, 0, 0, 1]])
COMPONENTS = {5126: ("<f4", 4), 5125: ("<u4", 4)}


def read_glb(path) -> tuple[dict, bytes]:
    """The JSON and binary chunks, after checking the container's structure byte by byte."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data)) and length % 4 == 0
    json_length, json_type = struct.unpack_from("<I4s", data, 12)
    binary_length, binary_type = struct.unpack_from("<I4s", data, 20 + json_length)
    assert (json_type, binary_type) == (b"JSON", b"BIN\0")
    assert json_length % 4 == 0 and 28 + json_length + binary_length == len(data)
    document = json.loads(data[20 : 20 + json_length])
    binary = data[28 + json_length :]
    assert document["buffers"] == [{"byteLength": len(binary)}]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0 and view["byteLength"] > 0
        assert view["byteOffset"] + view["byteLength"] <= len(binary)
    return document, binary


def read_accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    dtype, size = COMPONENTS[accessor["componentType"]]
    columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
    view = document["bufferViews"][accessor["bufferView"]]
    assert view["byteLength"] == accessor["count"] * columns * size
    values = np.frombuffer(binary, dtype, accessor["count"] * columns, view["byteOffset"]).reshape(-1, columns)
    if "min" in accessor:
        np.testing.assert_array_equal(np.float32(accessor["min"]), values.min(0))
        np.testing.assert_array_equal(np.float32(accessor["max"]), values.max(0))
    return values


@pytest.fixture
def glb(tmp_path):
    avatar = toy_avatar(HEAD)
    path = export_mesh(avatar, tmp_path / "head.glb")
    return avatar, path, *read_glb(path)


def attributes(document, binary) -> dict[str, np.ndarray]:
    primitive = document["meshes"][0]["primitives"][0]
    return {name: read_accessor(document, binary, index) for name, index in primitive["attributes"].items()}


def test_glb_is_well_formed_and_its_indices_stay_in_range(glb):
    _, _, document, binary = glb
    assert document["asset"]["version"] == "2.0"
    values = attributes(document, binary)
    counts = {len(value) for value in values.values()}
    assert len(counts) == 1
    primitive = document["meshes"][0]["primitives"][0]
    assert "min" in document["accessors"][primitive["attributes"]["POSITION"]]
    indices = read_accessor(document, binary, primitive["indices"])
    assert indices.max() == counts.pop() - 1 and len(indices) == 3 * len(HEAD.triangles)
    np.testing.assert_allclose(np.linalg.norm(values["NORMAL"], axis=1), 1, atol=1e-5)


def test_glb_corners_are_the_avatars_with_v_flipped(glb):
    avatar, _, document, binary = glb
    values = attributes(document, binary)
    indices = read_accessor(document, binary, document["meshes"][0]["primitives"][0]["indices"]).reshape(-1, 3)
    np.testing.assert_array_equal(values["POSITION"][indices], avatar.neutral[HEAD.triangles])
    uvs = HEAD.uvs[HEAD.triangle_uvs]
    np.testing.assert_allclose(values["TEXCOORD_0"][indices][..., 0], uvs[..., 0], atol=1e-7)
    np.testing.assert_allclose(values["TEXCOORD_0"][indices][..., 1], 1 - uvs[..., 1], atol=1e-7)


def test_glb_has_52_named_targets_that_move_the_right_vertices_by_metres(glb):
    _, _, document, binary = glb
    mesh = document["meshes"][0]
    assert tuple(mesh["extras"]["targetNames"]) == ARKIT_BLENDSHAPES
    targets = mesh["primitives"][0]["targets"]
    assert len(targets) == len(mesh["weights"]) == 52 and not any(mesh["weights"])
    indices = read_accessor(document, binary, mesh["primitives"][0]["indices"]).reshape(-1, 3)
    for name, target in zip(ARKIT_BLENDSHAPES, targets, strict=True):
        delta = read_accessor(document, binary, target["POSITION"])
        expected = HEAD.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)][HEAD.triangles]
        np.testing.assert_array_equal(delta[indices], expected, err_msg=name)
    jaw = read_accessor(document, binary, targets[ARKIT_BLENDSHAPES.index("jawOpen")]["POSITION"])
    np.testing.assert_allclose(jaw.min(0), (0, -0.01, 0), atol=1e-7)  # The chin goes down by 10 mm.
    tongue = read_accessor(document, binary, targets[-1]["POSITION"])
    assert ARKIT_BLENDSHAPES[-1] == "tongueOut" and not tongue.any()


def test_glb_texture_is_the_albedo_to_the_bit_and_not_metallic(glb, tmp_path):
    avatar, _, document, binary = glb
    material = document["materials"][0]["pbrMetallicRoughness"]
    assert material["metallicFactor"] == 0 and material["roughnessFactor"] == pytest.approx(0.6)
    image = document["images"][document["textures"][material["baseColorTexture"]["index"]]["source"]]
    view = document["bufferViews"][image["bufferView"]]
    (tmp_path / "a.png").write_bytes(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "a.png")), avatar.albedo_srgb)


def test_trimesh_reads_the_glb_right_way_up(glb):
    avatar, path, _, _ = glb
    mesh = trimesh.load(path, process=False, force="mesh")
    np.testing.assert_allclose(mesh.vertices[mesh.faces], avatar.neutral[HEAD.triangles], atol=1e-7)
    tip = mesh.vertices[mesh.vertices[:, 2].argmax()]
    assert tip[1] < 0 and abs(tip[0]) < 0.01  # The nose points to +Z and lies below the eyes.
    assert mesh.volume > 0  # Triangles wind counter-clockwise seen from outside.
    # trimesh turns v back to bottom-left on reading.
    np.testing.assert_allclose(mesh.visual.uv[mesh.faces], HEAD.uvs[HEAD.triangle_uvs], atol=1e-6)


def test_glb_weights_are_default_morph_weights_or_baked(tmp_path):
    avatar, weights = toy_avatar(HEAD), {"jawOpen": 0.5}
    document, binary = read_glb(export_mesh(avatar, tmp_path / "a.glb", weights=weights))
    assert document["meshes"][0]["weights"][ARKIT_BLENDSHAPES.index("jawOpen")] == 0.5
    assert sum(document["meshes"][0]["weights"]) == 0.5
    document, binary = read_glb(export_mesh(avatar, tmp_path / "b.glb", weights=weights, with_blendshapes=False))
    assert "targets" not in document["meshes"][0]["primitives"][0]
    indices = read_accessor(document, binary, document["meshes"][0]["primitives"][0]["indices"]).reshape(-1, 3)
    np.testing.assert_array_equal(attributes(document, binary)["POSITION"][indices], avatar.vertices(weights)[HEAD.triangles])


def test_world_frame_turns_positions_and_targets_alike(tmp_path):
    avatar = toy_avatar(HEAD, T_world_head=T_WORLD)
    document, binary = read_glb(export_mesh(avatar, tmp_path / "a.glb", frame="world"))
    primitive = document["meshes"][0]["primitives"][0]
    indices = read_accessor(document, binary, primitive["indices"]).reshape(-1, 3)
    jaw = read_accessor(document, binary, primitive["targets"][ARKIT_BLENDSHAPES.index("jawOpen")]["POSITION"])
    posed = (attributes(document, binary)["POSITION"] + jaw)[indices]
    local = avatar.vertices({"jawOpen": 1.0})[HEAD.triangles]
    expected = np.stack([local[..., 2] + 0.5, local[..., 1] - 0.25, -local[..., 0] + 2.0], -1)
    np.testing.assert_allclose(posed, expected, atol=1e-6)


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
    primitive = document["meshes"][0]["primitives"][0]
    jaw = read_accessor(document, binary, primitive["targets"][ARKIT_BLENDSHAPES.index("jawOpen")]["POSITION"])
    np.testing.assert_allclose(jaw.min(0), (0, -0.0125, 0), atol=1e-7)
    baked = trimesh.load(export_mesh(avatar, tmp_path / "head.ply", weights={"jawOpen": 1.0}), process=False).vertices
    np.testing.assert_allclose((baked - avatar.neutral).min(0), (0, -0.0125, 0), atol=1e-6)
