"""The face drawing of the CrucibleAI MediaPipe ControlNet: which landmarks are joined, in which colours and order.

Source: crucible-ai/ControlNet, laion_face_common.py; the tuples there are BGR and reversed at the end, those here are RGB.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tomllib
from pathlib import Path
from typing import Literal

_FILE = Path(__file__).parent / "data" / "mediapipe_face.toml"


@dataclasses.dataclass(frozen=True)
class FacePolyline:
    """One part of the drawing: edges, or single points where `pairs` is empty."""

    part: Literal["oval", "eye", "brow", "lips", "pupil"]
    side: Literal["left", "right", "both"]
    """The subject's own side; "both" for what lies on the middle."""
    pairs: tuple[tuple[int, int], ...]
    """Edges between MediaPipe landmarks (0..477), in drawing order."""
    points: tuple[int, ...]
    """Landmarks drawn as a filled block of pixels: the pupils."""
    rgb: tuple[int, int, int]
    """Colour of the lines or the block, 8-bit RGB."""


@functools.cache
def mediapipe_face_edges() -> tuple[FacePolyline, ...]:
    """All parts in drawing order, later ones over earlier ones: oval, left eye and brow, right eye and brow, lips, pupils."""
    with _FILE.open("rb") as file:
        return tuple(_polyline(entry) for entry in tomllib.load(file)["part"])


def _polyline(entry: dict) -> FacePolyline:
    pairs = tuple(pair for line in entry.get("lines", ()) for pair in itertools.pairwise(line))
    return FacePolyline(entry["part"], entry["side"], pairs, tuple(entry.get("points", ())), tuple(entry["rgb"]))
