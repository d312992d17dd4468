"""How well pictures agree through the geometry: warps between frames, masked PSNR and SSIM, variance over frames in UV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import cv2
import numpy as np

from assets.errors import ShapeError
from render import aovs
from render.antialias import STEEPNESS
from render.buffers import Fragments, RenderBuffers
from render.mesh import Mesh
from render.rasterize.embree import RayScene
from render.shading import bilinear_taps

DEPTH_TOLERANCE_M = 1e-3
"""A surface point is seen where the depth buffer agrees with its depth within this (and half the local depth change)."""

SSIM_SIGMA_PX, SSIM_WINDOW_PX, SSIM_K1, SSIM_K2 = 1.5, 11, 0.01, 0.03
"""Constants of Wang, Bovik, Sheikh & Simoncelli, "Image Quality Assessment", IEEE TIP 2004."""


@dataclasses.dataclass(frozen=True)
class PairConsistency:
    """How well two frames agree on the surface that both see."""

    name_a: str
    name_b: str
    num_pixels: int
    """Pixels of frame a whose surface point frame b sees too."""
    shared: float
    """num_pixels over the covered pixels of frame a; 0 where none."""
    psnr_db: float
    """Over those pixels; inf for no difference, nan where there are none."""
    ssim: float
    """Over those pixels, 1 for no difference; nan where there are none."""


@dataclasses.dataclass(frozen=True, eq=False)
class UvVariance:
    """Statistics of the colour of each texel over frames."""

    count: np.ndarray
    """(S, S) int32 frames that saw the texel; row 0 is v = 1."""
    mean: np.ndarray
    """(S, S, 3) float64 in the units of the pictures; nan where never seen."""
    variance: np.ndarray
    """(S, S, 3) float64 unbiased variance over frames; nan where seen fewer than twice."""

    @property
    def deviation(self) -> float:
        """Root of the mean variance over all texels and channels seen twice or more; nan where there are none."""
        seen = self.variance[self.count > 1]
        return float(np.sqrt(seen.mean())) if seen.size else float("nan")


def masked_psnr(image_a: np.ndarray, image_b: np.ndarray, mask: np.ndarray, *, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over mask (H, W) of two pictures (H, W, C); inf for no difference, nan for no pixel."""
    _check_pair(image_a, image_b, mask)
    if not mask.any():
        return float("nan")
    error = np.mean((image_a[mask].astype(np.float64) - image_b[mask].astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def masked_ssim(image_a: np.ndarray, image_b: np.ndarray, mask: np.ndarray, *, peak: float = 255.0) -> float:
    """Mean structural similarity over mask (H, W), channels averaged; nan for no pixel.

    Wang et al. 2004 with their Gaussian window of 11 x 11; the window's weights outside the mask are zero and the rest is
    normalised, so nothing outside the mask has any influence.
    """
    _check_pair(image_a, image_b, mask)
    if not mask.any():
        return float("nan")
    weights = _window_sum(mask.astype(np.float64))[..., None]

    def local_mean(values: np.ndarray) -> np.ndarray:
        return _window_sum(np.where(mask[..., None], values, 0.0)) / np.where(mask[..., None], weights, 1.0)

    a, b = (np.asarray(image, np.float64).reshape(*mask.shape, -1) for image in (image_a, image_b))
    mean_a, mean_b = local_mean(a), local_mean(b)
    variance_a, variance_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(similarity[mask].mean())


def warp_between(buffers_a: RenderBuffers, image_b: np.ndarray, buffers_b: RenderBuffers) -> tuple[np.ndarray, np.ndarray]:
    """What frame a would look like if its surface had the colours that frame b's picture shows.

    For each pixel of a, the surface point (triangle and barycentric) is found on b's posed mesh, which may have another
    expression or head pose, projected into b and sampled there where b sees it.

    Args:
        buffers_a: the view to warp into.
        image_b: (H, W, C) picture of frame b, any dtype, of the size of b's camera.
        buffers_b: geometry of frame b; the same triangles as a.

    Returns the picture (H, W, C) float32 in a's size, 0 where b does not see the point, and the mask (H, W) bool where it does.
    """
    is_hit = buffers_a.mask
    values, is_seen = sample_surface(buffers_b, image_b, buffers_a.fragments.at(is_hit))
    image = np.zeros((*is_hit.shape, image_b.shape[2]), np.float32)
    mask = np.zeros(is_hit.shape, bool)
    image[is_hit], mask[is_hit] = values, is_seen
    return image, mask


def sample_surface(buffers: RenderBuffers, image: np.ndarray, points: Fragments) -> tuple[np.ndarray, np.ndarray]:
    """Colours (N, C) float32 that a picture of a frame shows at surface points, and whether it sees them (N,) bool.

    Args:
        image: (H, W, C) of the size of the frame's camera.
        points: triangle and barycentric of N surface points, depth unused; all of them hits.

    A point counts as seen where the four pixels around it are covered, lie on one surface, and have its depth.
    """
    height, width = buffers.mask.shape
    if image.ndim != 3 or image.shape[:2] != (height, width):
        raise ShapeError(expected=f"a picture ({height}, {width}, C) like its buffers", got=f"shape {image.shape}", do="resize the picture")
    position = aovs.interpolate(points, buffers.mesh.vertices, buffers.mesh.triangles)
    px, depth = buffers.camera.project(position)
    is_inside = (depth > 0) & ((px >= 0.5) & (px <= (width - 0.5, height - 0.5))).all(-1)
    px = np.where(is_inside[:, None], px, 0.5)
    rows, columns, weights = bilinear_taps(px / (width, -height) + (0, 1), height, width)
    taps = np.stack([buffers.depth[row, column] for row, column in zip(rows, columns, strict=True)])
    values = sum(image[row, column] * weight[:, None] for row, column, weight in zip(rows, columns, weights, strict=True))
    is_seen = is_inside & _agrees(taps, weights, depth, buffers.camera.K[1, 1])
    return np.where(is_seen[:, None], values, 0).astype(np.float32), is_seen


def measure_pair(buffers_a: RenderBuffers, image_a: np.ndarray, buffers_b: RenderBuffers, image_b: np.ndarray) -> PairConsistency:
    """Compare picture a with picture b warped into a, over the surface that both see; pictures (H, W, 3) uint8."""
    warped, mask = warp_between(buffers_a, image_b, buffers_b)
    num_covered = int(buffers_a.mask.sum())
    return PairConsistency(
        name_a=buffers_a.name,
        name_b=buffers_b.name,
        num_pixels=int(mask.sum()),
        shared=float(mask.sum() / num_covered) if num_covered else 0.0,
        psnr_db=masked_psnr(image_a, warped, mask),
        ssim=masked_ssim(image_a, warped, mask),
    )


def uv_variance(frames: Iterable[tuple[RenderBuffers, np.ndarray]], *, size: int = 256) -> UvVariance:
    """Per-texel mean and variance of pictures (H, W, 3) over the frames that see the texel, in a square chart of `size` texels.

    Streams: one frame is held at a time (Welford, "Note on a Method for Calculating Corrected Sums of Squares", 1962).
    """
    texels: Fragments | None = None
    count, mean, squares = np.zeros((size, size), np.int32), np.zeros((size, size, 3)), np.zeros((size, size, 3))
    for buffers, image in frames:
        texels = texels or chart_texels(buffers.mesh, size)
        is_used = aovs.mask(texels)
        values, is_seen = sample_surface(buffers, image, texels.at(is_used))
        seen = np.zeros((size, size), bool)
        seen[is_used] = is_seen
        count[seen] += 1
        difference = values[is_seen] - mean[seen]
        mean[seen] += difference / count[seen][:, None]
        squares[seen] += difference * (values[is_seen] - mean[seen])
    seen_once, seen_twice = (count > 0)[..., None], (count > 1)[..., None]
    variance = np.where(seen_twice, squares / np.maximum(count - 1, 1)[..., None], np.nan)
    return UvVariance(count, np.where(seen_once, mean, np.nan), variance)


def chart_texels(mesh: Mesh, size: int) -> Fragments:
    """The surface point of each texel centre: fragments (S, S), row 0 is v = 1, -1 where no triangle has the texel; depth is 0."""
    return uv_texels(mesh.uvs, mesh.triangle_uvs, size)


def uv_texels(uvs: np.ndarray, triangle_uvs: np.ndarray, size: int) -> Fragments:
    """`chart_texels` of a layout: coordinates (U, 2), and for each triangle (T, 3) its three; `face_id` counts these triangles."""
    flat = np.concatenate([uvs, np.zeros((len(uvs), 1), uvs.dtype)], -1)
    centres = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(centres, centres[::-1])
    origins = np.stack([u, v, np.ones_like(u)], -1).reshape(-1, 3)
    hits = RayScene(flat, triangle_uvs).cast(origins, np.broadcast_to((0.0, 0.0, -1.0), origins.shape))
    face_id = hits.triangle_index.reshape(size, size)
    return Fragments(face_id, hits.barycentric.reshape(size, size, 3), np.zeros((size, size), np.float32))


def _agrees(taps: np.ndarray, weights: list[np.ndarray], depth: np.ndarray, focal_px: float) -> np.ndarray:
    """(N,) bool: four depths (4, N) around a point lie on one surface, at the point's depth (N,)."""
    is_covered = np.isfinite(taps).all(0)
    taps = np.where(is_covered, taps, 0)
    spread = taps.max(0) - taps.min(0)
    interpolated = sum(tap * weight for tap, weight in zip(taps, weights, strict=True))
    is_smooth = spread <= STEEPNESS * depth / focal_px
    return is_covered & is_smooth & (np.abs(interpolated - depth) <= DEPTH_TOLERANCE_M + spread / 2)


def _window_sum(values: np.ndarray) -> np.ndarray:
    size = (SSIM_WINDOW_PX, SSIM_WINDOW_PX)
    return cv2.GaussianBlur(values, size, SSIM_SIGMA_PX, borderType=cv2.BORDER_CONSTANT).reshape(values.shape)


def _check_pair(image_a: np.ndarray, image_b: np.ndarray, mask: np.ndarray) -> None:
    if image_a.shape != image_b.shape or mask.shape != image_a.shape[:2] or mask.dtype != bool:
        got = f"pictures {image_a.shape} and {image_b.shape}, mask {mask.shape} {mask.dtype}"
        raise ShapeError(expected="two pictures of one shape (H, W, C) and a bool mask (H, W)", got=got, do="warp one to the other")
