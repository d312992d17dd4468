"""Lens distortion: four models from undistorted to distorted slopes, and pictures freed of it.

Slopes are x/z and y/z in OpenCV camera axes. All models are forward (undistorted to distorted), which is what resampling needs:

| model | coefficients | source |
|---|---|---|
| opencv | k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4]]] | docs.opencv.org, calib3d module: rational, tangential, thin prism |
| fisheye | k1, k2, k3, k4 | docs.opencv.org, calib3d fisheye module: polynomial in the angle (Kannala and Brandt, 2006) |
| brown | k1, k2, p1, p2, k3, k4, skew | Brown (1971) with a fourth radial term in r^8, as Metashape has it; p in OpenCV's order |
| division | k | Fitzgibbon (2001): undistorted = distorted / (1 + k distorted^2) |

`skew` of `brown` is the pixel skew over the horizontal focal length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from assets.errors import RangeError
from render.camera import Camera

LensModel = Literal["opencv", "fisheye", "brown", "division"]

COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {"opencv": (0, 4, 5, 8, 12), "fisheye": (4,), "brown": (7,), "division": (1,)}
"""How many coefficients each model takes."""

# Rows resampled at a time, so that the maps of a large picture stay small.
_BAND_ROWS = 256
_FOLD_SAMPLES = 2000


def check_lens(lens: str, coefficients: Sequence[float], *, where: str) -> None:
    """Raises RangeError for an unknown model, a wrong number of coefficients, or one that is not finite."""
    if not isinstance(lens, str) or lens not in COEFFICIENT_COUNTS:
        raise RangeError(expected=f"a lens model of {', '.join(COEFFICIENT_COUNTS)}", got=f"{where}: {lens!r}", do="name one of these")
    if len(coefficients) not in COEFFICIENT_COUNTS[lens] or not np.isfinite(coefficients).all():
        counts = " or ".join(str(count) for count in COEFFICIENT_COUNTS[lens])
        raise RangeError(
            expected=f"distortion of {counts} finite numbers for the lens model {lens}",
            got=f"{where}: {list(coefficients)}",
            do="opencv takes k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4]]]; fisheye k1, k2, k3, k4",
        )


def is_straight(lens: LensModel, coefficients: Sequence[float]) -> bool:
    """Whether the lens distorts nothing; a fisheye always does."""
    return lens != "fisheye" and not any(coefficients)


def distort(lens: LensModel, coefficients: Sequence[float], slopes: np.ndarray) -> np.ndarray:
    """(..., 2) distorted slopes of undistorted ones (..., 2) float64; nan where the division model has no image."""
    return np.stack(_distort(lens, coefficients, slopes[..., 0], slopes[..., 1]), -1)


def _distort(lens: LensModel, coefficients: Sequence[float], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`distort` on arrays that broadcast against each other, in their own precision."""
    c = _padded(coefficients)
    r2 = x * x + y * y
    radial = _radial_factor(lens, c, r2)
    bent_x, bent_y = x * radial, y * radial
    if lens in ("fisheye", "division"):
        return bent_x, bent_y
    p1, p2 = c[2:4]
    if p1 or p2:
        xy = x * y
        bent_x, bent_y = bent_x + 2 * p1 * xy + p2 * (r2 + 2 * x * x), bent_y + p1 * (r2 + 2 * y * y) + 2 * p2 * xy
    if lens == "opencv" and any(c[8:]):
        bent_x, bent_y = bent_x + r2 * (c[8] + c[9] * r2), bent_y + r2 * (c[10] + c[11] * r2)
    if lens == "brown" and c[6]:
        bent_x = bent_x + c[6] * bent_y
    return bent_x, bent_y


def _padded(coefficients: Sequence[float]) -> list[float]:
    """Twelve Python floats, which do not widen arrays of single precision."""
    return [*map(float, coefficients), *[0.0] * (12 - len(coefficients))]


def distorted_px(camera: Camera, lens: LensModel, coefficients: Sequence[float], points: np.ndarray) -> np.ndarray:
    """(..., 2) pixels on disk (centres at +0.5) of world points (..., 3): projection through the lens.

    `camera` is that of the undistorted picture. nan for points behind the camera.
    """
    points_cam = camera.to_camera(np.asarray(points, np.float64))
    depth = np.where(points_cam[..., 2:] > 0, points_cam[..., 2:], np.nan)
    bent = distort(lens, coefficients, points_cam[..., :2] / depth)
    return bent @ camera.K[:2, :2].T + camera.K[:2, 2]


def undistort_picture(image: np.ndarray, camera: Camera, lens: LensModel, coefficients: Sequence[float]) -> np.ndarray:
    """The picture (H, W, 3) uint8 that a lens without distortion would have taken, with the same camera and size.

    Black where the lens showed nothing, also beyond the radius at which the model folds back. Cubic interpolation.
    """
    out = np.zeros_like(image)
    limit = _fold_radius(lens, coefficients, camera)
    (fx, skew, cx), (_, fy, cy) = camera.K[0].tolist(), camera.K[1].tolist()
    columns = np.arange(camera.width)[None] + 0.5
    for top in range(0, camera.height, _BAND_ROWS):
        y = ((np.arange(top, min(top + _BAND_ROWS, camera.height))[:, None] + 0.5) - cy) / fy
        x = (columns - cx - skew * y) / fx
        # Single precision places a sample to a thousandth of a pixel, in a fraction of the time.
        x, y = x.astype(np.float32), y.astype(np.float32)
        bent_x, bent_y = _distort(lens, coefficients, x, y)
        # OpenCV counts from pixel centres.
        map_x, map_y = fx * bent_x + skew * bent_y + (cx - 0.5), fy * bent_y + (cy - 0.5)
        if np.isfinite(limit) or lens == "division":
            outside = ~np.isfinite(map_x) | (x * x + y * y > limit * limit)
            map_x[outside], map_y[outside] = -1e4, -1e4
        out[top : top + len(y)] = cv2.remap(image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return out


def _radial_factor(lens: LensModel, c: list[float], r2: np.ndarray) -> np.ndarray:
    """Distorted over undistorted radius, without the tangential part; c is padded to 12."""
    if lens == "fisheye":
        r = np.maximum(np.sqrt(r2), 1e-9)
        angle = np.arctan(r)
        a2 = angle * angle
        return angle / r * (1 + a2 * (c[0] + a2 * (c[1] + a2 * (c[2] + a2 * c[3]))))
    if lens == "division":
        with np.errstate(invalid="ignore"):
            return 2 / (1 + np.sqrt(1 - 4 * c[0] * r2))
    if lens == "brown":
        return 1 + r2 * (c[0] + r2 * (c[1] + r2 * (c[4] + r2 * c[5])))
    radial = 1 + r2 * (c[0] + r2 * (c[1] + r2 * c[4]))
    return radial / (1 + r2 * (c[5] + r2 * (c[6] + r2 * c[7]))) if any(c[5:8]) else radial


def _fold_radius(lens: LensModel, coefficients: Sequence[float], camera: Camera) -> float:
    """The undistorted radius up to which a larger one is also larger on the sensor; inf where that holds all over the picture."""
    corners = camera.slopes(np.array([[0, 0], [camera.width, 0], [0, camera.height], [camera.width, camera.height]], np.float64))
    radius = np.linspace(0, float(np.hypot(*corners).max()), _FOLD_SAMPLES)
    c = _padded(coefficients)
    falling = np.flatnonzero(~(np.diff(radius * _radial_factor(lens, c, radius**2)) > 0))
    return float(radius[falling[0]]) if len(falling) else float("inf")
