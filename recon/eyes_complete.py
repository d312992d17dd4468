"""What the lids hide of an eye: the iris goes on around itself, the white goes on evenly and reddens towards the back."""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np

from recon.eyes_blend import EyePicture
from recon.eyes_chart import STEP_DEG, grid_directions, sample_chart
from recon.texture_fill import push_pull

PUPIL_SHARE = 0.36
"""Pupil radius as a share of the iris's, indoors, where the pictures do not tell."""
SCLERA_LINEAR = np.array([0.66, 0.60, 0.56], np.float32)
IRIS_LINEAR = np.array([0.10, 0.055, 0.03], np.float32)
PUPIL_LINEAR = np.array([0.006, 0.005, 0.005], np.float32)
GAMMA = 2.2
IRIS_REACH = 1.2
"""The ring of the iris goes so far, in iris radii: the limbus included."""
_RINGS, _SECTORS = 60, 256
_KNOWN = 0.15
"""Where an eye was seen this well it is known."""
PLAIN_PULL = 0.02
"""Weight of the plain white against the neighbours' where nothing was seen: what is near goes on, what is far is plain."""


@dataclasses.dataclass(frozen=True, eq=False)
class EyeColours:
    """Measured where the eye was seen, else the defaults above."""

    sclera_linear: np.ndarray
    """(3,) the white in even light."""
    iris_linear: np.ndarray
    """(3,) median of the iris's ring between pupil and rim."""
    pupil_share: float
    """Pupil radius over iris radius."""
    radius_rad: float
    """Angular radius of the iris about the eyeball's centre."""
    measured: bool
    """Whether pictures show this eye."""


def measure_colours(picture: EyePicture, radius_rad: float) -> EyeColours:
    """White, iris and pupil of a blended eye."""
    radius, _ = polar_grid(radius_rad)
    known = picture.seen > _KNOWN
    ring = known & (radius > 0.55) & (radius < 0.85)
    white = known & (radius > 1.2) & (radius < 2.2)
    iris = np.median(picture.colour_linear[ring], 0) if ring.sum() > 50 else IRIS_LINEAR
    sclera = _bright_half(picture.colour_linear[white]) if white.sum() > 50 else np.maximum(2.5 * iris.mean(), 0.3) * SCLERA_LINEAR
    return EyeColours(sclera, iris, _pupil_share(picture.colour_linear.mean(-1), known, radius, float(iris.mean())), radius_rad, True)


def polar_grid(radius_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) distance from the eye's axis in iris radii, and direction in radians, 0 at +X and positive upwards."""
    directions = grid_directions()
    return np.arccos(np.clip(directions[..., 2], -1, 1)) / radius_rad, np.arctan2(directions[..., 1], directions[..., 0])


def complete_eye(picture: EyePicture, colours: EyeColours) -> np.ndarray:
    """(S, S, 3) float32 linear: the blended eye with what no picture shows filled in, on its chart."""
    radius, _ = polar_grid(colours.radius_rad)
    trust = np.clip(picture.seen / (2 * _KNOWN), 0, 1)
    code = np.maximum(picture.colour_linear, 0) ** (1 / GAMMA)
    white = _complete_white(code, np.where(radius > 1.08, trust, 0), colours, radius)
    iris = _on_grid(_complete_ring(*_unrolled(code, trust, colours.radius_rad)), radius, colours)
    iris = _with_pupil(iris, radius, colours)
    outside = smooth(radius, 1.05, 1.17)[..., None]
    return ((outside * white + (1 - outside) * iris) ** GAMMA).astype(np.float32)


def plain_eye(colours: EyeColours, seed: int) -> np.ndarray:
    """(S, S, 3) float32 linear: pupil, iris with radial fibres and a dark rim, white that reddens to the back."""
    radius, angle = polar_grid(colours.radius_rad)
    phases = np.random.default_rng(seed).uniform(0, 6.28, 3)
    fibres = sum(a * np.sin(n * angle + p) for n, a, p in zip((23, 41, 67), (0.10, 0.08, 0.06), phases, strict=True))
    rim = 1 - 0.55 * smooth(radius, 0.78, 1.0)
    glow = 1.15 - 0.3 * smooth(radius, colours.pupil_share, 0.8)
    iris = colours.iris_linear * ((1 + fibres) * rim * glow)[..., None]
    iris = _with_pupil(iris ** (1 / GAMMA), radius, colours) ** GAMMA
    outside = smooth(radius, 0.94, 1.06)[..., None]
    return (outside * plain_white(colours, radius) + (1 - outside) * iris).astype(np.float32)


def plain_white(colours: EyeColours, radius: np.ndarray) -> np.ndarray:
    """(..., 3) the white at distances (...,) in iris radii: redder to the back, where the conjunctiva is."""
    back = smooth(radius, 2.7, 4.6)[..., None]
    return colours.sclera_linear * (1 - back * np.array([0.15, 0.4, 0.42], np.float32))


def smooth(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """Smoothstep from 0 at start to 1 at end, which may lie below start."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _bright_half(colours: np.ndarray) -> np.ndarray:
    """Median colour of the brighter half: lashes and the lid's shadow darken the other one."""
    level = colours.mean(1)
    return np.median(colours[level >= np.median(level)], 0)


def _pupil_share(light: np.ndarray, known: np.ndarray, radius: np.ndarray, iris: float) -> float:
    """Where the radial profile rises the most between pupil and iris; the default where it hardly rises (dark irises, small pictures)."""
    edges = np.linspace(0, 0.9, 31)
    profile = np.array([
        np.quantile(light[mine], 0.4) if (mine := known & (radius >= a) & (radius < b)).sum() > 5 else np.nan
        for a, b in itertools.pairwise(edges)
    ])  # fmt: skip
    if np.isnan(profile[:25]).any():
        return PUPIL_SHARE
    rise = np.convolve(profile, (1, 1, 0, -1, -1), "valid")
    middle = 0.5 * (edges[2:-3] + edges[3:-2])
    allowed = (middle > 0.2) & (middle < 0.65)
    if profile[:5].min() > 0.75 * iris:
        return PUPIL_SHARE
    return float(middle[allowed][rise[allowed].argmax()])


def _unrolled(code: np.ndarray, trust: np.ndarray, radius_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """The iris as (_RINGS, _SECTORS, 3) rings and sectors, and how far each is known."""
    away, angle = np.meshgrid(_ring_radii() * radius_rad, _sector_angles(), indexing="ij")
    values = sample_chart(np.dstack([code * trust[..., None], trust]), np.stack([away * np.cos(angle), away * np.sin(angle)], -1))
    return values[..., :3] / np.maximum(values[..., 3:], 1e-6), values[..., 3]


def _ring_radii() -> np.ndarray:
    return IRIS_REACH * (np.arange(_RINGS) + 0.5) / _RINGS


def _sector_angles() -> np.ndarray:
    return 2 * np.pi * np.arange(_SECTORS) / _SECTORS


def _complete_ring(rings: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Unknown sectors get each ring's own mean colour, and the texture of the iris turned about its centre to where it is known.

    A turned copy has the fibres' direction and density right and, other than a mirrored one, no axis of symmetry that the eye catches.
    """
    mean = (rings * known[..., None]).sum(1, keepdims=True) / np.maximum(known.sum(1), 1e-6)[:, None, None]
    unseen = known.sum(1) < 2
    if unseen.all():
        return rings
    indices = np.arange(_RINGS)
    for channel in range(3):
        mean[unseen, 0, channel] = np.interp(indices[unseen], indices[~unseen], mean[~unseen, 0, channel])
    detail, share = (rings - mean) * known[..., None], known.copy()
    for _ in range(3):
        shift = max(range(8, _SECTORS - 7, 4), key=lambda s: float(((1 - share) * np.roll(known, s, 1)).sum()))
        more = (1 - share) * np.roll(known, shift, 1)
        # Shading by the lids belongs to its place: only what is finer than a sixth of a turn is copied.
        detail += more[..., None] * _fine(np.roll(rings - mean, shift, 1), np.roll(known, shift, 1))
        share += more
    return np.clip(mean + detail, 0, None)


def _fine(detail: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Detail without its slow change around the iris, by normalised convolution on the closed ring."""
    width = _SECTORS // 6
    both = np.dstack([detail * known[..., None], known])
    padded = np.concatenate([both[:, -2 * width :], both, both[:, : 2 * width]], 1)
    slow = cv2.blur(padded, (width, 3))[:, 2 * width : -2 * width]
    return detail - slow[..., :3] / np.maximum(slow[..., 3:], 1e-3)


def _on_grid(rings: np.ndarray, radius: np.ndarray, colours: EyeColours) -> np.ndarray:
    """(S, S, 3) the unrolled iris back on the chart; beyond its last ring, that ring."""
    angle = polar_grid(colours.radius_rad)[1]
    columns = (angle / (2 * np.pi) % 1) * _SECTORS
    padded = np.concatenate([rings, rings[:, :2]], 1).astype(np.float32)
    row = np.clip(radius / IRIS_REACH * _RINGS - 0.5, 0, _RINGS - 1)
    return cv2.remap(padded, columns.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)


def _with_pupil(code: np.ndarray, radius: np.ndarray, colours: EyeColours) -> np.ndarray:
    """The pupil dark: what is brighter within it is a reflection on the cornea before it."""
    dark = np.minimum(PUPIL_LINEAR, 0.3 * colours.iris_linear) ** (1 / GAMMA)
    limit = dark + 0.35 * (colours.iris_linear ** (1 / GAMMA) - dark)
    inside = smooth(radius, colours.pupil_share * 1.06, colours.pupil_share * 0.8)[..., None]
    return inside * np.minimum(code, limit) + (1 - inside) * code


def _complete_white(code: np.ndarray, trust: np.ndarray, colours: EyeColours, radius: np.ndarray) -> np.ndarray:
    """(S, S, 3) the white as seen, going over into the plain one: what is known of their ratio is spread and fades."""
    plain = np.maximum(plain_white(colours, radius), 1e-3) ** (1 / GAMMA)
    # Near the lids the seen white is in their shadow; that shade must not be spread over all that they hide.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    ratio = np.log(np.maximum(code, 0.02) / plain)
    spread = push_pull(np.clip(ratio, -0.15, 0.1), np.maximum(cv2.erode(trust, kernel), PLAIN_PULL).astype(np.float32) * (trust > 0))
    fade = cv2.GaussianBlur((trust > 0.5).astype(np.float32), (0, 0), 3.0 / STEP_DEG)
    filled = plain * np.exp(spread * np.clip(2 * fade, 0, 1)[..., None])
    return trust[..., None] * code + (1 - trust[..., None]) * filled
