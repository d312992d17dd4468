"""FLAME's own parameters of a face that moves: expression coefficients and jaw by least squares onto its basis.

ARKit's one-sided shapes are FLAME's motion times a step across the face (assets/heads/flame_arkit.py), which no coefficient can
say. So the motion as a whole is projected, not each shape: a left smile alone comes out as far as FLAME itself has one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.heads.flame_arkit import SETTLED_RAD, STILL_M, MappingSettings
from assets.heads.flame_rig import JawRig

STEP_RAD = 1e-4
"""Step of the jaw by which its motion is differentiated."""


@dataclasses.dataclass(frozen=True, eq=False)
class FlameMotion:
    """One face's motion in FLAME's terms."""

    expression: np.ndarray
    """(100,) coefficients in standard deviations."""
    jaw_rad: np.ndarray
    """(3,) rotation vector of the jaw joint: x opens, y turns to the subject's left, z tilts."""
    left_over_m: np.ndarray
    """(n, 3) metres of the motion that FLAME cannot show with these."""


def fit_flame_motion(rig: JawRig, motion: np.ndarray, weights: np.ndarray, settings: MappingSettings) -> FlameMotion:
    """Coefficients and jaw for a motion (n, 3) in metres of the rig's vertices, each counted by a weight (n,).

    Gauss-Newton on expression and jaw together; a coefficient of one costs as much as `settings.ridge_share` of the motion's root
    mean square left over, and the jaw keeps to the settings' bounds.
    """
    share = weights / weights.sum()
    size = max(float(np.sqrt((share * (motion**2).sum(1)).sum())), STILL_M)
    low, high = np.radians(settings.jaw_bounds_deg).T
    coefficients, jaw = np.zeros(len(rig.expression)), np.zeros(3)
    for _ in range(settings.jaw_steps):
        columns, moved = _columns(rig, coefficients, jaw), rig.offsets(coefficients, jaw)
        scaled = columns * np.sqrt(share)[:, None]
        flat = scaled.reshape(len(columns), -1)
        normal = flat @ flat.T
        normal[np.arange(len(coefficients)), np.arange(len(coefficients))] += (settings.ridge_share * size) ** 2
        # The jaw's motion is of the order of a decimetre a radian: this holds it only where nothing else does.
        normal[range(-3, 0), range(-3, 0)] += 1e-9
        slope = flat @ ((motion - moved) * np.sqrt(share)[:, None]).ravel()
        slope[: len(coefficients)] -= (settings.ridge_share * size) ** 2 * coefficients
        step = np.linalg.solve(normal, slope)
        turned = np.clip(jaw + step[-3:], low, high)
        coefficients, change, jaw = coefficients + step[:-3], np.abs(turned - jaw).max(), turned
        if change < SETTLED_RAD:
            break
    return FlameMotion(coefficients, jaw, motion - rig.offsets(coefficients, jaw))


def _columns(rig: JawRig, coefficients: np.ndarray, jaw: np.ndarray) -> np.ndarray:
    """(103, n, 3) motion by one unit of each coefficient and of each angle of the jaw, in radians."""
    turned = [
        (rig.offsets(coefficients, jaw + step) - rig.offsets(coefficients, jaw - step)) / (2 * STEP_RAD) for step in STEP_RAD * np.eye(3)
    ]
    return np.concatenate([rig.expression_under(jaw), np.stack(turned)])
