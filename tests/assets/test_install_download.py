"""Downloads that break off and go on, and what is left after a failure. No network."""

from __future__ import annotations

import errno
import hashlib
import http.client
import http.server
import json
import os
import socket
from pathlib import Path

import pytest

from assets import install as installing
from assets import install_download
from assets.errors import InputError, MissingAssetError
from assets.install import install, installed, verified_file
from tests.assets.download_server import HALF, PAYLOAD, WHOLE, left_behind, offer

pytestmark = pytest.mark.usefixtures("home")


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
