"""Eyeballs that fit between the lids of a fitted head.

A fit sees lids and irises but no eyeball: those come from the head model, larger than real ones, and where they are placed only by
what is around them they stand out through the skin at the corners of the eyes. Where the irises are, sideways and in height, is
measured by pictures; depth and size are not, and give way.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from assets.head_model import HeadModel
from assets.lids import from_ball, outer_lids

NEAR_M = 0.003
"""Skin that lies no farther from the eyeball than this on the average head says where the ball is."""
DEPTH_SD_M, SIZE_SD = 0.0007, 0.035
"""How far an eyeball's depth and size (as a share) are from the fitted ones, a priori."""
INSIDE_COSTS = 3.0
"""A lid inside the ball is so much worse than one as far outside of its usual distance."""
TOLERANCE_M = 0.0003
"""Lids that lie deeper in the ball than this, at the twentieth part of them that lies deepest, call for the full correction."""
LEAST_M = 0.0002
"""Skin that is still nearer to the ball than this after it was moved is moved out itself."""


def seated_eyeballs(head: HeadModel, neutral: np.ndarray) -> np.ndarray:
    """(V, 3) float64: a neutral (V, 3) whose eyeballs, where they stood out through the lids, are smaller and moved in depth.

    Both eyes get one change of size about their centres and one shift along Z, by robust least squares of the lids' distance from the
    ball against the average head's; then what skin is left inside is moved out. Nothing changes where the lids are clear of the
    balls, as on the average head. The centres keep their X and Y, so that the distance between the pupils stays.
    """
    seats = [_Seat(ball, lid, head.vertices, neutral) for ball, lid, _ in outer_lids(head)]
    moved = neutral.astype(np.float64, copy=True)
    lids = [seat for seat in seats if len(seat.lid)]
    if not lids:
        return moved
    need = -float(np.percentile(np.concatenate([seat.clearance(0.0, 1.0) for seat in lids]), 5)) / TOLERANCE_M
    if need <= 0:
        return moved
    scale = np.array([DEPTH_SD_M, SIZE_SD])
    found = least_squares(_residuals, np.zeros(2), loss="soft_l1", kwargs={"lids": lids, "scale": scale}).x * scale
    depth, size = min(need, 1.0) * found
    for seat in lids:
        centre = moved[seat.ball].mean(0)
        moved[seat.ball] = centre + (moved[seat.ball] - centre) * (1 + size) + (0, 0, depth)
    for ball, lid, _ in outer_lids(head):
        centre = moved[ball].mean(0)
        direction, distance, radius = from_ball(moved[ball] - centre, moved[lid] - centre)
        moved[lid] += np.maximum(radius + LEAST_M - distance, 0.0)[:, None] * direction
    return moved


class _Seat:
    """One eyeball and the skin before it."""

    def __init__(self, ball: np.ndarray, lid: np.ndarray, average: np.ndarray, neutral: np.ndarray) -> None:
        self.ball, points = ball, neutral.astype(np.float64)
        usual = _clearance(average[ball] - average[ball].mean(0), average[lid] - average[ball].mean(0))
        self.lid, self.usual = lid[usual < NEAR_M], usual[usual < NEAR_M]
        centre = points[ball].mean(0)
        self._ball, self._lid = points[ball] - centre, points[self.lid] - centre

    def clearance(self, depth_m: float, size: float) -> np.ndarray:
        """(N,) metres of the lids' skin outside the ball after a shift of the ball and a change of its size."""
        return _clearance(self._ball * size, self._lid - (0, 0, depth_m))


def _clearance(ball: np.ndarray, points: np.ndarray) -> np.ndarray:
    _, distance, radius = from_ball(ball, points)
    return distance - radius


def _residuals(x: np.ndarray, lids: list[_Seat], scale: np.ndarray) -> np.ndarray:
    """Deviations of the lids from their usual distance in millimetres, and of depth and size in standard deviations."""
    depth, size = x * scale
    deviations = 1000 * np.concatenate([seat.clearance(depth, 1 + size) - seat.usual for seat in lids])
    return np.concatenate([np.where(deviations < 0, INSIDE_COSTS, 1.0) * deviations, np.sqrt(0.15 * len(deviations)) * x])
