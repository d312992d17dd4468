"""Colour, texture lookup and Lambert shading by spherical harmonics.

Light is second order (9 coefficients), after Ramamoorthi & Hanrahan, "An Efficient Representation for Irradiance Environment
Maps", SIGGRAPH 2001. `sh_basis` has the real harmonics in the order 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2 with their
orthonormal constants. `Light.sh_linear` already holds the cosine lobe (A_l / pi = 1, 2/3, 1/4 by order), so that
`radiance leaving the surface = albedo * (sh_basis(normal) @ sh_linear)`.
"""

from __future__ import annotations

import numpy as np

from assets.errors import ShapeError
from render.sweep import Light

BACKGROUND_SRGB = (128, 128, 128)
"""Neutral grey behind the head, sRGB."""

SH_CONSTANTS = np.array([0.282095, *[0.488603] * 3, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274], np.float32)
"""(9,) orthonormal constants of the real harmonics, in the order of sh_basis (Ramamoorthi & Hanrahan 2001, equation 3)."""

COSINE_LOBE = np.array([1, 2 / 3, 2 / 3, 2 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 4], np.float32)
"""(9,) A_l / pi: what a clamped cosine does to each coefficient of the incoming light (their equation 8)."""


def sh_basis(normals: np.ndarray) -> np.ndarray:
    """(..., 9) real spherical harmonics up to order 2 of unit vectors (..., 3), in the dtype of the vectors."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    out = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1)
    out *= SH_CONSTANTS.astype(out.dtype)
    return out


def irradiance(normals: np.ndarray, light: Light) -> np.ndarray:
    """(..., 3) linear irradiance / pi on surfaces with unit normals (..., 3), never negative."""
    return np.maximum(sh_basis(normals) @ np.asarray(light.sh_linear, normals.dtype), 0)


def ambient_light(rgb_linear: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Light:
    """The same light from everywhere: a white surface shows `rgb_linear`."""
    sh = np.zeros((9, 3), np.float32)
    sh[0] = np.asarray(rgb_linear, np.float32) / SH_CONSTANTS[0]
    return Light(sh)


def distant_light(direction: np.ndarray, rgb_linear: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Light:
    """Light from one direction (3,), pointing at the light: a white surface facing it shows about `rgb_linear` (17/16 of it).

    The second-order fit of a clamped cosine, hence soft: it stays a little above zero behind the terminator.
    """
    unit = np.asarray(direction, np.float32) / np.linalg.norm(direction)
    coefficients = np.pi * COSINE_LOBE * sh_basis(unit)
    return Light(np.outer(coefficients, np.asarray(rgb_linear)).astype(np.float32))


def add_lights(*lights: Light) -> Light:
    """All of the lights at once."""
    return Light(np.sum([light.sh_linear for light in lights], 0, dtype=np.float32))


DEFAULT_LIGHT = add_lights(
    ambient_light((0.36, 0.37, 0.39)),
    distant_light(np.array([0.55, 0.45, 0.75]), (0.56, 0.54, 0.52)),
    distant_light(np.array([-0.8, 0.1, 0.1]), (0.07, 0.08, 0.09)),
)
"""Soft studio light, world axes (+Y up, the subject faces +Z): a warm key from the subject's front left and above, a cool fill."""


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Linear float32 in [0, 1] of sRGB, uint8 in [0, 255] or float in [0, 1] (IEC 61966-2-1)."""
    if srgb.dtype == np.uint8:
        return _LINEAR_OF_BYTE[srgb]
    values = np.asarray(srgb, np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0.04045) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB float32 in [0, 1] of linear light; values outside [0, 1] are clipped."""
    values = np.clip(np.asarray(linear, np.float32), 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055).astype(np.float32)


def linear_to_srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """sRGB uint8 of linear light, rounded to nearest; values outside [0, 1] are clipped."""
    return np.rint(linear_to_srgb(linear) * 255).astype(np.uint8)


_LINEAR_OF_BYTE = srgb_to_linear(np.arange(256, dtype=np.float32) / 255)


def sample_texture(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(..., C) float32: image (H, W, C) at uv (..., 2), bilinear between texel centres, clamped at the border.

    UV origin is bottom-left, row 0 of the image is the top (v = 1), texel centres lie at +0.5. Values keep the image's units;
    for an sRGB texture convert to linear after (albedo) or sample a linear image (light).
    """
    if image.ndim != 3 or not np.issubdtype(np.asarray(uv).dtype, np.floating) or np.shape(uv)[-1] != 2:
        got = f"image {image.shape}, uv {np.shape(uv)} {np.asarray(uv).dtype}"
        raise ShapeError(expected="image (H, W, C) and floating uv (..., 2)", got=got, do="add a channel axis to a grey image")
    rows, columns, weights = bilinear_taps(uv, image.shape[0], image.shape[1])
    out = np.zeros((*np.shape(uv)[:-1], image.shape[2]), np.float32)
    for row, column, weight in zip(rows, columns, weights, strict=True):
        out += image[row, column] * weight[..., None]
    return out


def bilinear_taps(uv: np.ndarray, height: int, width: int) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Rows, columns and float32 weights (each four of shape (...,)) of the texels around uv (..., 2)."""
    # Texel centres lie at +0.5: subtracting it gives coordinates in which texel i sits at the whole number i.
    x = np.clip(uv[..., 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - uv[..., 1]) * height - 0.5, 0, height - 1)
    left, top = np.minimum(x.astype(np.int32), max(width - 2, 0)), np.minimum(y.astype(np.int32), max(height - 2, 0))
    fx, fy = (x - left).astype(np.float32), (y - top).astype(np.float32)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    weights = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
    return [top, top, bottom, bottom], [left, right, left, right], weights
