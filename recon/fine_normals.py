"""Fine normals from the texture: pores and wrinkles, finer than the mesh, as a tangent-space normal map.

Under light from all around, what is deep is dark: the height of fine relief is taken from the brightness of the skin in the band between
its grain and its shading (Glencross et al., "A Perceptually Validated Model for Surface Depth Hallucination", SIGGRAPH 2008; Beeler et
al., "High-Quality Single-Shot Capture of Facial Geometry", SIGGRAPH 2010, section 5). It is no measurement of depth: scale and sign hold
for skin on the whole. Freckles, moles and lips are dark by pigment, which changes the hue too, and count accordingly less.
"""

from __future__ import annotations

import cv2
import numpy as np

from assets.head_model import PARTS
from recon.avatar import Avatar
from recon.texture_chart import Chart, make_chart
from render.shading import srgb_to_linear

BAND_MM = (0.2, 2.5)
"""Sigmas of the Gaussians between which relief is looked for: finer is grain, coarser is shading and the mesh's own."""
DEPTH_MM = 0.5
"""Height for one unit of the logarithm of brightness: a pore a tenth darker than the skin around it is 0.05 mm deep."""
LARGEST = 0.15
"""Logarithms of brightness beyond this are hair, lashes and lines of lids: height grows no further."""
PIGMENT = 0.04
"""Change of log(red / blue) in the band at which half of a spot is believed to be pigment."""
MIN_PX_PER_M = 1500.0
"""Photos that show a millimetre on fewer than 1.5 pixels have no pores to show."""
DARKEST = 0.004
FLAT = (128, 128, 255)


def fine_normals(avatar: Avatar) -> np.ndarray | None:
    """(S, S, 3) uint8 normal map of a textured avatar in its albedo's chart; None where its photos are too coarse, or it has none.

    glTF's convention: red along +u, green along +v (up), blue out of the surface, (128, 128, 255) flat; row 0 is v = 1. Flat wherever no
    photo showed the skin and on everything that is not skin.
    """
    size = avatar.albedo_srgb.shape[0]
    if size % 64 or avatar.albedo_srgb.shape[1] != size or photo_px_per_m(avatar) < MIN_PX_PER_M:
        return None
    chart = make_chart(avatar.head, size)
    window = slice(chart.row0, chart.row0 + chart.height), slice(chart.column0, chart.column0 + chart.width)
    linear = np.maximum(srgb_to_linear(avatar.albedo_srgb[window]), DARKEST)
    skin = chart.image((chart.part == PARTS.index("skin")).astype(np.float32))
    trust = skin * (avatar.confidence[window].astype(np.float32) / 255)
    height_m = relief_m(linear, trust, chart)
    normals = np.full((size, size, 3), FLAT, np.uint8)
    normals[window] = encoded(height_m, np.where(skin > 0, chart.image(chart.texel_m), 1.0))
    return normals


def photo_px_per_m(avatar: Avatar) -> float:
    """Median over the registered photos of the pixels that show a metre at the head's distance; 0 without photos."""
    found = []
    for view in avatar.views:
        if view.camera is not None and view.T_world_head is not None:
            distance = np.linalg.norm(view.camera.position_world - view.T_world_head[:3, 3])
            found.append(float(view.camera.K[0, 0] / max(distance, 1e-6)))
    return float(np.median(found)) if found else 0.0


def relief_m(linear: np.ndarray, trust: np.ndarray, chart: Chart) -> np.ndarray:
    """(h, w) float32 metres: fine relief of a window of linear colours (h, w, 3) that is believed as far as `trust` (h, w) says."""
    texel_mm = 1000 * float(np.median(chart.texel_m))
    brightness = np.log(linear @ np.array([0.2126, 0.7152, 0.0722], np.float32))
    hue = np.log(linear[..., 0] / linear[..., 2])
    dark, pigment = (_band(values, trust, texel_mm) for values in (brightness, hue))
    believed = trust / (1 + (pigment / PIGMENT) ** 2)
    return (1e-3 * DEPTH_MM * LARGEST * np.tanh(dark / LARGEST) * believed).astype(np.float32)


def encoded(height_m: np.ndarray, texel_m: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 normals of a height map (h, w) in metres on texels (h, w) of so many metres; rows run down, v runs up."""
    along_u = cv2.Sobel(height_m, cv2.CV_32F, 1, 0, scale=1 / 8) / texel_m
    along_v = -cv2.Sobel(height_m, cv2.CV_32F, 0, 1, scale=1 / 8) / texel_m
    normal = np.dstack([-along_u, -along_v, np.ones_like(height_m)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return np.rint(127.5 * (normal + 1)).astype(np.uint8)


def _band(values: np.ndarray, trust: np.ndarray, texel_mm: float) -> np.ndarray:
    """(h, w) what lies between the band's two Gaussians, each a mean over trusted texels alone."""
    seen = (trust > 0).astype(np.float32)
    fine, coarse = (_mean(values.astype(np.float32), seen, sigma / texel_mm) for sigma in BAND_MM)
    return (fine - coarse) * seen


def _mean(values: np.ndarray, seen: np.ndarray, sigma: float) -> np.ndarray:
    blur = lambda picture: cv2.GaussianBlur(picture, (0, 0), sigma)  # noqa: E731
    return blur(values * seen) / np.maximum(blur(seen), 1e-3)
