"""Points of a head that have a name, so that a distance between two of them can be measured on the person and stated."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import tomllib
from pathlib import Path

import numpy as np

import assets
from assets.errors import RangeError
from assets.head_model import PARTS, REGIONS, HeadModel
from assets.landmarks import LandmarkEmbedding

EAR_SPREAD_MM = 2.0
"""How far the fitted outermost point of an ear lies from the true one, typically: no landmark holds it, only the surface does."""


@dataclasses.dataclass(frozen=True)
class NamedPoint:
    """One line of assets/data/named_points.toml."""

    name: str
    means: str
    """Where it is, in words."""
    landmark: int | None = None
    """Number of the landmark in `mediapipe478`; None for points found on the mesh."""
    part: str = ""
    """"eye_left", "eye_right", "ears_left" or "ears_right" for points found on the mesh."""


@functools.cache
def named_points() -> dict[str, NamedPoint]:
    """All named points by name, in the order of the file."""
    path = Path(assets.__file__).parent / "data" / "named_points.toml"
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["point"]
    return {row["name"]: NamedPoint(**row) for row in rows}


def check_point(name: str) -> NamedPoint:
    """The point of a name; raises RangeError with all names for any other."""
    points = named_points()
    if name not in points:
        # All names that go on from the given one, else the most alike.
        near = [point for point in points if set(name.split("_")) <= set(point.split("_"))]
        near = near or difflib.get_close_matches(name, points, 1, 0.0)
        meant = " or ".join(repr(point) for point in near[:4])
        raise RangeError(expected=f"the name of a point: {', '.join(points)}", got=repr(name), do=f"did you mean {meant}?")
    return points[name]


def place_of(name: str, head: HeadModel, neutral: np.ndarray, embedding: LandmarkEmbedding) -> tuple[np.ndarray, float]:
    """Where a named point lies on a neutral (V, 3), as (3,) in its frame and unit, and its spread in one picture, millimetres.

    The spread is how far the detector's point typically lies from its place on the head; raises RangeError for an unknown name, or
    where the head or the landmark scheme lacks the point.
    """
    point = check_point(name)
    if point.part.startswith("eye"):
        side = 0 if point.part == "eye_left" else 1
        return head.eye_centres(neutral)[side].astype(np.float64), float(np.median(embedding.spread_mm[np.isfinite(embedding.spread_mm)]))
    if point.part:
        return _outermost_of_ear(name, head, neutral, 1.0 if point.part == "ears_left" else -1.0), EAR_SPREAD_MM
    if point.landmark is None or point.landmark >= len(embedding.spread_mm) or not np.isfinite(embedding.spread_mm[point.landmark]):
        raise _absent(name, head)
    places = embedding.points(neutral.astype(np.float64), head.triangles)
    return places[point.landmark], float(embedding.spread_mm[point.landmark])


def _outermost_of_ear(name: str, head: HeadModel, neutral: np.ndarray, side: float) -> np.ndarray:
    """The point furthest to the side among the skin of the ear; +X is the subject's left."""
    ears = (head.vertex_regions == REGIONS.index("ears")) & (head.vertex_parts == PARTS.index("skin")) & (side * head.vertices[:, 0] > 0)
    if not ears.any():
        raise _absent(name, head)
    own = neutral[ears].astype(np.float64)
    return own[np.argmax(side * own[:, 0])]


def _absent(name: str, head: HeadModel) -> RangeError:
    return RangeError(expected=f"points that the head {head.name} has", got=repr(name), do="measure between other points")
