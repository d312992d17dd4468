"""Depth control pictures: near white, background black, one range over the whole sweep."""

from __future__ import annotations

from typing import Literal

import numpy as np

from assets.errors import RangeError, ShapeError

DepthEncoding = Literal["disparity", "linear"]


def nearness(depth: np.ndarray, depth_range_m: tuple[float, float], encoding: DepthEncoding) -> np.ndarray:
    """(H, W) float64 in [0, 1]: 1 at near, 0 at far, clamped outside.

    Args:
        depth: (H, W) camera z in metres; not finite where empty (the result there is 0).
        depth_range_m: (near, far) camera z, 0 < near < far.
        encoding: `disparity` is (1/z - 1/far) / (1/near - 1/far), the curve of MiDaS and DPT; `linear` is (far - z) / (far - near), the
            curve of Zoe. Both nets accept either: near = white is what they share.
    """
    near, far = depth_range_m
    z = np.where(np.isfinite(depth), depth, far).astype(np.float64).clip(near, far)
    if encoding == "disparity":
        return (1 / z - 1 / far) / (1 / near - 1 / far)
    return (far - z) / (far - near)


def encode_depth(depth: np.ndarray, depth_range_m: tuple[float, float], encoding: DepthEncoding = "disparity") -> np.ndarray:
    """(H, W, 3) uint8 depth control picture for `control_v11f1p_sd15_depth`, `controlnet-depth-sdxl-1.0` and their like.

    The surface takes 1..255, rounded to nearest, and the background alone is 0, so that the head never fades into it. Arguments as for
    `nearness`. Raises ShapeError for a depth that is not (H, W), RangeError for a range or an encoding that cannot be.
    """
    _check(depth, depth_range_m, encoding)
    level = np.floor(1 + 254 * nearness(depth, depth_range_m, encoding) + 0.5)
    grey = np.where(np.isfinite(depth), level, 0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _check(depth: np.ndarray, depth_range_m: tuple[float, float], encoding: str) -> None:
    if depth.ndim != 2:
        raise ShapeError(expected="depth (H, W)", got=str(depth.shape), do="pass RenderBuffers.depth")
    near, far = depth_range_m
    if not (0 < near < far < np.inf):
        raise RangeError(
            expected="a depth range with 0 < near < far, in metres", got=f"({near}, {far})", do="pass the sweep's locked depth range"
        )
    if encoding not in ("disparity", "linear"):
        raise RangeError(expected="'disparity' or 'linear'", got=repr(encoding), do="choose one of the two depth encodings")
