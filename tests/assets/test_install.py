"""Installing assets: downloads that break off and go on, checks, archives, and what is left after a failure. No network."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import http.client
import http.server
import io
import json
import os
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assets import install as installing
from assets import install_download
from assets.errors import ArtifactError, InputError, MissingAssetError, RangeError, ReconError
from assets.heads import ict_source
from assets.heads.ict_source import EXPRESSIONS, needed_files, read_ict
from assets.home import data_home
from assets.install import INSTALLABLE, install, installed, verified_file

PAYLOAD = np.random.default_rng(5).bytes(700_001)
"""What the local server gives out as the detector file: longer than two chunks, and odd."""


@dataclasses.dataclass
class Server:
    """A local web server and how it behaves."""

    url: str = ""
    content: bytes = PAYLOAD
    etag: str = '"one"'
    knows_ranges: bool = True
    cut_after: list[int] = dataclasses.field(default_factory=list)
    """Bytes after which each of the next connections breaks off."""
    status: list[int] = dataclasses.field(default_factory=list)
    """Answers to the next requests other than the file."""
    says_length: bool = True
    is_chunked: bool = False
    requests: list[dict[str, str]] = dataclasses.field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append(dict(self.headers))
            if state.status:
                self.send_error(state.status.pop(0))
                return
            start = 0
            asked = self.headers.get("Range")
            if asked and state.knows_ranges and self.headers.get("If-Range", state.etag) == state.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(state.content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            else:
                self.send_response(200)
            if state.is_chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif state.says_length:
                self.send_header("Content-Length", str(len(state.content) - start))
            else:
                self.close_connection = True
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            end = start + state.cut_after.pop(0) if state.cut_after else len(state.content)
            self.close_connection = self.close_connection or end < len(state.content)
            if state.is_chunked:
                for first in range(start, min(end, len(state.content)), 50_000):
                    chunk = state.content[first : min(first + 50_000, end)]
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.write(b"" if end < len(state.content) else b"0\r\n\r\n")
                self.close_connection = True
            else:
                self.wfile.write(state.content[start:end])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{running.server_port}/face_landmarker.task"
        yield state
        running.shutdown()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """An empty data home; a broken connection is given up at once unless a test says otherwise."""
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(install_download, "PAUSE_S", 0.0)
    monkeypatch.setattr(install_download, "ATTEMPTS", 1)
    return tmp_path / "home"


@pytest.fixture
def landmarker(server, monkeypatch) -> Server:
    """`install("face-landmarker")` loads the local payload."""
    offer("face-landmarker", monkeypatch, url=server.url, sha256=hashlib.sha256(PAYLOAD).hexdigest())
    return server


def offer(name: str, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setitem(INSTALLABLE, name, dataclasses.replace(INSTALLABLE[name], **changes))


def left_behind(home: Path) -> list[str]:
    """Names of all files below the data home, relative to its assets."""
    return sorted(str(path.relative_to(home / "assets")) for path in home.rglob("*") if path.is_file())


WHOLE = ["face-landmarker/LICENSE", "face-landmarker/asset.json", "face-landmarker/face_landmarker.task"]
HALF = [".face-landmarker.download.part", ".face-landmarker.download.part.json"]


def test_download_is_checked_and_recorded_with_its_licence(landmarker, home):
    steps: list[tuple[str, int, int]] = []
    asset = install("face-landmarker", progress=lambda *step: steps.append(step))
    assert asset.path.read_bytes() == PAYLOAD
    assert (asset.sha256, asset.size_bytes) == (hashlib.sha256(PAYLOAD).hexdigest(), len(PAYLOAD))
    assert (asset.licence, asset.commercial, asset.source) == ("Apache-2.0", True, landmarker.url)
    assert installed("face-landmarker") == asset
    assert left_behind(home) == WHOLE
    assert "Apache License" in (asset.path.parent / "LICENSE").read_text()
    assert json.loads((asset.path.parent / "asset.json").read_text())["version"] == "float16/1"
    assert steps[-1] == ("download face-landmarker", len(PAYLOAD), len(PAYLOAD))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_a_cut_connection_leaves_what_arrived_and_the_next_call_asks_for_the_rest_only(landmarker, home):
    landmarker.cut_after = [300_000]
    with pytest.raises(MissingAssetError, match=r"0\.3 MB have arrived and are kept[\s\S]*goes on from there") as caught:
        install("face-landmarker")
    assert landmarker.url in str(caught.value)
    assert left_behind(home) == HALF
    assert installed("face-landmarker") is None
    install("face-landmarker")
    assert landmarker.requests[1]["Range"] == "bytes=300000-"
    assert landmarker.requests[1]["If-Range"] == '"one"'
    assert left_behind(home) == WHOLE


def test_one_call_survives_several_cuts_and_a_busy_server(landmarker, monkeypatch):
    monkeypatch.setattr(install_download, "ATTEMPTS", 4)
    landmarker.cut_after = [100_000, 250_000]
    landmarker.status = [503]
    assert install("face-landmarker").path.read_bytes() == PAYLOAD
    assert [request.get("Range") for request in landmarker.requests] == [None, None, "bytes=100000-", "bytes=350000-"]


def test_a_cut_in_a_reply_of_unknown_length_is_noticed(landmarker):
    """As archives come that a server packs while it sends them: in chunks, the last of which is empty."""
    landmarker.is_chunked = True
    landmarker.cut_after = [400_000]
    with pytest.raises(MissingAssetError, match="broke off"):
        install("face-landmarker")
    assert install("face-landmarker").path.read_bytes() == PAYLOAD
    assert 0 < int(landmarker.requests[1]["Range"].removeprefix("bytes=").removesuffix("-")) <= 400_000


def test_a_failure_to_read_from_the_network_is_not_blamed_on_the_home(landmarker, home, monkeypatch):
    """TLS and routing raise bare OSErrors while bytes come."""

    def fail(reply: http.client.HTTPResponse, size: int) -> bytes:
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    with monkeypatch.context() as patch:
        patch.setattr(http.client.HTTPResponse, "read", fail)
        with pytest.raises(MissingAssetError, match=r"broke off: .*No route to host[\s\S]*check the network"):
            install("face-landmarker")
    assert install("face-landmarker").path.read_bytes() == PAYLOAD


def test_a_server_without_ranges_starts_again_from_the_first_byte(landmarker):
    landmarker.knows_ranges = False
    landmarker.cut_after = [300_000]
    with pytest.raises(MissingAssetError):
        install("face-landmarker")
    assert install("face-landmarker").path.read_bytes() == PAYLOAD


def test_another_version_on_the_server_is_not_glued_to_the_old_half(landmarker, monkeypatch):
    landmarker.cut_after = [300_000]
    with pytest.raises(MissingAssetError):
        install("face-landmarker")
    landmarker.content, landmarker.etag = PAYLOAD[::-1], '"two"'
    offer("face-landmarker", monkeypatch, sha256=hashlib.sha256(PAYLOAD[::-1]).hexdigest())
    assert install("face-landmarker").path.read_bytes() == PAYLOAD[::-1]


def test_the_half_of_another_address_is_thrown_away(landmarker, monkeypatch):
    landmarker.cut_after = [300_000]
    with pytest.raises(MissingAssetError):
        install("face-landmarker")
    offer("face-landmarker", monkeypatch, url=landmarker.url + "?other")
    assert install("face-landmarker").path.read_bytes() == PAYLOAD
    assert "Range" not in landmarker.requests[1]


def test_a_half_that_is_longer_than_the_servers_file_is_thrown_away(landmarker, home, monkeypatch):
    landmarker.cut_after = [600_000]
    with pytest.raises(MissingAssetError):
        install("face-landmarker")
    monkeypatch.setattr(install_download, "ATTEMPTS", 2)
    landmarker.content = PAYLOAD[:500_000]
    offer("face-landmarker", monkeypatch, sha256=hashlib.sha256(landmarker.content).hexdigest())
    assert install("face-landmarker").size_bytes == 500_000


def test_ctrl_c_while_loading_installs_nothing_and_keeps_what_arrived(landmarker, home):
    def interrupt(label: str, done: int, total: int) -> None:
        if done > 400_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        install("face-landmarker", progress=interrupt)
    assert left_behind(home) == HALF
    install("face-landmarker")
    assert int(landmarker.requests[1]["Range"].removeprefix("bytes=").removesuffix("-")) > 400_000


def test_a_wrong_file_is_refused_and_the_earlier_installation_stays(landmarker, home):
    before = install("face-landmarker")
    landmarker.content = PAYLOAD[:-1] + b"?"
    with pytest.raises(InputError, match=hashlib.sha256(landmarker.content).hexdigest()):
        install("face-landmarker")
    assert left_behind(home) == WHOLE
    assert verified_file(before).read_bytes() == PAYLOAD


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_without_end_is_refused(landmarker, monkeypatch, home, says_length):
    landmarker.says_length = says_length
    offer("face-landmarker", monkeypatch, max_bytes=300_000)
    with pytest.raises(InputError, match="at most 0 MB"):
        install("face-landmarker")
    assert installed("face-landmarker") is None


def test_not_found_is_final_and_names_the_address(landmarker, monkeypatch):
    monkeypatch.setattr(install_download, "ATTEMPTS", 4)
    landmarker.status = [404] * 4
    with pytest.raises(MissingAssetError, match=r"404 Not Found[\s\S]*--from") as caught:
        install("face-landmarker")
    assert landmarker.url in caught.value.expected
    assert len(landmarker.requests) == 1


def test_no_server_is_told_as_no_connection(monkeypatch, home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offer("face-landmarker", monkeypatch, url=f"http://127.0.0.1:{port}/")
    with pytest.raises(MissingAssetError, match="no connection"):
        install("face-landmarker")
    assert left_behind(home) == []


def test_a_full_disk_is_told_and_what_was_loaded_is_used_by_the_next_call(landmarker, home, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(installing.shutil, "copyfile", full)
        with pytest.raises(InputError, match=r"the disk is full[\s\S]*RECON_HOME"):
            install("face-landmarker")
    assert left_behind(home) == HALF
    install("face-landmarker")
    assert len(landmarker.requests) == 1
    assert left_behind(home) == WHOLE


def test_a_move_that_fails_brings_the_earlier_installation_back(landmarker, home, monkeypatch):
    install("face-landmarker")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.endswith(".part"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        install("face-landmarker")
    assert set(WHOLE) <= {*left_behind(home)}
    assert not any("old" in name for name in left_behind(home))


def test_a_home_that_cannot_be_made_is_told(tmp_path, monkeypatch, landmarker):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(InputError, match="RECON_HOME"):
        install("face-landmarker")


def test_a_given_file_that_cannot_be_read_is_not_blamed_on_the_home(tmp_path, home, monkeypatch):
    own = tmp_path / "own.task"
    own.write_bytes(PAYLOAD)

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(source))

    offer("face-landmarker", monkeypatch, sha256=hashlib.sha256(PAYLOAD).hexdigest())
    monkeypatch.setattr(installing.shutil, "copyfile", refuse)
    with pytest.raises(InputError, match=r"own\.task: Permission denied[\s\S]*check the path after --from"):
        install("face-landmarker", from_path=own)
    assert left_behind(home) == []


def test_a_file_that_the_user_has_is_checked_alike(tmp_path, monkeypatch, home):
    offer("face-landmarker", monkeypatch, sha256=hashlib.sha256(PAYLOAD).hexdigest())
    own = tmp_path / "own"
    own.mkdir()
    (own / "face_landmarker.task").write_bytes(PAYLOAD)
    assert install("face-landmarker", from_path=own).path.read_bytes() == PAYLOAD
    record = installed("face-landmarker")
    assert record is not None
    assert record.source == str(own)
    (own / "face_landmarker.task").write_bytes(PAYLOAD + b" ")
    with pytest.raises(InputError, match="700002 bytes"):
        install("face-landmarker", from_path=own / "face_landmarker.task")
    with pytest.raises(InputError, match="check the path"):
        install("face-landmarker", from_path=tmp_path / "nowhere")
    assert left_behind(home) == WHOLE


def test_the_pinned_hash_is_that_of_the_published_detector_file(recon_data):
    file = recon_data / "assets" / "face_landmarker.task"
    if not file.is_file():
        pytest.skip(f"no {file}")
    assert install("face-landmarker", from_path=file).size_bytes == file.stat().st_size


def test_a_changed_file_is_noticed_before_it_is_used(landmarker):
    asset = install("face-landmarker")
    asset.path.write_bytes(PAYLOAD[:-1])
    with pytest.raises(ArtifactError, match="changed since"):
        verified_file(asset)


def test_a_damaged_record_is_told_and_a_missing_one_means_not_installed(landmarker):
    record = install("face-landmarker").path.parent / "asset.json"
    record.write_text('{"name": "face-')
    with pytest.raises(ArtifactError, match="recon assets install face-landmarker"):
        installed("face-landmarker")
    record.unlink()
    assert installed("face-landmarker") is None


def test_unknown_names_are_refused_with_the_nearest():
    for call in (install, installed):
        with pytest.raises(RangeError, match="did you mean 'ict-facekit'"):
            call("ict_facekit")


def test_every_installable_has_a_licence_text_and_is_pinned():
    assert set(INSTALLABLE) == {"ict-facekit", "face-landmarker"}
    for entry in INSTALLABLE.values():
        assert len(entry.licence_text) > 1000
        assert entry.url.startswith("https://")
        assert len(entry.sha256 or entry.content_sha256) == 64


def test_data_home_is_the_named_folder_else_the_systems_place(monkeypatch):
    monkeypatch.setenv("RECON_HOME", "~/mine")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert data_home() == Path.home() / "mine"
    monkeypatch.delenv("RECON_HOME")
    assert data_home() == Path("/data/recon")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_home() == Path.home() / ".local/share/recon"


# --- ICT-FaceKit from folders and archives, on a made-up one of 60 vertices ------------------------------------------


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
