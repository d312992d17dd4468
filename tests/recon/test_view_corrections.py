"""Corrections of single pictures: in the posed mesh, on disk and in exported files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from assets.errors import ArtifactError, DegenerateGeometryError, InputError
from recon.avatar import FittedView
from recon.export import export_mesh
from recon.storage import load_avatar, save_avatar
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(12, 16)
T_WORLD_HEAD = np.array([[0, -1, 0, 0.1], [1, 0, 0, 0.2], [0, 0, 1, -0.3], [0, 0, 0, 1.0]])


def view(name: str, correction: np.ndarray | None = None, *, registered: bool = True) -> FittedView:
    T = T_WORLD_HEAD if registered else None
    return FittedView(name, "ok" if registered else "no_face", "", None, T, {"jawOpen": 0.4}, 1.0, 2.0, 3.0, 4.0, correction)


def field(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1e-3, (HEAD.num_vertices, 3)).astype(np.float32)


def an_avatar():
    smile = field(0)
    views = (view("rest.jpg"), view("a.jpg", smile), view("b.jpg", smile), view("c.jpg", field(1)), view("lost.jpg", registered=False))
    return toy_avatar(HEAD, views=views, T_world_head=np.eye(4))


def test_the_posed_mesh_of_a_view_has_its_correction_before_the_heads_pose():
    avatar = an_avatar()
    plain = avatar.vertices({"jawOpen": 0.4})
    turned = np.stack([0.1 - (plain + field(0))[:, 1], 0.2 + (plain + field(0))[:, 0], (plain + field(0))[:, 2] - 0.3], 1)
    np.testing.assert_allclose(avatar.posed_view("b.jpg").vertices, turned, atol=1e-6)
    np.testing.assert_allclose(avatar.mesh(view="b.jpg", frame="world").vertices, turned, atol=1e-6)
    np.testing.assert_allclose(avatar.mesh(view="a.jpg").vertices, plain + field(0), atol=1e-7)
    np.testing.assert_array_equal(avatar.mesh(view="rest.jpg").vertices, plain)


def test_a_view_is_asked_for_by_a_name_that_exists_without_weights_and_registered():
    avatar = an_avatar()
    with pytest.raises(InputError, match=r"try 'a\.jpg'"):
        avatar.mesh(view="a.jpeg")
    with pytest.raises(InputError, match="one of the two"):
        avatar.mesh({"jawOpen": 1.0}, view="a.jpg")
    with pytest.raises(DegenerateGeometryError, match=r"lost\.jpg"):
        avatar.posed_view("lost.jpg")


def test_corrections_come_back_from_disk_to_the_bit_and_shared(tmp_path):
    loaded = load_avatar(save_avatar(tmp_path / "avatar", an_avatar()), head=HEAD)
    rest, a, b, c, lost = loaded.views
    assert rest.correction is None and lost.correction is None and a.correction is b.correction
    for found, wanted in ((a.correction, field(0)), (c.correction, field(1))):
        assert found is not None and found.dtype == np.float32 and found.tobytes() == wanted.tobytes()
    assert load_file(tmp_path / "avatar" / "avatar.safetensors")["corrections"].shape == (2, HEAD.num_vertices, 3)


def test_an_avatar_saved_before_there_were_corrections_is_read(tmp_path):
    folder = save_avatar(tmp_path / "avatar", dataclasses.replace(an_avatar(), views=(view("rest.jpg"),)))
    record = json.loads((folder / "avatar.json").read_text())
    del record["views"][0]["correction"]
    (folder / "avatar.json").write_text(json.dumps(record))
    assert load_avatar(folder, head=HEAD).views[0].correction is None


@pytest.mark.parametrize("broken", ["index", "shape", "nan"])
def test_broken_corrections_are_refused(tmp_path, broken):
    folder = save_avatar(tmp_path / "avatar", an_avatar())
    tensors, record = load_file(folder / "avatar.safetensors"), json.loads((folder / "avatar.json").read_text())
    if broken == "index":
        record["views"][1]["correction"] = 2
    elif broken == "shape":
        tensors["corrections"] = np.ascontiguousarray(tensors["corrections"][:, 1:])
    else:
        tensors["corrections"][1, 3, 2] = np.nan
    (folder / "avatar.json").write_text(json.dumps(record))
    save_file(tensors, folder / "avatar.safetensors")
    with pytest.raises(ArtifactError):
        load_avatar(folder, head=HEAD)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_an_exported_view_is_its_posed_mesh(tmp_path, suffix):
    import trimesh

    avatar = an_avatar()
    path = export_mesh(avatar, tmp_path / f"view{suffix}", view="c.jpg")
    written = np.asarray(trimesh.load(path, process=False, force="mesh").vertices)  # pyright: ignore[reportAttributeAccessIssue]
    wanted = avatar.vertices({"jawOpen": 0.4}) + field(1)
    distance = np.linalg.norm(written[:, None] - wanted[None], axis=2)
    assert distance.min(1).max() < 1e-6 and distance.min(0).max() < 1e-6
