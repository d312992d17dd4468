"""FLAME's own motion: expression components, and the jaw by linear blend skinning with pose correctives."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from assets.heads.flame_source import JAW, FlameSource


class JawRig:
    """The average head under expression coefficients and a turn of the jaw; everything else of FLAME's pose stays at rest.

    With p = template + expression + correctives(R) a vertex of jaw weight w comes to (1 - w) p + w (J + R (p - J)): equations 2
    to 5 of Li et al. 2017 for a single turned joint, J being the jaw joint of the average head.
    """

    def __init__(self, source: FlameSource, rows: np.ndarray | None = None) -> None:
        """`rows`: the vertices to compute, all by default."""
        rows = np.arange(len(source.template)) if rows is None else rows
        self._rest = source.template[rows]
        self._weight = source.skinning[rows, JAW]
        self._joint = source.joints[JAW]
        first = 9 * (JAW - 1)
        self._correctives = source.pose_directions[first : first + 9, rows]
        self.expression = np.ascontiguousarray(source.expression_directions[:, rows])

    def expression_under(self, turn_rad: np.ndarray) -> np.ndarray:
        """(100, V, 3) motion by each expression component while the jaw is turned by a rotation vector (3,)."""
        if not turn_rad.any():
            return self.expression
        change = Rotation.from_rotvec(turn_rad).as_matrix() - np.eye(3)
        return self.expression + self._weight[:, None] * (self.expression @ change.T)

    def jaw_offsets(self, turn_rad: np.ndarray) -> np.ndarray:
        """(V, 3) displacement by the jaw alone."""
        change = Rotation.from_rotvec(turn_rad).as_matrix() - np.eye(3)
        corrected = self._rest + np.tensordot(change.ravel(), self._correctives, 1)
        return corrected - self._rest + self._weight[:, None] * ((corrected - self._joint) @ change.T)

    def offsets(self, coefficients: np.ndarray, turn_rad: np.ndarray) -> np.ndarray:
        """(V, 3) displacement for expression coefficients (100,) and a turn of the jaw."""
        change = Rotation.from_rotvec(turn_rad).as_matrix() - np.eye(3)
        expression = np.tensordot(coefficients, self.expression, 1)
        return expression + self._weight[:, None] * (expression @ change.T) + self.jaw_offsets(turn_rad)
