"""Exposure, white balance and agreement of the pictures, from the texels that they share."""

from __future__ import annotations

import numpy as np

DARKEST = 0.001
"""Linear value added before the logarithm: below it a picture holds noise."""


def log_colour(colour_linear: np.ndarray) -> np.ndarray:
    """Logarithm of linear RGB, tame in the dark."""
    return np.log(np.maximum(colour_linear, 0) + DARKEST)


def estimate_gains(
    log_colours: np.ndarray, weights: np.ndarray, *, rounds: int = 20, spread: float = 0.1, ridge: float = 3e-4
) -> np.ndarray:
    """(V, 3) log gain of each picture and channel, relative to the median picture.

    Robust least squares of `log_colours[v, t] = gain[v] + texel[t]` over texels seen in two pictures or more, by alternating
    weighted means with Cauchy weights (deviations beyond `spread`, a natural logarithm, count less and less: highlights,
    shadows, hair). The ridge, a share of the texels, keeps a picture that shares little with the others near their gain.

    Args:
        log_colours: (V, T, 3) float32.
        weights: (V, T) float32, 0 where not seen.
    """
    shared = (weights > 0).sum(0) >= 2
    gains = np.zeros((len(weights), 3))
    if not shared.any():
        return gains
    colours, base = log_colours[:, shared].astype(np.float64), weights[:, shared, None].astype(np.float64)
    robust = np.repeat(base, 3, axis=2)
    for _ in range(rounds):
        texel = (robust * (colours - gains[:, None])).sum(0) / robust.sum(0)
        total = robust.sum(1)
        gains = (robust * (colours - texel)).sum(1) / (total + ridge * base.shape[1])
        residual = colours - gains[:, None] - texel
        robust = base / (1 + (residual / spread) ** 2)
    seen = base.sum((1, 2)) > 0
    return gains - np.median(gains[seen], axis=0)


def agreement(log_colours: np.ndarray, weights: np.ndarray, gains: np.ndarray, *, spread: float = 0.25) -> np.ndarray:
    """(V, T) float32 in (0, 1]: how well each picture agrees with the weighted median of all at a texel.

    A highlight, a strand of hair, a hand or the background is in few pictures and loses; where fewer than three pictures see
    a texel nobody can say who is right, and all keep 1.
    """
    corrected = log_colours - gains[:, None].astype(np.float32)
    median = _weighted_median(corrected, weights)
    deviation = np.abs(corrected - median).max(-1)
    factor = 1 / (1 + (deviation / spread) ** 4)
    return np.where((weights > 0).sum(0) >= 3, factor, 1.0).astype(np.float32)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(T, 3) median over the first axis of values (V, T, 3), weights (V, T)."""
    order = values.argsort(0)
    sorted_values = np.take_along_axis(values, order, 0)
    share = np.take_along_axis(np.repeat(weights[..., None], values.shape[2], 2), order, 0).cumsum(0)
    middle = (share >= 0.5 * share[-1]).argmax(0)
    return np.take_along_axis(sorted_values, middle[None], 0)[0]
