"""Smooth deterministic noise over positions: what pigment, pores, veins and bumps of the sample person are made of."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.ndimage import map_coordinates

_LATTICE = np.random.default_rng(20260101).standard_normal((48, 48, 48)).astype(np.float32)


def noise(points_mm: np.ndarray, wavelength_mm: float, *, seed: int = 0) -> np.ndarray:
    """(N,) value noise of about zero mean and unit variance at (N, 3) positions; equal for equal positions.

    Lattice cells are half a wavelength wide; cubic fading hides the lattice lines.
    """
    offset = np.random.default_rng(seed).uniform(0, 48, 3)
    cells = np.asarray(points_mm, np.float64) * (2 / wavelength_mm) + offset
    whole = np.floor(cells)
    part = cells - whole
    faded = whole + part * part * (3 - 2 * part)
    return 1.6 * map_coordinates(_LATTICE, faded.T, order=1, mode="grid-wrap")


def fractal(points_mm: np.ndarray, wavelength_mm: float, *, octaves: int, seed: int = 0, gain: float = 0.5) -> np.ndarray:
    """(N,) sum of octaves of `noise`, each half the wavelength and `gain` times the amplitude of the one before."""
    total = np.zeros(len(points_mm), np.float32)
    for octave in range(octaves):
        total += gain**octave * noise(points_mm, wavelength_mm / 2**octave, seed=seed + 101 * octave)
    return total


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; `low` may be above `high` to fall instead."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(points_mm: np.ndarray, centre_mm: tuple[float, float, float] | np.ndarray, radius_mm: float) -> np.ndarray:
    """(N,) Gaussian of the distance from a centre; 1 there, 0.61 at one radius."""
    d = points_mm - np.asarray(centre_mm, points_mm.dtype)
    return np.exp(-0.5 * np.einsum("nk,nk->n", d, d) / radius_mm**2)


def distance_to_polyline(points: np.ndarray, polyline: np.ndarray) -> np.ndarray:
    """(N,) distance of (N, D) points from a (P, D) polyline, same unit."""
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(polyline):
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return best
