"""Exposure and white balance of a picture against the avatar rendered in its place."""

from __future__ import annotations

import numpy as np

from recon.refit_match import MIN_COSINE, Rendering
from recon.solve.pictures import WorkingPicture
from render import srgb_to_linear

ROUNDS, SPREAD = 10, 0.15
"""Cauchy weights: deviations of the logarithm beyond the spread (highlights, shadows, hair) count less and less."""
DARKEST, BRIGHTEST = 0.004, 0.95
"""Linear values below are noise, above are clipped: neither tells an exposure."""
MIN_PIXELS = 200


def fit_gain(rendering: Rendering, picture: WorkingPicture) -> tuple[float, float, float] | None:
    """Linear RGB factors such that picture = gain x rendering on skin that the avatar has seen; None where too little is shown."""
    if picture.colour is None:
        return None
    shown = srgb_to_linear(picture.colour)
    usable = (rendering.cosine > MIN_COSINE) & (rendering.trust > 0.5)
    usable &= (shown.min(2) > DARKEST) & (shown.max(2) < BRIGHTEST) & (rendering.colour_linear.min(2) > DARKEST)
    if usable.sum() < MIN_PIXELS:
        return None
    ratio = np.log(shown[usable]) - np.log(rendering.colour_linear[usable])
    gain = np.median(ratio, 0)
    for _ in range(ROUNDS):
        weight = 1 / (1 + ((ratio - gain) / SPREAD) ** 2)
        gain = (weight * ratio).sum(0) / weight.sum(0)
    red, green, blue = np.exp(gain)
    return float(red), float(green), float(blue)
