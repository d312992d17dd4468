"""Sequences of OBJ files: one topology, numbered without a gap, each frame where the sweep puts it."""

import os
import re

import numpy as np
import pytest
import trimesh
from PIL import Image

from assets.blendshapes import ARKIT_BLENDSHAPES
from assets.errors import InputError, RangeError
from recon.export import export_mesh, export_shapes, export_sweep
from render.camera import look_at
from render.sweep import Frame, Gaze, HeadPose, Sweep
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(24, 32)
T_WORLD = np.array([[0, 0, 1, 0.5], [0, 1, 0, -0.25], [-1, 0, 0, 2.0], [0, 0, 0, 1]])
CAMERA = look_at(np.array([0.0, 0, 1]), np.zeros(3), fov_y_deg=20, width=64, height=64)
FRAMES = (
    Frame("a", CAMERA),
    Frame("smirk", CAMERA, weights={"mouthSmileLeft": 0.5, "jawOpen": 1.0}),
    Frame("turned", CAMERA, HeadPose(yaw_deg=30, pitch_deg=-10, roll_deg=5), {"jawOpen": 0.5}, Gaze(10, -5)),
)
SWEEP = Sweep(FRAMES, (0.5, 2.0))


def rows(path, keyword: str) -> np.ndarray:
    return np.array([line.split()[1:] for line in path.read_text().splitlines() if line.startswith(f"{keyword} ")])


def vertices(path) -> np.ndarray:
    return rows(path, "v").astype(np.float64).astype(np.float32)


def test_a_sweep_becomes_numbered_files_with_the_posed_vertices_and_one_topology(tmp_path):
    avatar = toy_avatar(HEAD, T_world_head=T_WORLD)
    steps = []
    folder = export_sweep(avatar, SWEEP, tmp_path / "seq", frame="world", progress=lambda *step: steps.append(step))
    names = ["head.0001.obj", "head.0002.obj", "head.0003.obj"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "head.mtl", "head.png"])
    assert [done for _, done, _ in steps] == [1, 2, 3] and {total for *_, total in steps} == {3}
    texts = [(folder / name).read_text() for name in names]
    for name, frame, text in zip(names, FRAMES, texts, strict=True):
        np.testing.assert_array_equal(vertices(folder / name), avatar.pose(frame).vertices)
        assert f"frame {frame.name!r}" in text.splitlines()[0] and "world frame" in text.splitlines()[0]
        assert "mtllib head.mtl" in text
    constant = [[line for line in text.splitlines() if re.match(r"vt |f |g |usemtl", line)] for text in texts]
    assert constant[0] == constant[1] == constant[2]
    np.testing.assert_array_equal(rows(folder / names[0], "vt").astype(np.float32), HEAD.uvs)
    assert "map_Kd head.png" in (folder / "head.mtl").read_text()
    np.testing.assert_array_equal(np.array(Image.open(folder / "head.png")), avatar.albedo_srgb)


def test_normals_are_those_of_the_posed_head(tmp_path):
    folder = export_sweep(toy_avatar(HEAD), SWEEP, tmp_path / "seq")
    mesh = trimesh.load(folder / "head.0003.obj", process=False, maintain_order=True, force="mesh")
    faces = rows(folder / "head.0003.obj", "f")
    corners = np.array([[corner.split("/") for corner in face] for face in faces], int)
    np.testing.assert_array_equal(corners[:, :, 0] - 1, HEAD.triangles)
    np.testing.assert_array_equal(corners[:, :, 1] - 1, HEAD.triangle_uvs)
    normals = rows(folder / "head.0003.obj", "vn").astype(float)
    outward = (
        normals[HEAD.triangles].mean(1) * trimesh.Trimesh(vertices(folder / "head.0003.obj"), HEAD.triangles, process=False).face_normals
    )
    assert mesh.volume > 0 and (outward.sum(1) > 0.5).mean() > 0.99


def test_a_sweep_that_moves_the_camera_alone_gives_equal_geometry(tmp_path):
    other = look_at(np.array([0.5, 0.1, 1]), np.zeros(3), fov_y_deg=20, width=64, height=64)
    sweep = Sweep((Frame("0", CAMERA), Frame("1", other)), (0.5, 2.0))
    folder = export_sweep(toy_avatar(HEAD), sweep, tmp_path / "seq")
    first, second = ((folder / f"head.000{k}.obj").read_text().split("\n", 1)[1] for k in (1, 2))
    assert first == second


@pytest.mark.parametrize("frame", ["head", "world"])
def test_shapes_are_named_files_whose_difference_to_the_neutral_is_the_blendshape(tmp_path, frame):
    correction = np.where(HEAD.vertices[:, 1:2] < -0.05, np.float32([1e-3, 0, 2e-3]), 0).astype(np.float32)
    avatar = toy_avatar(HEAD, T_world_head=T_WORLD, shape_corrections={"jawOpen": correction}, normal_map=np.full((8, 8, 3), 128, np.uint8))
    folder = export_shapes(avatar, tmp_path / "shapes", frame=frame)
    files = sorted(path.name for path in folder.glob("*.obj"))
    assert files == ["00-neutral.obj"] + [f"{index:02d}-{name}.obj" for index, name in enumerate(ARKIT_BLENDSHAPES, 1)]
    rotation = np.eye(3) if frame == "head" else T_WORLD[:3, :3]
    neutral = vertices(folder / files[0])
    for file in ("18-jawOpen.obj", "24-mouthSmileLeft.obj", "52-tongueOut.obj"):
        name = file[3:-4]
        expected = avatar.blendshape_deltas[ARKIT_BLENDSHAPES.index(name)] @ rotation.T
        np.testing.assert_allclose(vertices(folder / file) - neutral, expected, atol=3e-7, err_msg=name)
    assert "norm head_normal.png" in (folder / "head.mtl").read_text() and (folder / "head_normal.png").is_file()


def test_a_normal_map_goes_with_a_single_obj_too(tmp_path):
    normals = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    export_mesh(toy_avatar(HEAD, normal_map=normals), tmp_path / "head.obj")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "head_normal.png")), normals)
    assert "norm head_normal.png" in (tmp_path / "head.mtl").read_text()


def test_an_older_sequence_is_replaced_as_a_whole_and_nothing_else_ever(tmp_path):
    folder = export_shapes(toy_avatar(HEAD), tmp_path / "seq")
    export_sweep(toy_avatar(HEAD), SWEEP, folder)
    assert len(list(folder.glob("*.obj"))) == 3
    (folder / "mine.blend").write_bytes(b"keep")
    with pytest.raises(InputError, match=r"mine\.blend"):
        export_sweep(toy_avatar(HEAD), SWEEP, folder)
    assert (folder / "mine.blend").read_bytes() == b"keep"
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("01.obj", "2024.obj", "12-frank.obj", "head.png"):
        (scans / name).write_bytes(b"a scan")
    with pytest.raises(InputError, match=r"01\.obj"):
        export_shapes(toy_avatar(HEAD), scans)
    assert len(list(scans.iterdir())) == 4
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="which is a file"):
        export_shapes(toy_avatar(HEAD), tmp_path / "file")
    with pytest.raises(InputError, match="sideways"):
        export_shapes(toy_avatar(HEAD), tmp_path / "new", frame="sideways")  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "scans", "seq"]


def test_what_breaks_off_leaves_the_older_sequence_whole(tmp_path, monkeypatch):
    folder = export_sweep(toy_avatar(HEAD), SWEEP, tmp_path / "seq")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    wrong = Sweep((FRAMES[0], Frame("b", CAMERA, weights={"jawOpn": 1.0})), (0.5, 2.0))
    with pytest.raises(RangeError, match="jawOpen"):
        export_sweep(toy_avatar(HEAD, seed=9), wrong, folder)
    rename = os.replace

    def failing(source, target):
        if os.path.basename(source) == "new":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr("recon.export.sequence.os.replace", failing)
    with pytest.raises(InputError, match="No space left"):
        export_sweep(toy_avatar(HEAD, seed=9), SWEEP, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["seq"]
