"""What stands behind the sample person: a room out of focus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from studio.sample_noise import fractal, smoothstep

Backdrop = Callable[[np.ndarray], np.ndarray]
"""(N, 3) linear colours by viewing direction (N, 3) in the scene's frame."""


def room_backdrop(direction: np.ndarray) -> np.ndarray:
    """(N, 3) a room out of focus by viewing direction: wall, a bright window, a shelf, a plant."""
    azimuth, height = np.arctan2(direction[:, 0], -direction[:, 2]), direction[:, 1]

    def blot(a: float, h: float, wide: float, tall: float) -> np.ndarray:
        turn = (azimuth - a + np.pi) % (2 * np.pi) - np.pi
        return np.exp(-(np.abs(turn / wide) ** 3) - np.abs((height - h) / tall) ** 3)[:, None]

    colour = np.array([0.30, 0.285, 0.255]) * (1 + 0.35 * height + 0.08 * np.cos(2 * azimuth + 0.6))[:, None]
    colour = colour + blot(1.25, 0.12, 0.22, 0.28) * (0.55, 0.60, 0.66) + blot(-1.65, 0.2, 0.16, 0.2) * (0.5, 0.46, 0.38)
    shelves = smoothstep(0.1, 0.6, np.sin(azimuth * 9 + 1.0)) * smoothstep(-0.35, -0.1, height) * smoothstep(0.42, 0.2, height)
    colour = colour * (1 - 0.22 * shelves[:, None] * (0.7, 1.0, 1.15)) + 0.02 * shelves[:, None] * (1.0, 0.5, 0.2)
    for a, h, wide, tall, darker in (
        (-0.42, -0.02, 0.19, 0.35, 0.45),
        (0.55, -0.22, 0.3, 0.16, 0.5),
        (2.3, -0.1, 0.4, 0.3, 0.4),
        (-2.5, 0.0, 0.3, 0.5, 0.35),
    ):
        colour = colour * (1 - darker * blot(a, h, wide, tall) * (0.8, 1.0, 1.05))
    return colour * (1 + 0.03 * fractal(direction * 40, 18, octaves=2, seed=220))[:, None]
