"""How much of the skin's fine detail a rendering has, and whether it is the photo's."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

HIGH_PASS_SIGMA_PX = 3.0
"""A Gaussian of this sigma is down to one half at 1/8 of Nyquist (1/16 of a cycle a pixel): what it leaves over is the band above."""
EDGE_PX = 9
FLAT_SHARE = 0.1
"""Of the patches of skin, the share whose detail is smallest: what is left there is the photo's noise."""
PATCH_PX = 12


@dataclasses.dataclass(frozen=True)
class SkinDetail:
    """Detail above 1/8 of Nyquist on the skin inside a face mask, in grey levels of sRGB."""

    energy_ratio: float
    """The rendering's energy over the photo's after taking off the photo's noise floor."""
    correlation: float
    """Of the photo's and the rendering's detail, pixel by pixel."""
    noise_sd: float
    """The photo's noise floor."""


def skin_detail(rendered: np.ndarray, photo: np.ndarray, face: np.ndarray, skin: np.ndarray) -> SkinDetail:
    """Compare two pictures (H, W, 3) uint8 on a mask of skin (H, W) within the face's; nan where there is too little of it.

    What is skin is said by the geometry alone: a mask chosen by how well the pictures agree would flatter both figures.
    """
    skin = cv2.erode(np.pad(skin & face, 1).astype(np.uint8), np.ones((EDGE_PX, EDGE_PX)))[1:-1, 1:-1] > 0
    if skin.sum() < 20 * PATCH_PX**2:
        return SkinDetail(float("nan"), float("nan"), float("nan"))
    a, b = _detail(rendered, face), _detail(photo, face)
    noise = noise_floor(photo, skin)
    energy = max(float(np.square(b[skin]).mean()) - noise**2, 1e-6)
    return SkinDetail(float(np.square(a[skin]).mean()) / energy, float(np.corrcoef(a[skin], b[skin])[0, 1]), noise)


def noise_floor(photo: np.ndarray, skin: np.ndarray) -> float:
    """Standard deviation of the finest structure (one pixel against its neighbours) in the flattest patches of skin.

    Immerkaer, "Fast Noise Variance Estimation", CVIU 1996: a mask that no slope and no slow bend passes; detail a few pixels wide does
    pass in part, hence the flattest patches alone.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    response = np.where(skin, np.square(cv2.filter2D(grey, -1, mask)), 0).astype(np.float32)
    box = (PATCH_PX, PATCH_PX)
    mean, share = cv2.boxFilter(response, -1, box), cv2.boxFilter(skin.astype(np.float32), -1, box)
    whole = share > 0.999
    return float(np.sqrt(np.quantile(mean[whole], FLAT_SHARE))) if whole.any() else float("nan")


def _detail(picture: np.ndarray, face: np.ndarray) -> np.ndarray:
    """(H, W) float32: what a blur within the mask takes away."""
    grey, inside = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), face.astype(np.float32)
    blur = lambda values: cv2.GaussianBlur(values, (0, 0), HIGH_PASS_SIGMA_PX)  # noqa: E731
    return grey - blur(grey * inside) / np.maximum(blur(inside), 1e-3)
