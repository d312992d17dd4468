"""Avatars that are not where they were looked for, are broken in one file, or find no room: one error of three parts each."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from assets.errors import ArtifactError
from recon.storage import FILES, load_avatar, save_avatar
from tests.recon.toy_head import toy_avatar, toy_head

HEAD = toy_head(24, 32)


def refused(path: Path) -> ArtifactError:
    """The error of loading a path; none of its parts holds another error's parts."""
    with pytest.raises(ArtifactError) as refusal:
        load_avatar(path, head=HEAD)
    error = refusal.value
    for part in (error.expected, error.got, error.do):
        assert "\n" not in part and not {"expected:", "got:", "do:"} & set(part.split())
    return error


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the avatar `anna`, the output folder `bert` with an avatar in it, and something else."""
    save_avatar(tmp_path / "anna", toy_avatar(HEAD))
    save_avatar(tmp_path / "bert" / "avatar", toy_avatar(HEAD))
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "what", "do"),
    [
        ("ana", "which does not exist", "try {}/anna"),
        ("bret/avatar", "which does not exist", "try {}/bert/avatar"),
        ("photo/avatar", "which does not exist", "try {}/photos"),
        ("xyz", "which does not exist", "correct the path; beside it lies {0}/anna or {0}/bert"),
        ("photos/xyz", "which does not exist", "correct the path: {}/photos exists and holds no avatar, nor anything of a name like 'xyz'"),
        ("photos", "a folder without avatar.json", "give the folder that `recon fit --out` wrote, or fit one there"),
        ("", "a folder without avatar.json", "give {0}/anna or {0}/bert"),
        ("notes.txt", "which is a file", "give the folder in which the avatar's files lie"),
    ],
)
def test_a_path_without_an_avatar_says_so_and_what_lies_beside_it(place: Path, given: str, what: str, do: str):
    error = refused(place / given)
    assert error.got == f"{place / given}, {what}" and error.do == do.format(place)
    assert "recon fit` again" not in error.do


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 100])
def test_a_broken_file_is_named_in_one_error(place: Path, name: str, kept: int):
    path = place / "anna" / name
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in refused(place / "anna").got


def test_a_record_that_another_part_refuses_gives_that_parts_words_once(place: Path):
    record = json.loads((place / "anna" / "avatar.json").read_text())
    record["landmarks"]["topology_hash"] = 7
    record["landmarks"]["scheme"] = "dots"
    view = {"name": "a.jpg", "status": "ok", "reason": "", "T_world_head": None, "weights": {}, "correction": None}
    figures = {"residual_px": 1.0, "yaw_deg": 0.0, "pitch_deg": 0.0, "roll_deg": 0.0}
    record["views"] = [view | figures | {"camera": {"K": [[1, 0], [0, 1]], "T_cam_world": [[1]], "width": 0, "height": 4}}]
    (place / "anna" / "avatar.json").write_text(json.dumps(record))
    error = refused(place / "anna")
    assert error.expected.startswith("a complete avatar record: ") and error.got.startswith(f"{place / 'anna' / 'avatar.json'}: ")


def test_an_avatar_that_finds_no_room_raises_the_systems_error_and_leaves_nothing(place: Path):
    """The file that is too large is the arrays', which a library used to write with an exception of its own."""
    record, arrays = ((place / "anna" / name).stat().st_size for name in FILES[:2])
    assert arrays > record + 4096
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (record + 4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_avatar(place / "cara", toy_avatar(HEAD))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in place.iterdir()) == ["anna", "bert", "notes.txt", "photos"]
