"""The light of the capture, shared by all pictures, and as much of it as can safely be taken out of the texture."""

from __future__ import annotations

import numpy as np

from render.shading import SH_CONSTANTS, sh_basis
from render.sweep import Light

RIDGE = np.array([0, 0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.1, 0.1])
"""Pull of each coefficient towards none, as a share of the texels: what the seen normals do not determine stays small."""
DARKEST_SHADE = 0.45
"""The estimated shading never falls below this share of its mean, in any direction."""


def estimate_light(colour_linear: np.ndarray, normals: np.ndarray, weights: np.ndarray, *, strength: float) -> Light:
    """Second-order light, of one hue, such that `texture / shading` is as even as skin is.

    Robust least squares (Cauchy weights, so that brows, lips and beard do not pass as shadow) of luminance against the
    harmonics of the normal, on the assumption that skin is equally bright everywhere. That holds only roughly: a dark chin and
    a shaded chin look alike. Hence the ridge, the bound DARKEST_SHADE and `strength`; hue is left in the texture entirely.
    The light is scaled so that its mean over the seen skin is 1.

    Args:
        colour_linear: (N, 3) blended linear colours of seen skin texels.
        normals: (N, 3) unit, world.
        weights: (N,) trust.
        strength: 0 leaves all shading in the texture (even light), 1 takes out all that was estimated.
    """
    even = np.zeros(9)
    even[0] = 1 / SH_CONSTANTS[0]
    if strength <= 0 or weights.sum() <= 0 or len(normals) < 100:
        return _grey(even)
    basis = sh_basis(normals.astype(np.float64))
    luminance = colour_linear.astype(np.float64) @ (0.2126, 0.7152, 0.0722)
    luminance /= np.average(luminance, weights=weights)
    robust = weights.astype(np.float64)
    solution = even
    for _ in range(15):
        normal_matrix = basis.T @ (robust[:, None] * basis) + np.diag(RIDGE) * robust.sum()
        solution = np.linalg.solve(normal_matrix, basis.T @ (robust * luminance))
        residual = luminance - basis @ solution
        robust = weights / (1 + (residual / 0.15) ** 2)
    solution /= max(np.average(basis @ solution, weights=weights), 1e-3)
    solution = even + _safe_share(solution - even) * strength * (solution - even)
    return _grey(solution / np.average(basis @ solution, weights=weights))


def shading(light: Light, normals: np.ndarray) -> np.ndarray:
    """(N, 1) float32 shading of unit world normals by a light of one hue."""
    return np.maximum(sh_basis(normals) @ light.sh_linear[:, :1], 0.5 * DARKEST_SHADE).astype(np.float32)


def _safe_share(change: np.ndarray) -> float:
    """How much of a change from even light keeps the shading above DARKEST_SHADE over the whole sphere."""
    index = np.arange(400) + 0.5
    polar, turn = np.arccos(1 - 2 * index / 400), np.pi * (1 + 5**0.5) * index
    sphere = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], 1)
    deepest = -(sh_basis(sphere) @ change).min()
    return float(min(1.0, (1 - DARKEST_SHADE) / max(deepest, 1e-9)))


def _grey(coefficients: np.ndarray) -> Light:
    return Light(np.repeat(coefficients[:, None], 3, axis=1).astype(np.float32))
