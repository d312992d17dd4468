"""Working pictures: each view cropped to the head and brought to a size at which a texel is about a pixel."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import cv2
import numpy as np

# The landmarks' bounding box is brought down to at most this diagonal; smaller faces stay as they are (nothing is gained by enlarging).
FACE_DIAGONAL_PX = 620.0
# How much of the picture around the landmarks is kept, in bounding boxes on each side (ears, jaw and forehead lie outside them).
MARGIN = 0.9
# Longest side where no face was found and the whole picture has to be searched.
SEARCH_SIDE_PX = 1200
# Crops with more pixels are shrunk in bands of about so many.
_BAND_PX = 16_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class WorkingPicture:
    """A picture cropped to the head and where it lies in the view: working px = (view px - origin) * scale."""

    grey: np.ndarray
    """(H, W) float32, 0 to 255."""
    origin_px: np.ndarray
    """(2,) float64, view pixels."""
    scale: float
    colour: np.ndarray | None = None
    """(H, W, 3) uint8 sRGB of the same pixels; None where only grey is known."""

    def to_working(self, px: np.ndarray) -> np.ndarray:
        """View pixels (..., 2) to working pixels."""
        return (px - self.origin_px) * self.scale

    def blurred(self, sigma_px: float) -> np.ndarray:
        """(H, W) float32 after a Gaussian of that sigma."""
        return cv2.GaussianBlur(self.grey, (0, 0), sigma_px)


def make_working_picture(image: np.ndarray, landmarks_px: np.ndarray | None) -> WorkingPicture:
    """Crop and shrink an RGB picture (H, W, 3) uint8 around landmarks (L, 2); the whole picture where there are none."""
    height, width = image.shape[:2]
    if landmarks_px is None:
        low, high = np.zeros(2, int), np.array([width, height])
        scale = min(1.0, SEARCH_SIDE_PX / max(width, height))
    else:
        box_low, box_high = landmarks_px.min(0), landmarks_px.max(0)
        diagonal = np.linalg.norm(box_high - box_low)
        low = np.clip(box_low - MARGIN * diagonal, 0, [width - 2, height - 2]).astype(int)
        high = np.clip(np.ceil(box_high + MARGIN * diagonal), low + 2, [width, height]).astype(int)
        scale = min(1.0, FACE_DIAGONAL_PX / float(diagonal))
    crop = image[low[1] : high[1], low[0] : high[0]]
    if scale < 1.0:
        grey, colour = _shrunk(crop, scale, _grey), _shrunk(crop, scale, np.ascontiguousarray)
    else:
        grey, colour = _grey(crop), np.ascontiguousarray(crop)
    return WorkingPicture(np.ascontiguousarray(grey), low.astype(np.float64), scale, colour)


def _grey(crop: np.ndarray) -> np.ndarray:
    """(H, W) float32 mean of the channels of (H, W, 3) uint8."""
    return crop.astype(np.float32).mean(2)


def _shrunk(crop: np.ndarray, scale: float, prepared: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The picture (H, W, 3) uint8 as `prepared` makes it, at a scale below 1, blurred first so that it does not alias.

    Of a crop above _BAND_PX a band of rows is worked on at a time: as floats a whole one of 80 Mpx would take 1.6 GB.
    """
    (height, width), sigma_px = crop.shape[:2], 0.5 / scale * 0.9 if scale < 0.8 else 0.0
    rows, columns = max(int(height * scale), 1), max(int(width * scale), 1)
    band = rows if height * width <= _BAND_PX else max(int(_BAND_PX / width * scale), 1)
    reach = math.ceil(5 * sigma_px) + 2
    bands = []
    for first in range(0, rows, band):
        last = min(first + band, rows)
        top, bottom = max(int(first / scale) - reach, 0), height if last == rows else min(math.ceil(last / scale) + reach, height)
        # cv2 counts pixel centres at 0, so the half pixel is carried through the matrix.
        matrix = np.array([[scale, 0.0, 0.5 * scale - 0.5], [0.0, scale, 0.5 * scale - 0.5 + scale * top - first]])
        part = prepared(crop[top:bottom])
        part = cv2.GaussianBlur(part, (0, 0), sigma_px) if sigma_px else part
        bands.append(cv2.warpAffine(part, matrix, (columns, last - first), flags=cv2.INTER_LINEAR))
    return np.concatenate(bands) if len(bands) > 1 else bands[0]
