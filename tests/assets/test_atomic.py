"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.atomic import write_bytes, write_text, written_beside
from assets.errors import InputError


def test_a_file_is_replaced_and_nothing_is_left_beside(tmp_path: Path):
    path = tmp_path / "new" / "a.txt"
    assert write_text(path, "ä\n") == path and path.read_bytes() == b"\xc3\xa4\n"
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_broken_off_leaves_the_older_file(tmp_path: Path, stop):
    path = write_text(tmp_path / "a.mp4", "older")

    def write_half() -> None:
        with written_beside(path) as beside:
            assert beside.parent == path.parent and beside.suffix == ".mp4" and beside.name.startswith(".")
            beside.write_text("ha")
            raise stop

    with pytest.raises((KeyboardInterrupt, OSError)):
        write_half()
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_share_a_half(tmp_path: Path):
    path = tmp_path / "a.png"
    with written_beside(path) as first, written_beside(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_is_refused_and_kept(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(InputError, match="which is a folder"):
        write_text(tmp_path / "out", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (tmp_path / "out" / "mine").exists()
