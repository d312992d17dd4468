"""Matches beside hair, beard or cloth, by the colour of the very pixels that they join: a vertex may be skin and a view's pixel not.

A beard stands off the skin and hides some of the cheek above it from each side. There most views show skin, so the place counts as skin
(recon/solve/unlike_skin.py), but the pairs of views from further aside match the beard's edge, which then bulges out of the cheek.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from scipy.spatial import KDTree

from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Matches
from recon.solve.skin_colour import SkinColour, smoothed_colour

BESIDE_M = 0.012
"""So far from what is not skin matches are judged by their own pixels; further away a dark spot is a mole."""


def beside_unlike(vertices: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices (V, 3) within BESIDE_M of one that is not skin (V,)."""
    if not unlike.any():
        return np.zeros(len(vertices), bool)
    return KDTree(vertices[unlike]).query(vertices, distance_upper_bound=BESIDE_M)[0] < BESIDE_M


def furthest_from_skin(
    matches: Sequence[Matches], pictures: Sequence[WorkingPicture], colours: Mapping[int, SkinColour], judged: np.ndarray
) -> list[np.ndarray]:
    """Per pair of views (N,) float64: the larger distance of a match's two pixels from the skin's colour in their views.

    0 for matches that are not judged: on fewer than half of their corners by `judged` (V,) bool, and in views whose skin is unknown.
    """
    pixels: dict[int, np.ndarray] = {}
    out = []
    for m in matches:
        chosen = np.flatnonzero((judged[m.samples.corners] * m.samples.barycentric).sum(1) > 0.5)
        distance = np.zeros(len(m.px_a))
        for view, px in ((m.view_a, m.px_a), (m.view_b, m.px_b)):
            if len(chosen) and view in colours:
                if view not in pixels:
                    pixels[view] = smoothed_colour(pictures[view])
                distance[chosen] = np.maximum(distance[chosen], colours[view].distance(_read(pixels[view], px[chosen])))
        out.append(distance)
    return out


def weighed(matches: Sequence[Matches], factors: Sequence[np.ndarray]) -> list[Matches]:
    """The matches, each pair's weights times its factors (N,)."""
    return [dataclasses.replace(m, weight=m.weight * factor) for m, factor in zip(matches, factors, strict=True)]


def _read(picture: np.ndarray, px: np.ndarray) -> np.ndarray:
    """(N, 3) levels at points (N, 2)."""
    # cv2 counts pixel centres at 0, we at +0.5.
    at = (px - 0.5).astype(np.float32)
    return cv2.remap(picture, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
