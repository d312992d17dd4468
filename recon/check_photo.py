"""What one photo's pixels say before any solve: exposure of the face, and whether it is nearly the same picture as another."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import cv2
import numpy as np

CLIPPED_LEVEL, BLACK_LEVEL = 253, 4
"""sRGB levels from which a channel counts as clipped, and up to which a pixel counts as black; JPEG moves both ends by a few levels."""

MAX_CLIPPED, MAX_BLACK = 0.05, 0.10
"""Shares of the face that may be clipped or black. What is clipped has no pattern to match; small shine on nose and forehead is usual."""

DARK_MEAN, BRIGHT_MEAN = 40.0, 215.0
"""Mean sRGB level of the face outside which it is under- or over-exposed; skin of all tones in fair light lies at 50 to 200."""

MAX_MEASURED = 4_000_000
"""Pixels of one face whose levels are counted: shares of a hundredth are known to far less than that from so many."""

HASH_SIDE = 16
"""Of the difference hash: 16 x 16 bits of a face."""

NEAR_BITS = 22
"""Faces whose hashes differ in at most so many of the 256 bits are nearly one picture. One photo saved again at half its size
differs from itself in 6 to 22 bits; the likest different pictures of one person (one camera, two expressions) differ in 27 to 31."""

NEAR_DEG = 5.0
"""Nearly equal pictures show the head from directions within this."""


@dataclasses.dataclass(frozen=True)
class Exposure:
    """Light on the face, or on the whole picture where no face was found."""

    mean: float
    """Mean sRGB level, 0 to 255."""
    clipped: float
    """Share of pixels with two clipped channels or three, in [0, 1]: red alone clips on any face in warm light, and leaves the pattern."""
    black: float
    """Share of pixels that are black, in [0, 1]."""

    @property
    def warning(self) -> str:
        """Plain words where it needs attention, else empty."""
        if self.clipped > MAX_CLIPPED:
            return f"{100 * self.clipped:.0f} % of the face is clipped to white: less light, or a shorter exposure"
        if self.black > MAX_BLACK:
            return f"{100 * self.black:.0f} % of the face is black: light the shadow side"
        if self.mean < DARK_MEAN:
            return f"the face is dark (mean level {self.mean:.0f} of 255): more light, or a longer exposure"
        if self.mean > BRIGHT_MEAN:
            return f"the face is very bright (mean level {self.mean:.0f} of 255): a shorter exposure"
        return ""


def exposure_of(image: np.ndarray, landmarks_px: np.ndarray | None) -> Exposure:
    """Exposure inside the hull of the landmarks (L, 2) of a picture (H, W, 3) uint8, or of all of it for None.

    Of an area of more than MAX_MEASURED pixels every second row and column is measured, or every third, and so on.
    """
    low, high = np.zeros(2, int), np.array(image.shape[1::-1])
    if landmarks_px is not None:
        low = np.clip(np.floor(landmarks_px.min(0)).astype(int), 0, high)
        high = np.clip(np.ceil(landmarks_px.max(0)).astype(int) + 1, low, high)
    step = max(1, math.ceil(math.sqrt(float(np.prod(high - low)) / MAX_MEASURED)))
    part = image[low[1] : high[1] : step, low[0] : high[0] : step]
    if part.size and landmarks_px is not None:
        # The pixel that is kept of each cell is its first, whose centre lies at half a pixel of the picture.
        part = part[face_mask((part.shape[0], part.shape[1]), (landmarks_px - low - 0.5) / step + 0.5)]
    if part.size == 0:
        return Exposure(math.nan, math.nan, math.nan)
    pixels = part.reshape(-1, 3)
    red, green, blue = (pixels[:, channel] >= CLIPPED_LEVEL for channel in range(3))
    clipped = (red & green) | (red & blue) | (green & blue)
    return Exposure(float(pixels.mean()), float(clipped.mean()), float((pixels.max(1) <= BLACK_LEVEL).mean()))


def face_mask(shape: tuple[int, int], landmarks_px: np.ndarray) -> np.ndarray:
    """(H, W) bool inside the convex hull of landmarks (L, 2) px with centres at +0.5."""
    hull = cv2.convexHull(np.asarray(landmarks_px, np.float32))
    canvas = np.zeros(shape, np.uint8)
    # OpenCV counts pixels from their centres.
    cv2.fillConvexPoly(canvas, np.rint(hull - 0.5).astype(np.int32), (1,))
    return canvas > 0


def difference_hash(grey: np.ndarray) -> np.ndarray:
    """(256,) bool: whether each cell of a small grey picture is brighter than its right neighbour.

    A picture's light, contrast and size leave it as it is. Reference: the dHash of Krawetz, 2013.
    """
    small = cv2.resize(grey.astype(np.float32), (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    return (small[:, :-1] > small[:, 1:]).ravel()


def near_duplicates(hashes: Mapping[str, np.ndarray], poses_deg: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """Name of a picture to the name of the earlier one that it nearly equals, in the order of `hashes`.

    `poses_deg` is (yaw, pitch) by name; an unknown one (nan) does not tell two pictures apart.
    """
    found: dict[str, str] = {}
    for (first, a), (second, b) in itertools.combinations(hashes.items(), 2):
        apart_deg = np.abs(np.subtract(poses_deg[first], poses_deg[second])).max()
        if first not in found and second not in found and not apart_deg > NEAR_DEG and int((a != b).sum()) <= NEAR_BITS:
            found[second] = first
    return found
