"""ICT-FaceKit from folders and archives, on a made-up one of 60 vertices."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from assets.errors import InputError, ReconError
from assets.heads import ict_source
from assets.heads.ict_source import EXPRESSIONS, needed_files, read_ict
from assets.install import install, installed, verified_file
from tests.assets.download_server import left_behind, offer

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def objs(monkeypatch) -> dict[str, bytes]:
    """OBJ files by name, in upstream's manner, and INSTALLABLE pinned to them."""
    monkeypatch.setattr(ict_source, "NUM_VERTICES", 60)
    rng = np.random.default_rng(2)
    template = rng.normal(size=(60, 3)) * 5
    mesh = "vt 0.1 0.2\nvt 0.3 0.4\nvt 1.5 0.6\nusemtl M_Face\nf 1/1 2/2 3/3 4/1\nusemtl M_Teeth\nf 5/3 6/2 7/1\n"
    files = {}
    for name in needed_files():
        points = template + (0 if "neutral" in name else rng.normal(size=(60, 3)) * 0.1)
        lines = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in points)
        files[name] = ("# ICT\n" + lines + (mesh if "neutral" in name else "")).encode()
    content = ict_source.read_objs(files.items(), Path("made")).content_hash()
    offer("ict-facekit", monkeypatch, content_sha256=content)
    return files


def as_folder(objs: dict[str, bytes], place: Path) -> Path:
    (place / "FaceXModel").mkdir(parents=True)
    for name, content in objs.items():
        (place / "FaceXModel" / name).write_bytes(content)
    (place / "README.md").write_text("not needed")
    return place


def as_zip(objs: dict[str, bytes], place: Path, *, extra: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in objs.items():
            archive.writestr(f"ICT-FaceKit-da5f95a/FaceXModel/{name}", content)
        for name in extra:
            archive.writestr(name, b"v 0 0 0\n")
    return place


def as_tar(objs: dict[str, bytes], place: Path, *, members: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for member in members:
            archive.addfile(member)
        for name, content in reversed(objs.items()):
            member = tarfile.TarInfo(f"ICT-FaceKit-da5f95a/FaceXModel/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return place


def test_folder_zip_tar_and_packed_file_install_the_same_bytes(objs, tmp_path, home):
    first = install("ict-facekit", from_path=as_folder(objs, tmp_path / "clone"))
    source = read_ict(first.path)
    assert source.template.shape == (60, 3)
    np.testing.assert_array_equal(source.faces, [(0, 1, 2), (0, 2, 3), (4, 5, 6)])
    np.testing.assert_array_equal(source.faces_uv, [(0, 1, 2), (0, 2, 0), (2, 1, 0)])
    assert tuple(source.materials[source.face_material]) == ("M_Face", "M_Face", "M_Teeth")
    jaw = ict_source.read_objs(objs.items(), Path("made")).expression[EXPRESSIONS.index("jawOpen")]
    np.testing.assert_array_equal(source.expression[EXPRESSIONS.index("jawOpen")], jaw)
    packed = tmp_path / "packed.npz"
    packed.write_bytes(first.path.read_bytes())
    for given in (
        as_zip(objs, tmp_path / "a.zip"),
        as_tar(objs, tmp_path / "a.tar.gz"),
        packed,
        home / "assets/ict-facekit",
        tmp_path / "clone/FaceXModel",
    ):
        assert install("ict-facekit", from_path=given).sha256 == first.sha256
    assert left_behind(home) == ["ict-facekit/LICENSE", "ict-facekit/asset.json", "ict-facekit/ict_facekit.npz"]
    assert "USC Institute for Creative Technologies" in (first.path.parent / "LICENSE").read_text()


def test_the_makers_archive_is_loaded_read_and_not_kept(objs, tmp_path, home, server, monkeypatch):
    server.content = as_tar(objs, tmp_path / "a.tar.gz").read_bytes()
    server.says_length = False
    offer("ict-facekit", monkeypatch, url=server.url)
    steps = []
    asset = install("ict-facekit", progress=lambda *step: steps.append(step))
    assert asset.source == server.url
    assert left_behind(home) == ["ict-facekit/LICENSE", "ict-facekit/asset.json", "ict-facekit/ict_facekit.npz"]
    assert steps[-1] == ("read ICT-FaceKit", 158, 158)


def test_an_archive_cut_short_is_refused_and_not_kept(objs, tmp_path, home, server, monkeypatch):
    whole = as_tar(objs, tmp_path / "a.tar.gz").read_bytes()
    server.content, server.says_length = whole[: len(whole) // 2], False
    offer("ict-facekit", monkeypatch, url=server.url)
    with pytest.raises(InputError, match="cannot be read"):
        install("ict-facekit")
    assert left_behind(home) == []


def test_a_tar_made_from_inside_the_clone_has_its_own_folder_as_a_member(objs, tmp_path):
    folder = tarfile.TarInfo(".")
    folder.type = tarfile.DIRTYPE
    given = as_tar(objs, tmp_path / "a.tar.gz", members=(folder,))
    assert install("ict-facekit", from_path=given).sha256 == install("ict-facekit", from_path=as_zip(objs, tmp_path / "a.zip")).sha256


def test_an_obj_file_with_broken_texture_coordinates_is_named(objs, tmp_path):
    objs["generic_neutral_mesh.obj"] = objs["generic_neutral_mesh.obj"].replace(b"vt 0.3 0.4", b"vt 0.3")
    with pytest.raises(InputError, match=r"texture coordinates[\s\S]*generic_neutral_mesh\.obj"):
        install("ict-facekit", from_path=as_folder(objs, tmp_path / "clone"))


@pytest.mark.parametrize("name", ["../FaceXModel/jawOpen.obj", "/tmp/FaceXModel/jawOpen.obj", "a/../../x.obj", "C:/x.obj", "..\\x.obj"])
def test_a_zip_with_a_path_that_leads_out_is_refused(objs, tmp_path, home, name):
    with pytest.raises(InputError, match="leads out of it"):
        install("ict-facekit", from_path=as_zip(objs, tmp_path / "a.zip", extra=(name,)))
    assert left_behind(home) == []
    assert not list(tmp_path.rglob("*.obj"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_tar_with_links_or_devices_is_refused(objs, tmp_path, home, kind):
    member = tarfile.TarInfo("ICT-FaceKit-da5f95a/FaceXModel/jawOpen.obj")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match="a link or device"):
        install("ict-facekit", from_path=as_tar(objs, tmp_path / "a.tar.gz", members=(member,)))
    assert left_behind(home) == []


def test_a_member_that_unpacks_to_more_than_any_real_one_is_refused(objs, tmp_path):
    objs["jawOpen.obj"] = b" " * 17_000_000
    with pytest.raises(InputError, match=r"jawOpen\.obj of 17 MB"):
        install("ict-facekit", from_path=as_zip(objs, tmp_path / "a.zip"))


def test_missing_files_are_named(objs, tmp_path):
    del objs["identity042.obj"]
    for given in (as_zip(objs, tmp_path / "a.zip"), as_folder(objs, tmp_path / "clone")):
        with pytest.raises(InputError, match=r"1 missing, among them identity042\.obj"):
            install("ict-facekit", from_path=given)


def test_one_changed_number_is_another_version(objs, tmp_path, home):
    before = install("ict-facekit", from_path=as_folder(objs, tmp_path / "clone"))
    objs["mouthSmile_L.obj"] = objs["mouthSmile_L.obj"].replace(b"v ", b"v 1", 1)
    with pytest.raises(InputError, match="another version, or changed files"):
        install("ict-facekit", from_path=as_zip(objs, tmp_path / "a.zip"))
    assert installed("ict-facekit") == before
    assert verified_file(before).is_file()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short", b"\x1f\x8b\x08 no gzip", b"\x93NUMPY"])
def test_files_of_another_kind_are_refused_in_three_parts(tmp_path, home, content):
    (tmp_path / "given").write_bytes(content)
    with pytest.raises(InputError) as caught:
        install("ict-facekit", from_path=tmp_path / "given")
    assert caught.value.expected and caught.value.got and caught.value.do
    assert left_behind(home) == []


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ReconError, match="FaceXModel"):
        install("ict-facekit", from_path=tmp_path)
