"""The normal sweep: every texel is moved along its normal until the pictures agree on what they show there.

A patch of skin looks the same in two pictures only where the surface that carries it from one to the other lies where the skin is.
So the texels of the chart are offset in equal steps, every view is resampled at every step, patches are correlated over pairs of
views, and the step at which they correlate best, refined by a parabola, is the height of the skin over the mesh.
Reference: plane sweep, Collins, 1996, along the normals of a mesh in place of planes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from assets.cores import num_cores
from recon.solve.chart import FaceChart
from recon.solve.flow import viewing_angles_deg
from recon.solve.unwrap import MIN_COSINE, visible_cosine
from render import RayScene, vertex_normals
from render.camera import Camera

# Pairs of views are correlated between these angles: closer ones hardly tell height, further ones see patches too differently.
MIN_ANGLE_DEG, MAX_ANGLE_DEG = 8.0, 60.0
# From this angle on a pair tells height as well as it ever will; below, it counts in proportion.
FULL_ANGLE_DEG = 18.0
# A patch counts from this share of it being visible on; what lies behind an edge would be compared with the skin before it.
MIN_VISIBLE_SHARE = 0.6
# Variance (grey levels squared) of a patch's noise after the blur: patches plainer than this correlate little, so that nothing is read
# into noise, which no two pictures share in any case.
NOISE_VARIANCE = 0.3
# Total weight of pairs from which a texel is believed, and correlation that its best height has to reach.
MIN_PAIR_WEIGHT, MIN_CORRELATION = 0.05, 0.3
# Any other height at which the correlation has a top has to lie lower by this much.
MIN_MARGIN = 0.05


@dataclasses.dataclass(frozen=True)
class SweepLevel:
    """One pass over the chart."""

    texel_mm: float
    blur_px: float
    """Gaussian on the working pictures before resampling."""
    window_texels: int
    """Odd side of the patches."""
    reach_mm: float
    """Heights from minus to plus this are tried."""
    steps: int
    """How many heights, an odd number."""

    @property
    def patch_m(self) -> float:
        """Side of a patch."""
        return 1e-3 * self.texel_mm * self.window_texels

    @property
    def heights_m(self) -> np.ndarray:
        """(S,) float64."""
        return 1e-3 * np.linspace(-self.reach_mm, self.reach_mm, self.steps)


@dataclasses.dataclass(frozen=True, eq=False)
class SweptView:
    """One picture and the mesh as it was when it was taken."""

    vertices: np.ndarray
    """(V, 3) posed head in the head frame, metres."""
    camera: Camera
    """With the head frame as its world, in working pixels."""
    grey: np.ndarray
    """(H, W) float32, blurred for the level."""


@dataclasses.dataclass(frozen=True, eq=False)
class Heights:
    """Where the skin lies over the mesh, for the N texels of a chart."""

    height_m: np.ndarray
    """(N,) float32 along the outward normal; 0 where nothing is known."""
    sd_m: np.ndarray
    """(N,) float32 standard deviation by the sharpness of the correlation's peak; inf where nothing is known."""
    correlation: np.ndarray
    """(N,) float32 at the best height."""

    @property
    def known(self) -> np.ndarray:
        """(N,) bool."""
        return np.isfinite(self.sd_m)


HELD_OUT_EVERY = 3
"""Every third pair of views is left out of the one half of a split sweep and makes the other."""


@dataclasses.dataclass(frozen=True, eq=False)
class SweepResult:
    """One sweep, read three times: by all pairs of views, and by two sets that share none."""

    heights: Heights
    kept: Heights
    """By two thirds of the pairs."""
    held_out: Heights
    """By the other third."""
    seen: np.ndarray
    """(N,) bool: shown by pairs of views, whether or not they agree on a height."""


def sweep(chart: FaceChart, views: Sequence[SweptView], triangles: np.ndarray, target: np.ndarray, level: SweepLevel) -> SweepResult:
    """Find the height of the skin over the mesh at every texel.

    Args:
        chart: texels of about level.texel_mm.
        triangles: (T, 3) that hide what is behind them.
        target: (3,) middle of the face, head frame; angles between views are taken from there.
    """
    seen = _seen(chart, views, triangles)
    share = [_box((cosine > 0).astype(np.float32), level.window_texels) for _, _, cosine in seen]
    weight = [c * np.clip((s - MIN_VISIBLE_SHARE) / (1 - MIN_VISIBLE_SHARE), 0, 1) for (_, _, c), s in zip(seen, share, strict=True)]
    pairs = _pair_weights(views, weight, target)
    total = np.zeros((2, len(chart.corners)), np.float32)
    for number, product in enumerate(pairs.values()):
        total[_part(number)] += product[chart.mask]

    def one(height: float) -> np.ndarray:
        return _correlation_at(chart, views, seen, pairs, height, level.window_texels)[:, chart.mask]

    with ThreadPoolExecutor(num_cores()) as pool:
        scores = np.stack(list(pool.map(one, level.heights_m)), 1)
    read = lambda s, w: best_heights(s / np.maximum(w, 1e-6), w, level)  # noqa: E731
    read_all = read(scores.sum(0), total.sum(0)), read(scores[0], total[0]), read(scores[1], total[1])
    return SweepResult(*read_all, seen=total.sum(0) > MIN_PAIR_WEIGHT)


def _part(number: int) -> int:
    """Which set the pair of that number belongs to: 0 kept, 1 held out."""
    return int(number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1)


def _seen(chart: FaceChart, views: Sequence[SweptView], triangles: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per view points (H, W, 3) and normals (H, W, 3) float32 in the camera's frame and visible cosine (H, W) float32."""
    surfaces: dict[int, tuple[np.ndarray, np.ndarray, RayScene]] = {}
    for view in views:
        if id(view.vertices) not in surfaces:
            normals = chart.at_texels(vertex_normals(view.vertices, triangles))
            normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
            surfaces[id(view.vertices)] = chart.at_texels(view.vertices), normals, RayScene(view.vertices, triangles)

    def one(view: SweptView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points, normals, scene = surfaces[id(view.vertices)]
        cosine = visible_cosine(scene, points.astype(np.float64), normals.astype(np.float64), view.camera).astype(np.float32)
        turn, shift = view.camera.T_cam_world[:3, :3].astype(np.float32), view.camera.T_cam_world[:3, 3].astype(np.float32)
        return chart.grid(points @ turn.T + shift), chart.grid(normals @ turn.T), chart.grid(cosine * (cosine > MIN_COSINE))

    with ThreadPoolExecutor(num_cores()) as pool:
        return list(pool.map(one, views))


def _pair_weights(views: Sequence[SweptView], weight: list[np.ndarray], target: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """(H, W) float32 weight of each usable pair at each texel."""
    angles = viewing_angles_deg(np.stack([view.camera.position_world for view in views]), target)
    pairs: dict[tuple[int, int], np.ndarray] = {}
    for b in range(len(views)):
        for a in range(b):
            if MIN_ANGLE_DEG < angles[a, b] < MAX_ANGLE_DEG:
                product = np.float32(min(1.0, angles[a, b] / FULL_ANGLE_DEG)) * weight[a] * weight[b]
                if product.any():
                    pairs[a, b] = product
    return pairs


def _correlation_at(
    chart: FaceChart,
    views: Sequence[SweptView],
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    pairs: dict[tuple[int, int], np.ndarray],
    height: float,
    window: int,
) -> np.ndarray:
    """(2, H, W) float32 sums over kept and held out pairs of weight times correlation with all texels moved by one height."""
    centred: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    for index in sorted({v for pair in pairs for v in pair}):
        texture = _resampled(views[index], seen[index], height, chart.mask)
        mean = _box(texture, window)
        deviation = np.sqrt(np.maximum(_box(texture * texture, window) - mean * mean, 0.0) + NOISE_VARIANCE)
        centred[index] = texture, mean, 1.0 / deviation
    out = np.zeros((2, *chart.mask.shape), np.float32)
    for number, ((a, b), weight) in enumerate(pairs.items()):
        (texture_a, mean_a, scale_a), (texture_b, mean_b, scale_b) = centred[a], centred[b]
        out[_part(number)] += weight * (_box(texture_a * texture_b, window) - mean_a * mean_b) * scale_a * scale_b
    return out


def _resampled(view: SweptView, seen: tuple[np.ndarray, np.ndarray, np.ndarray], height: float, mask: np.ndarray) -> np.ndarray:
    """(H, W) float32 the picture at every texel moved by a height."""
    points, normals, _ = seen
    at = points + np.float32(height) * normals
    inverse = np.where(mask, 1.0 / np.where(at[..., 2] > 0, at[..., 2], np.inf), 0.0).astype(np.float32)
    K = view.camera.K.astype(np.float32)
    # cv2 counts pixel centres at 0, we at +0.5.
    x = K[0, 0] * at[..., 0] * inverse + (K[0, 2] - 0.5)
    y = K[1, 1] * at[..., 1] * inverse + (K[1, 2] - 0.5)
    # Linear interpolation blurs most half way between pixels, differently in each view, which moves the best height: a third more error.
    return cv2.remap(view.grey, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _box(picture: np.ndarray, window: int) -> np.ndarray:
    return cv2.boxFilter(picture, -1, (window, window))


def best_heights(scores: np.ndarray, pair_weight: np.ndarray, level: SweepLevel) -> Heights:
    """The best of S heights at N texels from mean correlations (S, N) and the total weight of the pairs (N,).

    The deviation of a maximum of correlation r with curvature c over n independent pieces of texture is sqrt((1 - r) / (c n)); n is
    taken as 1 for a patch, since neighbouring texels are one blurred piece. A flat top, a top at the end of the range and a second
    top nearly as high leave the texel unknown.
    """
    columns, step = np.arange(scores.shape[1]), float(level.heights_m[1] - level.heights_m[0])
    best = scores.argmax(0)
    inside = np.clip(best, 1, len(scores) - 2)
    before, top, after = scores[inside - 1, columns], scores[inside, columns], scores[inside + 1, columns]
    curvature = np.maximum(2 * top - before - after, 1e-6)
    shift = np.clip(0.5 * (after - before) / curvature, -1.0, 1.0)
    margin = top - _second_top(scores, best)
    good = (best == inside) & (pair_weight > MIN_PAIR_WEIGHT) & (top > MIN_CORRELATION) & (margin > MIN_MARGIN) & (curvature > 1e-4)
    height = np.where(good, level.heights_m[inside] + step * shift, 0.0)
    deviation = step * np.sqrt(np.maximum(1.0 - top, 1e-3) / curvature / np.minimum(np.maximum(pair_weight, 1e-3), 1.5))
    return Heights(height.astype(np.float32), np.where(good, deviation, np.inf).astype(np.float32), top.astype(np.float32))


def _second_top(scores: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(N,) the highest local maximum over S heights other than the one at `best` (N,); -1 where there is none."""
    padded = np.pad(scores, ((1, 1), (0, 0)), constant_values=-2.0)
    is_top = (scores >= padded[:-2]) & (scores > padded[2:])
    is_top[best, np.arange(scores.shape[1])] = False
    return np.where(is_top, scores, -1.0).max(0)
