"""Installed assets: checks of files, records, names and the data home."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from assets.errors import ArtifactError, InputError, RangeError
from assets.home import data_home
from assets.install import INSTALLABLE, install, installed, verified_file
from tests.assets.download_server import PAYLOAD, WHOLE, left_behind, offer

pytestmark = pytest.mark.usefixtures("home")


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
