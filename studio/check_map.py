"""The coverage map: where the cameras stand around the head, with a thumbnail for each picture, gaps, and the photos to take next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from recon.coverage import Coverage
from recon.coverage_next import MIN_GAIN, NextPhoto, gain_map
from studio.check_canvas import ACCENT, CARD, GOOD, INK, RULE, SOFT, WARN, Canvas, text_width

MAP_YAW_DEG, MAP_PITCH_DEG = 100.0, 50.0
"""The map reaches this far to either side."""

AMBER = (244, 187, 96)

MAX_WASH = 0.16
"""A photo that takes off this share of the error colours the map fully."""


@dataclasses.dataclass(frozen=True, eq=False)
class MapPicture:
    """One picture on the map."""

    name: str
    yaw_deg: float
    pitch_deg: float
    thumbnail: np.ndarray | None
    """(S, S, 3) uint8 sRGB; None draws a dot."""
    is_good: bool
    """Whether nothing about it needs attention."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where the map lies on a canvas, pixels."""

    x: float
    y: float
    width: float
    height: float

    def place(self, yaw_deg: float, pitch_deg: float) -> tuple[float, float]:
        """(x, y) on the canvas; outside values come to the border."""
        yaw, pitch = max(-MAP_YAW_DEG, min(MAP_YAW_DEG, yaw_deg)), max(-MAP_PITCH_DEG, min(MAP_PITCH_DEG, pitch_deg))
        return self.x + (yaw + MAP_YAW_DEG) / (2 * MAP_YAW_DEG) * self.width, self.y + (MAP_PITCH_DEG - pitch) / (
            2 * MAP_PITCH_DEG
        ) * self.height


def draw_map(
    canvas: Canvas,
    frame: Frame,
    coverage: Coverage,
    pictures: Sequence[MapPicture],
    next_photos: Sequence[NextPhoto],
    gaps_deg: Sequence[tuple[float, float]],
) -> None:
    """Draw the map into `frame`, with its axis labels below and to the left of it (66 px and 58 px).

    Yaw grows to the right, so that every face looks outwards; amber is where a further photo would add most.
    """
    canvas.card(frame.x, frame.y, frame.width, frame.height)
    yaws, pitches = np.linspace(-MAP_YAW_DEG, MAP_YAW_DEG, 21), np.linspace(MAP_PITCH_DEG, -MAP_PITCH_DEG, 11)
    gain = gain_map(coverage, yaws, pitches)
    canvas.wash(
        np.clip((gain - MIN_GAIN) / (MAX_WASH - MIN_GAIN), 0, 1) ** 0.8, frame.x + 2, frame.y + 2, frame.width - 4, frame.height - 4, AMBER
    )
    _axes(canvas, frame)
    _gaps(canvas, frame, gaps_deg)
    side = thumbnail_side(len(pictures))
    rings = merged_rings(next_photos)
    taken = [(*frame.place(yaw, pitch), 30.0) for (yaw, pitch), _ in rings]
    spots = spread_out([frame.place(p.yaw_deg, p.pitch_deg) for p in pictures], side / 2, frame, taken)
    for picture, spot in zip(pictures, spots, strict=True):
        home = frame.place(picture.yaw_deg, picture.pitch_deg)
        if math.dist(home, spot) > side / 2:
            canvas.line(*home, *spot, SOFT, 1.2)
            canvas.disc(*home, 4, SOFT)
    for picture, spot in zip(pictures, spots, strict=True):
        rim = GOOD if picture.is_good else WARN
        if picture.thumbnail is None:
            canvas.disc(*spot, side / 2, CARD, rim, 3)
            continue
        canvas.disc(*spot, side / 2 + 3, rim)
        canvas.thumbnail(picture.thumbnail, *spot, side, is_round=True)
    for (yaw, pitch), label in rings:
        number_ring(canvas, *frame.place(yaw, pitch), label, radius=27)


def number_ring(canvas: Canvas, x: float, y: float, label: str, *, radius: float) -> None:
    """The sign of a photo to take: a dashed ring with its number."""
    canvas.disc(x, y, radius, CARD)
    canvas.dashed_ring(x, y, radius, ACCENT)
    canvas.text(x, y, label, round(radius * 0.9) if len(label) == 1 else round(radius * 0.62), ACCENT, anchor="mm", heavy=True)


def merged_rings(next_photos: Sequence[NextPhoto]) -> list[tuple[tuple[float, float], str]]:
    """Place and label of each ring; photos from one place share one, such as "1+3"."""
    by_place: dict[tuple[float, float], list[int]] = {}
    for number, photo in enumerate(next_photos, 1):
        by_place.setdefault((photo.yaw_deg, photo.pitch_deg), []).append(number)
    return [(place, "+".join(map(str, numbers))) for place, numbers in by_place.items()]


def thumbnail_side(count: int) -> float:
    """Side of thumbnails in pixels, smaller where there are many."""
    return 74.0 if count <= 24 else 58.0 if count <= 45 else 40.0


def spread_out(
    homes: Sequence[tuple[float, float]], radius: float, frame: Frame, taken: Sequence[tuple[float, float, float]]
) -> list[tuple[float, float]]:
    """A place for each disc of one radius as near to its home as it can be without covering another or a taken disc (x, y, radius).

    Outermost homes first, since they have least room. Inside the frame; where nothing is free, a disc stays at home.
    """
    spots: dict[int, tuple[float, float]] = {}
    middle = (frame.x + frame.width / 2, frame.y + frame.height / 2)
    for k in sorted(range(len(homes)), key=lambda k: -abs(homes[k][0] - middle[0])):
        others = [*taken, *((*spot, radius) for spot in spots.values())]
        spots[k] = _nearest_free(homes[k], radius, frame, others)
    return [spots[k] for k in range(len(homes))]


def _nearest_free(
    home: tuple[float, float], radius: float, frame: Frame, others: Sequence[tuple[float, float, float]]
) -> tuple[float, float]:
    gap = radius + 6
    low, high = (frame.x + gap, frame.y + gap), (frame.x + frame.width - gap, frame.y + frame.height - gap)
    start = (min(max(home[0], low[0]), high[0]), min(max(home[1], low[1]), high[1]))
    for reach in np.arange(0.0, math.hypot(frame.width, frame.height), radius / 3):
        # Up and down first: what moves along the yaw axis is read as another yaw.
        for angle in sorted(np.radians(np.arange(0, 360, 15)), key=lambda a: (abs(math.cos(a)), math.sin(a))) if reach else [0.0]:
            x, y = start[0] + reach * math.cos(angle), start[1] + reach * math.sin(angle)
            inside = low[0] <= x <= high[0] and low[1] <= y <= high[1]
            if inside and all(math.hypot(x - a, y - b) >= r + radius + 7 for a, b, r in others):
                return x, y
    return start


def _axes(canvas: Canvas, frame: Frame) -> None:
    bottom = frame.y + frame.height
    for yaw in range(-90, 91, 30):
        x, _ = frame.place(yaw, 0)
        canvas.line(x, frame.y + 1, x, bottom - 1, RULE)
        canvas.text(x, bottom + 30, f"{yaw}°" if yaw <= 0 else f"+{yaw}°", 20, SOFT, anchor="ms")
    for pitch in (-30, 0, 30):
        _, y = frame.place(0, pitch)
        canvas.line(frame.x + 1, y, frame.x + frame.width - 1, y, RULE)
        canvas.text(frame.x - 12, y, f"{pitch}°" if pitch <= 0 else f"+{pitch}°", 20, SOFT, anchor="rm")
    canvas.text(frame.x, bottom + 58, "camera at the person's left", 20, SOFT)
    canvas.text(frame.x + frame.width, bottom + 58, "camera at the person's right", 20, SOFT, anchor="rs")
    canvas.text(frame.x + frame.width / 2, bottom + 58, "straight in front", 20, SOFT, anchor="ms")
    canvas.text(frame.x + 14, frame.y + 26, "camera below", 18, SOFT)
    canvas.text(frame.x + 14, bottom - 14, "camera above", 18, SOFT)


def _gaps(canvas: Canvas, frame: Frame, gaps_deg: Sequence[tuple[float, float]]) -> None:
    """Brackets along the lower border over ranges of yaw that no neighbours bridge."""
    y = frame.y + frame.height - 40
    for low, high in gaps_deg:
        (x0, _), (x1, _) = frame.place(low, 0), frame.place(high, 0)
        words = f"gap of {high - low:.0f}°"
        for x in (x0 + 4, x1 - 4):
            canvas.line(x, y - 8, x, y + 8, WARN, 2.5)
        half = text_width(words, 20) / 2 + 8
        middle = (x0 + x1) / 2
        if x1 - x0 > 2 * half + 20:
            canvas.line(x0 + 4, y, middle - half, y, WARN, 2.5)
            canvas.line(middle + half, y, x1 - 4, y, WARN, 2.5)
        canvas.text(middle, y, words, 20, INK, anchor="mm")
