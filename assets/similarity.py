"""Similarities: rotation, shift and one size for all; found in closed form between matching points."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale R x + t."""

    scale: float
    R: np.ndarray
    """(3, 3) rotation."""
    t: np.ndarray
    """(3,) in the target's unit."""

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points (N, 3) of the source in the target's frame."""
        return self.scale * points @ self.R.T + self.t

    def matrix(self) -> np.ndarray:
        """(4, 4) of the same."""
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = self.scale * self.R, self.t
        return T


def fit_similarity(source: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None) -> Similarity:
    """The similarity that best moves source (N, 3) onto target (N, 3) in least squares, weighted by (N,) where given.

    Reference: Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991. The rotation is also
    the best one without a size (Kabsch, 1976).
    """
    w = np.full(len(source), 1.0 / len(source)) if weight is None else weight / weight.sum()
    mean_a, mean_b = w @ source, w @ target
    a, b = source - mean_a, target - mean_b
    u, d, vt = np.linalg.svd((a * w[:, None]).T @ b)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    R = vt.T @ np.diag(sign) @ u.T
    scale = float((d * sign).sum() / (w @ (a**2).sum(1)))
    return Similarity(scale, R, mean_b - scale * R @ mean_a)
