"""What level rays see of a head: which part lies in front, from any side."""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.head_model import PARTS, HeadModel
from render.head_pose import HeadPose, head_pose_matrix
from render.rasterize.embree import RayScene


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """A picture in parallel projection."""

    parts: np.ndarray
    """(rows, columns) uint8 into PARTS, row 0 at the top."""
    is_back: np.ndarray
    """(rows, columns) bool: the surface turns its inside to the viewer."""
    step_mm: float

    def shows(self, *names: str) -> np.ndarray:
        """(rows, columns) bool: pixels of these parts."""
        return np.isin(self.parts, [PARTS.index(name) for name in names])

    def area_mm2(self, *names: str) -> float:
        """Area of these parts in the picture."""
        return float(self.shows(*names).sum()) * self.step_mm**2


class Looker:
    """One posed head, to be looked at from several sides; without its lashes, which would hide what lids leave open."""

    def __init__(self, head: HeadModel, vertices: np.ndarray) -> None:
        self._vertices = np.asarray(vertices, np.float64)
        is_seen = head.triangle_parts != PARTS.index("lashes")
        self._triangles, self._parts = head.triangles[is_seen], head.triangle_parts[is_seen]
        self._scene = RayScene(self._vertices, self._triangles)

    def look(
        self, centre: np.ndarray, half_mm: tuple[float, float], *, yaw_deg: float = 0, pitch_deg: float = 0, step_mm: float = 0.2
    ) -> Look:
        """The square around a point of the head, seen so that the head appears turned to this yaw and pitch."""
        turn = head_pose_matrix(HeadPose(yaw_deg, pitch_deg)).T
        x = np.arange(-half_mm[0], half_mm[0], step_mm) + step_mm / 2
        y = np.arange(half_mm[1], -half_mm[1], -step_mm) - step_mm / 2
        grid = np.stack(np.broadcast_arrays(x[None], y[:, None], 300.0), -1) / 1000
        direction = turn @ (0.0, 0.0, -1.0)
        hits = self._scene.cast(grid.reshape(-1, 3) @ turn.T + centre, np.broadcast_to(direction, (grid[..., 0].size, 3)))
        triangle = np.maximum(hits.triangle_index, 0)
        corners = self._vertices[self._triangles[triangle]]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        is_hit = hits.triangle_index >= 0
        parts = np.where(is_hit, self._parts[triangle], 0).astype(np.uint8)
        is_back = is_hit & (normal @ direction > 0)
        return Look(parts.reshape(grid.shape[:2]), is_back.reshape(grid.shape[:2]), step_mm)


def longest_columns_mm(mask: np.ndarray, step_mm: float) -> float:
    """The greatest height of a mask in any column: how far open a slit is."""
    return float(mask.sum(0).max(initial=0)) * step_mm


def beside_longest_run(mask: np.ndarray) -> int:
    """Pixels that do not belong to the longest run of their column: holes through which something shows beside its opening."""
    extra = 0
    for column in mask.T[mask.any(0)]:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], column.astype(np.int8), [0]])))
        lengths = edges[1::2] - edges[::2]
        extra += int(lengths.sum() - lengths.max())
    return extra
