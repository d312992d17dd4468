"""Landmark schemes by anatomical name: which of MediaPipe's 478 points, or means of them, make up iBUG 68 and others.

The tables and their sources are in assets/data/schemes.toml.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import tomllib
from pathlib import Path

import numpy as np

from assets.errors import RangeError, ShapeError

_FILE = Path(__file__).parent / "data" / "schemes.toml"

SCHEMES: tuple[str, ...] = ("mediapipe478", "ibug68", "openpose70", "instantid5")
"""Names of the landmark schemes."""

NUM_MEDIAPIPE = 478
"""Points of MediaPipe's face mesh with irises, from which all other schemes are taken."""


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkScheme:
    """One scheme's points in order."""

    name: str
    """One of SCHEMES."""
    point_names: tuple[str, ...]
    """(L,) anatomical names, unique; those that begin with `left_` or `right_` are on the subject's own left or right."""
    sources: tuple[tuple[int, ...], ...]
    """(L,) the points of mediapipe478 (0..477) whose mean each point is."""
    mirror: np.ndarray
    """(L,) int32: for each point the one on the other side of the face; a point of the middle is its own."""

    @property
    def size(self) -> int:
        return len(self.point_names)


def scheme_table(scheme: str) -> LandmarkScheme:
    """The table of a scheme by its name; RangeError for an unknown one."""
    if scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme, SCHEMES, 1, 0.0)
        raise RangeError(
            expected=f"a landmark scheme: {', '.join(SCHEMES)}",
            got=repr(scheme),
            do=f"did you mean {near[0]!r}?" if near else f"use {SCHEMES[0]!r}",
        )
    return _tables()[scheme]


def scheme_size(scheme: str) -> int:
    """Number of points; RangeError for an unknown scheme."""
    return scheme_table(scheme).size


def scheme_points(scheme: str, points478: np.ndarray) -> np.ndarray:
    """(L, D) points of a scheme from (478, D) points of mediapipe478, in pixels or metres alike.

    Means of neighbouring points lie on the chord between them, so on a curved surface up to a millimetre or two under it; an
    embedding puts them back (`load_embedding`). Points that are nan make those that are taken from them nan.
    Raises RangeError for an unknown scheme, ShapeError for another number of points.
    """
    table = scheme_table(scheme)
    if points478.ndim != 2 or len(points478) != NUM_MEDIAPIPE:
        raise ShapeError(
            expected=f"the ({NUM_MEDIAPIPE}, D) points of mediapipe478, irises included",
            got=f"an array of shape {points478.shape}",
            do="detect with irises (refined landmarks), and pass all points in MediaPipe's order",
        )
    return np.stack([points478[list(source)].mean(0) for source in table.sources])


@functools.cache
def _tables() -> dict[str, LandmarkScheme]:
    with _FILE.open("rb") as file:
        content = tomllib.load(file)
    tables = {"mediapipe478": _mediapipe(content["mediapipe478"])}
    for name in SCHEMES[1:]:
        base = tables.get(content[name].get("extends", ""))
        points = content[name]["points"]
        names = (*(base.point_names if base else ()), *(point["name"] for point in points))
        sources = (*(base.sources if base else ()), *(tuple(point["from"]) for point in points))
        index = [names.index(mirror_point_name(point)) for point in names]
        tables[name] = LandmarkScheme(name, names, sources, np.array(index, np.int32))
    return tables


def _mediapipe(content: dict) -> LandmarkScheme:
    """All 478: contours by their names, every other point by its side and index."""
    mirror = np.arange(NUM_MEDIAPIPE, dtype=np.int32)
    names = [f"middle_skin_{index:03}" for index in range(NUM_MEDIAPIPE)]
    for right, left in content["pairs"]:
        mirror[right], mirror[left] = left, right
        names[right], names[left] = f"right_skin_{right:03}", f"left_skin_{right:03}"
    for contour in content["contours"]:
        numbered = len(contour["points"]) > 1
        for place, index in enumerate(contour["points"]):
            name = f"{contour['name']}_{place + 1}" if numbered else contour["name"]
            names[index], names[mirror[index]] = name, mirror_point_name(name)
    return LandmarkScheme("mediapipe478", tuple(names), tuple((index,) for index in range(NUM_MEDIAPIPE)), mirror)


def mirror_point_name(name: str) -> str:
    """The name of the point on the other side of the face; points of the middle keep theirs."""
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    return name
