"""From light to the bytes of a picture: lens, tone curve and sensor."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Exposure:
    """How the camera turns light into numbers."""

    gain: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.006
    """Standard deviation of the sensor noise at mid grey, of full scale."""
    seed: int = 0


def develop(linear: np.ndarray, exposure: Exposure) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a linear picture: lens blur, vignette, tone curve, sensor noise."""
    height, width = linear.shape[:2]
    blurred = cv2.GaussianBlur(linear, (0, 0), 0.45)
    glow = cv2.GaussianBlur(linear, (0, 0), width / 60)
    y, x = np.mgrid[:height, :width]
    r2 = ((x + 0.5 - width / 2) ** 2 + (y + 0.5 - height / 2) ** 2) / (0.25 * (width**2 + height**2))
    light = (0.97 * blurred + 0.03 * glow) * (1 - 0.20 * r2)[..., None] * exposure.gain * np.asarray(exposure.white_balance, np.float32)
    # Linear to 0.55, then a shoulder, so that window and highlights do not clip hard.
    toned = np.where(light < 0.55, light, 0.55 + 0.45 * (1 - np.exp(-(light - 0.55) / 0.45)))
    rng = np.random.default_rng(exposure.seed)
    grain = rng.standard_normal(linear.shape).astype(np.float32)
    grain = 0.7 * grain + 0.5 * cv2.GaussianBlur(grain, (0, 0), 0.7)
    encoded = np.where(toned <= 0.0031308, 12.92 * toned, 1.055 * np.maximum(toned, 1e-6) ** (1 / 2.4) - 0.055)
    noisy = encoded + exposure.noise * grain * np.sqrt(0.35 + encoded)
    return np.clip(noisy * 255 + 0.5, 0, 255).astype(np.uint8)
