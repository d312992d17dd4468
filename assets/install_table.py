"""What can be installed: the table `data/installables.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

from assets.home import data_home

_DATA = Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class Installable:
    """One entry of `data/installables.toml`."""

    name: str
    title: str
    url: str
    """The makers' own place."""
    version: str
    licence: str
    """As the makers name it."""
    commercial: bool
    """Whether that licence allows commercial use."""
    licence_file: str
    """Name of its text below assets/data."""
    file: str
    """Name of the installed file."""
    max_bytes: int
    """A longer download is refused."""
    sha256: str = ""
    """Of the file as published; empty where the makers' server packs it anew."""
    content_sha256: str = ""
    """Of the numbers parsed from it; empty where `sha256` is known."""

    @property
    def licence_text(self) -> str:
        """The whole licence, to be shown before installing and kept beside the files."""
        return (_DATA / self.licence_file).read_text(encoding="utf-8")

    @property
    def folder(self) -> Path:
        """Where it is, or would be, installed."""
        return data_home() / "assets" / self.name


def _read_table() -> dict[str, Installable]:
    table = tomllib.loads((_DATA / "installables.toml").read_text(encoding="utf-8"))
    return {name: Installable(name=name, **entry) for name, entry in table.items()}


INSTALLABLE: dict[str, Installable] = _read_table()
"""What `install` knows, by name: "ict-facekit", "face-landmarker"."""
