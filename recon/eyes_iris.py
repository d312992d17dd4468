"""Where the iris is in the picture of an eyeball: the circle across which it gets brighter the most.

After Daugman, "High confidence visual recognition of persons by a test of statistical independence", IEEE PAMI 1993: the limbus
is the circle whose contour integral changes the most with the radius. Here by sectors, each bounded, so that lashes, a highlight or a
lid's edge cannot outweigh the rest of the rim; with the radius that irises have; and near where the fit puts it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.eyes_chart import sample_chart

WIDE, NARROW, FINE = (0.10, 0.18), (0.05, 0.09), (0.02, 0.05)
"""How far on both sides of a rim it is sampled, in iris radii, for finding it and for placing it: the limbus is half a millimetre wide."""
_ANGLES = np.radians(np.arange(5.0, 360.0, 10.0))
_LID_SHARE = 0.15
"""Weight of sectors within 45 degrees of the vertical, where lids cut the rim and imitate it."""
CAP = 0.35
"""A sector counts no more than so much contrast, as a share of the eye's white; twice that for placing a rim that was found."""
RANGE_DEG, SD_DEG = 21.0, 8.0
"""How far from the fit's gaze the iris is looked for, and how far off a fitted gaze usually is."""
RADIUS_SD = 0.06
"""Irises' radii differ by this share, the size of a relative head included."""
PULL = 0.012
"""Contrast that one standard deviation of gaze or radius is worth."""
PUPIL_DEPTH = 0.6
"""Darker than this share of the iris's brightness is pupil."""
MIN_CONTRAST, MIN_SEEN = 0.07, 0.2
"""Mean contrast of the rim, and share of its weight that must be seen, for an iris to be believed."""


@dataclasses.dataclass(frozen=True, eq=False)
class FoundIris:
    """The rim of an iris on an eyeball's chart."""

    angles_rad: np.ndarray
    """(2,) its centre: radians to the right and up from the direction in which the chart's eye looks."""
    radius_rad: float
    contrast: float
    """Mean step of brightness across the rim, as a share of the white's."""
    seen: float
    """Share of the rim that was seen, in [0, 1], its upper and lower parts counting less."""


def find_iris(brightness: np.ndarray, trust: np.ndarray, radius_rad: float) -> FoundIris | None:
    """The iris on a chart's picture; None where no circle of its size stands out (closed or hidden eyes).

    Args:
        brightness: (S, S) float32, best the red channel in a perceptual scale: skin and white are bright in it, irises dark.
        trust: (S, S) float32 in [0, 1], 0 where the eyeball cannot be seen.
        radius_rad: expected angular radius.
    """
    seen = trust > 0.2
    if seen.sum() < 100:
        return None
    scaled = brightness / max(float(np.percentile(brightness[seen], 75)), 1e-3)
    grid = np.radians(np.linspace(-RANGE_DEG, RANGE_DEG, 25))
    best = _best(scaled, trust, _candidates(grid, grid, radius_rad * np.linspace(0.9, 1.1, 3)), radius_rad)
    contrast, share = best[3:]
    for step_deg, radii, bands, cap in (
        (0.5, 0.03, WIDE, CAP),
        (0.4, 0.025, NARROW, 2 * CAP),
        (0.25, 0.015, FINE, 2 * CAP),
        (0.1, 0.006, FINE, 2 * CAP),
    ):
        offsets = np.radians(step_deg) * np.arange(-2, 3)
        around = _candidates(best[0] + offsets, best[1] + offsets, best[2] * (1 + radii * np.arange(-2, 3)))
        best = _best(scaled, trust, around, radius_rad, bands, cap)
    x, y, radius = best[:3]
    y += _pupil_above(scaled, trust, best[:3])
    if contrast < MIN_CONTRAST or share < MIN_SEEN or np.hypot(x, y) > np.radians(RANGE_DEG):
        return None
    return FoundIris(np.array([x, y]), float(radius), float(contrast), float(share))


def _candidates(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(K, 3) all combinations of places and radii."""
    return np.stack(np.meshgrid(x, y, radius, indexing="ij"), -1).reshape(-1, 3)


def _best(
    brightness: np.ndarray,
    trust: np.ndarray,
    candidates: np.ndarray,
    radius_rad: float,
    bands: tuple[float, ...] = WIDE,
    cap: float = CAP,
) -> np.ndarray:
    """(5,) the best of candidates (K, 3): x, y, radius, contrast and share of the rim seen."""
    contrast, share = rim_contrast(brightness, trust, candidates, bands, cap)
    offset = np.hypot(candidates[:, 0], candidates[:, 1]) / np.radians(SD_DEG)
    strange = (candidates[:, 2] / radius_rad - 1) / RADIUS_SD
    # The contrast of a rim that is hardly seen is hardly known.
    worth = contrast * np.minimum(share / 0.5, 1) - PULL * (offset**2 + strange**2) / 2
    index = int(worth.argmax())
    return np.array([*candidates[index], contrast[index], share[index]])


def rim_contrast(
    brightness: np.ndarray, trust: np.ndarray, circles: np.ndarray, bands: tuple[float, ...] = WIDE, cap: float = CAP
) -> tuple[np.ndarray, np.ndarray]:
    """(K,) mean bounded step across the rims of circles (K, 3: x, y, radius in radians), and (K,) the share of them that is seen."""
    around = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1).astype(np.float32)
    shares = np.array([*(1 - band for band in bands), *(1 + band for band in bands)], np.float32)
    reach = circles[:, 2, None, None].astype(np.float32) * shares[:, None]
    places = circles[:, None, None, :2].astype(np.float32) + reach[..., None] * around
    values = sample_chart(np.dstack([brightness, trust]), places)
    half = len(bands)
    step = values[:, half:, :, 0].mean(1) - values[:, :half, :, 0].mean(1)
    sideways = np.where(np.abs(np.cos(_ANGLES)) > np.sqrt(0.5), 1.0, _LID_SHARE)
    weight = sideways * values[..., 1].min(1)
    total = weight.sum(1)
    return (weight * np.clip(step, -cap, cap)).sum(1) / np.maximum(total, 1e-6), total / sideways.sum()


def _pupil_above(brightness: np.ndarray, trust: np.ndarray, circle: np.ndarray) -> float:
    """By how many radians the pupil lies above the middle of a circle (x, y, radius); 0 where it cannot be told from the iris.

    Lids hide the iris above and below, and its circle slides between them; the pupil they seldom touch. Of the dark spot only the outline
    to the left and right counts, row by row, so that a reflection within it does no harm.
    """
    across = np.linspace(-0.7, 0.7, 57)
    x, y = np.meshgrid(across, across)
    values = sample_chart(np.dstack([brightness, trust]), circle[:2] + circle[2] * np.stack([x, y], -1))
    inside = (values[..., 1] > 0.1) & (np.hypot(x, y) < 0.7)
    ring = inside & (np.hypot(x, y) > 0.5)
    if ring.sum() < 100:
        return 0.0
    dark = inside & (values[..., 0] < PUPIL_DEPTH * np.median(values[..., 0][ring]))
    widths = np.where(dark.any(1), x[0][len(across) - 1 - dark[:, ::-1].argmax(1)] - x[0][dark.argmax(1)], 0)
    # A pupil is a quarter to half of the iris wide; less is a lash or noise, more a shadow.
    if not 0.35 < widths.max() < 1.1 or dark[:, 0].any() or dark[ring].mean() > 0.15:
        return 0.0
    return float(circle[2] * (widths**2 * across).sum() / (widths**2).sum())
