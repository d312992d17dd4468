"""Many pictures into one: three frequency bands, each with its own sharpness of choice.

After Burt & Adelson, "A Multiresolution Spline with Application to Image Mosaics", 1983. Low frequencies are averaged over all
pictures, so that no seam shows; high ones come mostly from the best pictures, so that little is seen twice.
"""

from __future__ import annotations

import cv2
import numpy as np

from recon.texture_chart import Chart

BAND_SIGMA = (0.0015, 0.012)
"""Where the bands part: Gaussian sigmas as shares of the texture's size (3 and 24 texels of 2048)."""
BAND_POWERS = (3.0, 3.0, 1.0)
"""Weights are raised to these powers in the high, middle and low band.

Between the best picture alone (8) and the mean of all that see a place squarely (1.5): with 3 the skin of left-out pictures is met best,
since the noise of single pictures averages out before what the fit misplaces begins to blur."""
GAMMA = 2.2
"""Bands are taken of linear ** (1 / GAMMA), where equal steps look equal."""


class BandBlender:
    """Sums pictures one at a time: memory does not grow with their number."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        shape = (chart.height, chart.width)
        self._sums = [np.zeros((*shape, 3), np.float32) for _ in BAND_POWERS]
        self._weights = [np.zeros(shape, np.float32) for _ in BAND_POWERS]

    def add(self, colour_linear: np.ndarray, weight: np.ndarray) -> None:
        """Add one picture: linear colours (N, 3) and weights (N,) in [0, 1] at the chart's texels."""
        window = self._seen_window(weight)
        picture, seen = self._chart.image(colour_linear ** (1 / GAMMA))[window], self._chart.image(weight)[window]
        fine, coarse = (_blur_seen(picture, seen, sigma * self._chart.size) for sigma in BAND_SIGMA)
        for index, (band, power) in enumerate(zip((picture - fine, fine - coarse, coarse), BAND_POWERS, strict=True)):
            # Weights are lifted off zero so that a lone weak view keeps full influence within float32.
            share = np.where(seen > 0, np.maximum(seen, 1e-3) ** power, 0)
            self._sums[index][window] += band * share[..., None]
            self._weights[index][window] += share

    def _seen_window(self, weight: np.ndarray) -> tuple[slice, slice]:
        """The smallest window with everything that one picture saw: half of the work for a profile."""
        seen = np.flatnonzero(weight > 0)
        if not len(seen):
            return slice(0, 1), slice(0, 1)
        rows, columns = self._chart.rows[seen], self._chart.columns[seen]
        return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)

    def finish(self) -> np.ndarray:
        """(height, width, 3) float32 linear blend; 0 where no picture saw anything."""
        bands = [s / np.maximum(w, 1e-30)[..., None] for s, w in zip(self._sums, self._weights, strict=True)]
        return np.maximum(sum(bands), 0) ** GAMMA


def _blur_seen(image: np.ndarray, seen: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean over the seen texels only (normalised convolution); the image itself where none is near."""
    mask = (seen > 0).astype(np.float32)
    shrink = max(1, int(sigma // 3))
    size = (max(1, image.shape[1] // shrink), max(1, image.shape[0] // shrink))
    summed = cv2.resize(np.dstack([image * mask[..., None], mask]), size, interpolation=cv2.INTER_AREA)
    summed = cv2.GaussianBlur(summed, (0, 0), sigma / shrink, borderType=cv2.BORDER_CONSTANT)
    summed = cv2.resize(summed, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(summed[..., 3:] > 1e-4, summed[..., :3] / np.maximum(summed[..., 3:], 1e-4), image) * mask[..., None]
