"""Files that appear whole or not at all: written beside their place and renamed."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from assets.errors import InputError

_numbers = itertools.count()


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path beside `path`, hidden and with its suffix, to write to; it takes `path`'s place when the block ends well.

    After an error or an interruption inside the block nothing is left beside and `path` is what it was. The folder is made
    where it is absent. Raises InputError where a folder stands at `path`.
    """
    if path.is_dir():
        raise InputError(expected="a file to write", got=f"{path}, which is a folder", do="give the name of a file, or another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Process and number keep two writers of one file from writing into each other's half.
    beside = path.with_name(f".{path.stem}.{os.getpid()}-{next(_numbers)}.part{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a whole file by `written_beside`; returns the path."""
    with written_beside(path) as beside:
        beside.write_bytes(content)
    return path


def write_text(path: Path, content: str) -> Path:
    """Write a whole file as UTF-8 by `written_beside`; returns the path."""
    return write_bytes(path, content.encode("utf-8"))
