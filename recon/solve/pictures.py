"""Working pictures: each view cropped to the head and brought to a size at which a texel is about a pixel."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

# The landmarks' bounding box is brought down to at most this diagonal; smaller faces stay as they are (nothing is gained by enlarging).
FACE_DIAGONAL_PX = 620.0
# How much of the picture around the landmarks is kept, in bounding boxes on each side (ears, jaw and forehead lie outside them).
MARGIN = 0.9
# Longest side where no face was found and the whole picture has to be searched.
SEARCH_SIDE_PX = 1200


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
    grey, colour = crop.astype(np.float32).mean(2), np.ascontiguousarray(crop)
    if scale < 1.0:
        grey, colour = _shrunk(grey, scale), _shrunk(colour, scale)
    return WorkingPicture(np.ascontiguousarray(grey), low.astype(np.float64), scale, colour)


def _shrunk(picture: np.ndarray, scale: float) -> np.ndarray:
    """The picture (H, W, ...) at a scale below 1, blurred first so that it does not alias."""
    height, width = picture.shape[:2]
    matrix = np.array([[scale, 0.0, 0.5 * scale - 0.5], [0.0, scale, 0.5 * scale - 0.5]])
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.5 / scale * 0.9) if scale < 0.8 else picture
    # cv2 counts pixel centres at 0, so the half pixel is carried through the matrix.
    return cv2.warpAffine(blurred, matrix, (max(int(width * scale), 1), max(int(height * scale), 1)), flags=cv2.INTER_LINEAR)
