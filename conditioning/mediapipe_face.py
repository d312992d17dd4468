"""Face landmark control pictures as CrucibleAI/ControlNetMediaPipeFace was trained on, drawn from geometry.

The drawing follows `laion_face_common.py` of that model and `mediapipe_face_common.py` of controlnet_aux to the pixel: 2 px lines without
anti-aliasing, no occlusion culling (in profile the far side is drawn too, as in training), pupils last as 4x4 squares.

Landmarks in pixels have their centres at +0.5, so the outer corner of the top-left pixel is (0, 0) and the number is the same
as MediaPipe's normalised coordinate times the width: the integer floor that MediaPipe takes is the pixel that the point falls
into. No shift is needed.
"""

from __future__ import annotations

import cv2
import numpy as np

from assets.errors import ShapeError
from assets.mediapipe_edges import mediapipe_face_edges

_LINE_THICKNESS_PX = 2
_PUPIL_HALF_WIDTH_PX = 2


def encode_mediapipe_face(landmarks_px: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB on black.

    Args:
        landmarks_px: (478, 2) pixels of the mediapipe478 scheme, centres at +0.5. Points outside the picture, or not finite, are left out
            with their edges, as MediaPipe does.
        width: pixels of the picture.
        height: pixels of the picture.
    """
    if landmarks_px.shape != (478, 2):
        raise ShapeError(expected="landmarks_px (478, 2)", got=str(landmarks_px.shape), do="use the mediapipe478 scheme with irises")
    points = np.asarray(landmarks_px, np.float64)
    picture = np.zeros((height, width, 3), np.uint8)
    _draw_edges(picture, points)
    _draw_pupils(picture, points)
    return picture


def _draw_edges(picture: np.ndarray, points: np.ndarray) -> None:
    """Lines with both ends in the picture; the far border itself counts as inside and is clamped to the last pixel."""
    height, width = picture.shape[:2]
    inside = ((points >= 0) & (points <= (width, height))).all(1)
    pixels = np.minimum(np.floor(np.where(inside[:, None], points, 0)), (width - 1, height - 1)).astype(int)
    for part in mediapipe_face_edges():
        for start, end in part.pairs:
            if inside[start] and inside[end]:
                cv2.line(picture, pixels[start].tolist(), pixels[end].tolist(), part.rgb, _LINE_THICKNESS_PX, cv2.LINE_8)


def _draw_pupils(picture: np.ndarray, points: np.ndarray) -> None:
    """Squares of rows y-2..y+1 and columns x-2..x+1; one that would cross the top or left border is not drawn at all, as in training."""
    height, width = picture.shape[:2]
    half = _PUPIL_HALF_WIDTH_PX
    pupils = [(index, part.rgb) for part in mediapipe_face_edges() for index in part.points]
    for index, rgb in pupils:
        x, y = points[index]
        if not (half <= x < width and half <= y < height):
            continue
        column, row = int(x), int(y)
        picture[row - half : row + half, column - half : column + half] = rgb
