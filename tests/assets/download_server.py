"""What a local web server gives out and how it breaks off, and the files that an installation leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from assets.install import INSTALLABLE

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


def offer(name: str, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.setitem(INSTALLABLE, name, dataclasses.replace(INSTALLABLE[name], **changes))


def left_behind(home: Path) -> list[str]:
    """Names of all files below the data home, relative to its assets."""
    return sorted(str(path.relative_to(home / "assets")) for path in home.rglob("*") if path.is_file())


WHOLE = ["face-landmarker/LICENSE", "face-landmarker/asset.json", "face-landmarker/face_landmarker.task"]
HALF = [".face-landmarker.download.part", ".face-landmarker.download.part.json"]
