"""Texels that no picture saw: from the other side of the face, else spread from their neighbours."""

from __future__ import annotations

import cv2
import numpy as np

from assets.head_model import PARTS, HeadModel
from recon.texture_chart import Chart
from render.rasterize.embree import RayScene


def push_pull(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(H, W, C) float32 smooth picture that keeps `image` where weight is 1 and spreads it to where weight is 0.

    A pyramid of weighted means going down, filled from below going up (Gortler et al., "The Lumigraph", SIGGRAPH 1996,
    section 3.4); weight (H, W) float32 in [0, 1].
    """
    if min(image.shape[:2]) <= 1 or weight.min() >= 1:
        total = max(float(weight.sum()), 1e-12)
        mean = (image * weight[..., None]).sum((0, 1)) / total
        return np.where(weight[..., None] > 0, image, mean).astype(np.float32)
    size = ((image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2)
    summed = cv2.resize(np.dstack([image * weight[..., None], weight]), size, interpolation=cv2.INTER_AREA)
    coarse = summed[..., :-1] / np.maximum(summed[..., -1:], 1e-12)
    below = push_pull(coarse.astype(np.float32), np.minimum(4 * summed[..., -1], 1).astype(np.float32))
    below = cv2.resize(below, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR).reshape(image.shape)
    return (weight[..., None] * image + (1 - weight[..., None]) * below).astype(np.float32)


def mirror_map(head: HeadModel, chart: Chart) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) float32 window coordinates in texels (centres at +0.5) of each texel's mirror place, and (N,) bool where there is one.

    Only skin has one: the mirrored point on the average head, through `mirror_vertices`, and the triangle nearest to it.
    """
    skin = chart.part == PARTS.index("skin")
    corners = head.mirror_vertices[head.triangles[chart.triangle[skin]]]
    points = np.einsum("nk,nkc->nc", chart.barycentric[skin], head.vertices[corners])
    is_skin = np.flatnonzero(head.triangle_parts == PARTS.index("skin"))
    nearest = RayScene(head.vertices, head.triangles[is_skin]).closest(points)
    uvs = head.uvs[head.triangle_uvs[is_skin[nearest.triangle_index]]]
    uv = np.einsum("nk,nkc->nc", nearest.barycentric, uvs)
    place, found = np.zeros((len(skin), 2), np.float32), np.zeros(len(skin), bool)
    place[skin] = uv * (chart.size, -chart.size) + (-chart.column0, chart.size - chart.row0)
    found[skin] = nearest.distance < 0.005
    return place, found


def fill_from_mirror(image: np.ndarray, seen: np.ndarray, head: HeadModel, chart: Chart) -> tuple[np.ndarray, np.ndarray]:
    """The picture with unseen skin taken from the other side, and (height, width) float32 how much is now known.

    What differs between the sides where both are seen (light, one freckled cheek) is spread smoothly over what is copied, so
    that no edge shows between own and copied skin.

    Args:
        image: (height, width, 3) float32 window picture, best in a perceptual scale.
        seen: (height, width) float32 in [0, 1].
    """
    place, found = mirror_map(head, chart)
    # OpenCV puts centres at whole numbers, hence half a texel less.
    grid = chart.image(place - 0.5)
    copied = cv2.remap(np.dstack([image * seen[..., None], seen]), grid, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    known = copied[..., 3] * chart.image(found.astype(np.float32))
    copied = copied[..., :3] / np.maximum(copied[..., 3:], 1e-6)
    both = np.minimum(known, seen)
    difference = push_pull(cv2.GaussianBlur((image - copied) * both[..., None], (0, 0), 2) /
                           np.maximum(cv2.GaussianBlur(both, (0, 0), 2), 1e-3)[..., None], (both > 0.5).astype(np.float32))  # fmt: skip
    difference = cv2.GaussianBlur(difference, (0, 0), chart.size * 0.006)
    from_mirror = np.clip(copied + difference, 0, None)
    share = seen + (1 - seen) * known
    mixed = seen[..., None] * image + ((1 - seen) * known)[..., None] * from_mirror
    return mixed / np.maximum(share, 1e-6)[..., None], share
