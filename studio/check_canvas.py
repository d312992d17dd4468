"""A canvas for drawn pages: text in the embedded font, discs, dashed rings, thumbnails; everything anti-aliased by drawing large."""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]

PAGE: RGB = (246, 246, 244)
CARD: RGB = (255, 255, 255)
INK: RGB = (28, 29, 31)
SOFT: RGB = (101, 104, 109)
RULE: RGB = (223, 224, 221)
ACCENT: RGB = (11, 110, 134)
GOOD: RGB = (43, 125, 79)
WARN: RGB = (181, 98, 8)
"""The report's colours."""

LARGE = 2
"""Drawn this many times larger and averaged down."""


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # The font inside Pillow is the same on every machine; it has Latin letters only.
    return ImageFont.load_default(size * LARGE)


class Canvas:
    """Coordinates are pixels of the finished picture; x to the right, y down."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * LARGE, height * LARGE), PAGE)
        self._draw = ImageDraw.Draw(self._image)

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 sRGB."""
        return np.asarray(self._image.resize((self.width, self.height), Image.Resampling.BOX))

    def card(self, x: float, y: float, width: float, height: float, *, fill: RGB = CARD, line: RGB | None = RULE) -> None:
        """A rounded rectangle."""
        box = tuple(LARGE * value for value in (x, y, x + width, y + height))
        self._draw.rounded_rectangle(box, radius=14 * LARGE, fill=fill, outline=line, width=LARGE)

    def text(self, x: float, y: float, words: str, size: int, colour: RGB = INK, *, anchor: str = "ls", heavy: bool = False) -> None:
        """One line; `anchor` as in Pillow (ls: left end of the base line)."""
        place = (x * LARGE, y * LARGE)
        self._draw.text(place, plain(words), font=_font(size), fill=colour, anchor=anchor, stroke_width=0.5 * LARGE if heavy else 0)

    def paragraph(self, x: float, y: float, words: str, size: int, width: float, colour: RGB = INK, *, heavy: bool = False) -> float:
        """Lines broken at spaces, the first one's base line at y; returns the base line that a next one would have."""
        for line in wrapped(words, size, width):
            self.text(x, y, line, size, colour, heavy=heavy)
            y += 1.32 * size
        return y

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: RGB = RULE, width: float = 1.0) -> None:
        """A straight line."""
        self._draw.line([LARGE * value for value in (x0, y0, x1, y1)], fill=colour, width=max(1, round(width * LARGE)))

    def disc(self, x: float, y: float, radius: float, fill: RGB | None, line: RGB | None = None, width: float = 1.0) -> None:
        """A disc, with a rim where a line colour is given."""
        box = tuple(LARGE * value for value in (x - radius, y - radius, x + radius, y + radius))
        self._draw.ellipse(box, fill=fill, outline=line, width=max(1, round(width * LARGE)))

    def dashed_ring(self, x: float, y: float, radius: float, colour: RGB, width: float = 3.0) -> None:
        """A ring of dashes, about 9 px long."""
        box = tuple(LARGE * value for value in (x - radius, y - radius, x + radius, y + radius))
        count = max(8, round(2 * math.pi * radius / 16))
        for k in range(count):
            start = 360.0 * k / count
            self._draw.arc(box, start, start + 360.0 / count * 0.58, fill=colour, width=round(width * LARGE))

    def thumbnail(self, rgb: np.ndarray, x: float, y: float, side: float, *, is_round: bool) -> None:
        """A square picture (S, S, 3) uint8 centred at (x, y), cut to a disc or a rounded square."""
        size = round(side * LARGE)
        small = Image.fromarray(rgb).resize((size, size), Image.Resampling.LANCZOS)
        mask = Image.new("L", (size, size), 0)
        draw = ImageDraw.Draw(mask)
        if is_round:
            draw.ellipse((0, 0, size - 1, size - 1), fill=255)
        else:
            draw.rounded_rectangle((0, 0, size - 1, size - 1), radius=10 * LARGE, fill=255)
        self._image.paste(small, (round((x - side / 2) * LARGE), round((y - side / 2) * LARGE)), mask)

    def paste(self, rgb: np.ndarray, x: float, y: float) -> None:
        """A picture (H, W, 3) uint8 with its upper left corner at (x, y), pixel for pixel."""
        large = Image.fromarray(rgb).resize((rgb.shape[1] * LARGE, rgb.shape[0] * LARGE), Image.Resampling.NEAREST)
        self._image.paste(large, (round(x) * LARGE, round(y) * LARGE))

    def wash(self, strength: np.ndarray, x: float, y: float, width: float, height: float, colour: RGB) -> None:
        """Lay a colour over a rectangle, as strongly as (H, W) in [0, 1] says; smooth between its cells."""
        size = (round(width * LARGE), round(height * LARGE))
        mask = Image.fromarray(np.rint(255 * np.clip(strength, 0, 1)).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        self._image.paste(Image.new("RGB", size, colour), (round(x * LARGE), round(y * LARGE)), mask)


def text_width(words: str, size: int) -> float:
    """Length of a line in pixels."""
    return _font(size).getlength(plain(words)) / LARGE


def wrapped(words: str, size: int, width: float) -> list[str]:
    """Lines no longer than `width` pixels, broken at spaces; a word that is longer alone is cut with dots."""
    lines: list[str] = []
    for word in plain(words).split():
        word = shortened(word, size, width)
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


def shortened(words: str, size: int, width: float) -> str:
    """The words, cut in their middle with dots where they are longer than `width` pixels: file names differ at their ends."""
    if text_width(words, size) <= width:
        return words
    for kept in range(len(words) - 1, 1, -1):
        short = f"{words[: kept // 2]}...{words[len(words) - (kept - kept // 2) :]}"
        if text_width(short, size) <= width:
            return short
    return words[:1]


def plain(words: str) -> str:
    """The text with letters that the font has; others become question marks."""
    return words.replace("–", "-").replace("−", "-").encode("latin-1", "replace").decode("latin-1")
