"""Licences of the parts that a result is made with, and the refusal of those that do not allow commercial use."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from assets.errors import LicenceError

_FILE = Path(__file__).parent / "data" / "licences.toml"

UNKNOWN_LICENCE = "licence unknown"

PartKind = Literal["head", "detector", "model"]


@dataclasses.dataclass(frozen=True)
class LicencedPart:
    """Something by others that a result is made with: a head model, a detector, a diffusion model."""

    name: str
    """As the user names it: "ict", a hub name, a folder."""
    licence: str
    """As its makers state it; UNKNOWN_LICENCE where nobody said."""
    commercial: bool | None
    """Whether that licence allows commercial use; None where it is unknown."""
    kind: PartKind = "model"
    do: str = ""
    """What a user can do who needs a part that allows commercial use."""

    def __str__(self) -> str:
        allows = {True: "commercial use allowed", False: "no commercial use", None: "commercial use unknown"}[self.commercial]
        return f"{self.name} ({self.licence}; {allows})"


@dataclasses.dataclass(frozen=True)
class ModelLicence:
    """One line of the table of hub models."""

    name: str
    licence: str
    commercial: bool
    source: str
    """The page that states it."""
    checked: str
    """Day on which the page was looked up, ISO 8601."""


DETECTOR = LicencedPart("mediapipe", "Apache-2.0 (MediaPipe, code and models)", True, "detector")
"""The face detector: the models in mediapipe's wheel and the face_landmarker.task file, both by Google."""


@functools.cache
def known_models() -> dict[str, ModelLicence]:
    """The table of hub models in data/licences.toml, by name."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))["model"]
    return {entry["name"]: ModelLicence(**entry) for entry in entries}


def model_part(name: str, *, statement: str = "") -> LicencedPart:
    """A diffusion model or ControlNet by hub name or folder.

    A folder of the hub's own cache (models--OWNER--NAME) is known by the name in it. What is in no table has the licence that the
    user states, taken as their word that it allows commercial use; without a statement it is unknown.
    """
    entry = known_models().get(hub_name(name))
    if entry:
        way_out = "" if entry.commercial else "use a model that allows it, such as stable-diffusion-v1-5/stable-diffusion-v1-5"
        return LicencedPart(name, entry.licence, entry.commercial, do=way_out)
    if statement.strip():
        return LicencedPart(name, f"{statement.strip()} (as stated by the user)", True)
    way_out = "read its licence; where it allows commercial use, state it with --model-licence 'NAME OF THE LICENCE'"
    return LicencedPart(name, UNKNOWN_LICENCE, None, do=way_out)


def hub_name(name: str) -> str:
    """The hub name in the path of a snapshot in the hub's cache; any other name as it is."""
    found = re.search(r"models--([^/\\]+)--([^/\\]+)", name)
    return f"{found[1]}/{found[2]}" if found else name


def refuse_non_commercial(parts: Iterable[LicencedPart]) -> None:
    """Raises LicenceError naming every part whose licence does not allow commercial use, or is unknown."""
    refused = [part for part in dict.fromkeys(parts) if not part.commercial]
    if refused:
        ways = dict.fromkeys(f"{part.name}: {part.do}" for part in refused if part.do)
        raise LicenceError(
            expected="parts that all allow commercial use, because --commercial (or RECON_COMMERCIAL) asks for it",
            got="; ".join(map(str, refused)),
            do="; ".join(ways) or "use other parts, or leave out --commercial where the result is not used commercially",
        )
