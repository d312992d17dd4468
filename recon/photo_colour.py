"""A decoded picture of any kind of pixels as 8-bit sRGB, a strip of rows at a time so that no second copy of it is held."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

STRIP_ROWS = 128
"""Rows that are converted at a time."""

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0


def to_srgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of a picture in any of Pillow's 8-bit modes or 16-bit grey, its colour profile converted.

    16-bit values 0 to 65535 become 0 to 255, rounded; of 16-bit colours Pillow keeps the upper byte. What is transparent stands on
    white, as viewers show it: dropping alpha would show whatever colour lies hidden under it.
    """
    width, height = image.size
    out = np.zeros((height, width, 3), np.uint8)
    convert: Callable[[Image.Image], Image.Image] | None = None
    for top in range(0, height, STRIP_ROWS):
        strip = _plain(image.crop((0, top, width, min(top + STRIP_ROWS, height))), _is_negative(image))
        convert = convert or _conversion(image, strip.mode)
        out[top : top + STRIP_ROWS] = np.asarray(convert(strip))
    return out


def sixteen_to_eight(values: np.ndarray) -> np.ndarray:
    """uint8 of 16-bit levels of any shape: 0 to 65535 scaled to 0 to 255 and rounded."""
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _plain(strip: Image.Image, is_negative: bool) -> Image.Image:
    """The strip in mode L, RGB or CMYK."""
    if strip.mode.startswith("I;16"):
        levels = sixteen_to_eight(np.asarray(strip))
        return Image.fromarray(255 - levels if is_negative else levels)
    if strip.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in strip.info:
        rgba = strip.convert("LA").convert("RGBA") if strip.mode == "La" else strip.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")
    return strip if strip.mode in ("L", "RGB", "CMYK") else strip.convert("RGB")


def _is_negative(image: Image.Image) -> bool:
    """Whether a 16-bit grey TIFF counts from white, which Pillow leaves to the caller."""
    return image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC, 1) == _WHITE_IS_ZERO


def _conversion(image: Image.Image, mode: str) -> Callable[[Image.Image], Image.Image]:
    """What brings strips of a mode to sRGB: the picture's own colour profile, or none."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
            return lambda strip: ImageCms.applyTransform(strip, transform) or strip
        except ImageCms.PyCMSError:
            pass  # A broken profile says nothing about the colours: they are taken as sRGB, like a file without one.
    return lambda strip: strip.convert("RGB")
