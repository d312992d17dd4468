"""Thin anti-aliased lines over a picture, as how much of each pixel they cover."""

from __future__ import annotations

import cv2
import numpy as np


def line_coverage(segments_px: np.ndarray, width: int, height: int, line_px: float, *, supersample: int) -> np.ndarray:
    """(H, W) float32 in [0, 1]: how much of each pixel lines cover; drawn `supersample` times larger and averaged down.

    Args:
        segments_px: (N, 2, 2) pixels with centres at +0.5; those that lie far outside of the picture are left out.
        line_px: their width.
    """
    canvas = np.zeros((height * supersample, width * supersample), np.uint8)
    # OpenCV counts pixels from their centres; four fractional bits keep lines where they belong.
    points = np.rint((segments_px * supersample - 0.5) * 16)
    near = (np.abs(points) < 16 * 4 * supersample * max(width, height)).all((1, 2))
    thickness = max(1, round(line_px * supersample))
    cv2.polylines(
        canvas, list(points[near].astype(np.int32)), isClosed=False, color=(255,), thickness=thickness, lineType=cv2.LINE_AA, shift=4
    )
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
