"""Sweep the calmest instant of a rig: which views, and what comes of it as residuals in the surface."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from assets.drawn import drawn_triangles
from recon.solve.chart import FaceChart
from recon.solve.pictures import WorkingPicture
from recon.solve.problem import Problem, restfulness
from recon.solve.state import HeadState
from recon.solve.surface_rows import SurfaceRows, height_surface_rows
from recon.solve.sweep import Heights, SweepLevel, SweepResult, SweptView, sweep
from recon.solve.unlike_skin import SkinMap
from render import vertex_normals

MIN_CAMERAS = 4
"""An instant that fewer cameras saw is not swept."""
FLOW_SD_M = 5e-4
"""How far the surface that flow left is off where the sweep finds nothing to hold on to."""
# Heights are never believed more than this, and a Cauchy loss of this share of the reach keeps wrong peaks out.
MIN_NOISE_M, ROBUST_SHARE, MIN_ROBUST_M = 5e-5, 0.06, 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Swept:
    """Heights of the skin over the present mesh."""

    chart: FaceChart
    found: SweepResult
    normals: np.ndarray
    """(N, 3) float64 unit normals of the texels on the instant's mesh."""
    level: SweepLevel
    skin: np.ndarray
    """(V,) in [0, 1]: how much each vertex looks and behaves like the person's skin."""

    @property
    def median_mm(self) -> float:
        """Median height of the known texels; nan where there are none."""
        known = self.found.heights.known
        return 1e3 * float(np.median(np.abs(self.found.heights.height_m[known]))) if known.any() else float("nan")

    def rows(self, heights: Heights, stride: int) -> SurfaceRows:
        """Heights (all, kept or held out) as residuals in the surface point."""
        robust = max(MIN_ROBUST_M, ROBUST_SHARE * 1e-3 * self.level.reach_mm)
        rows = height_surface_rows(self.chart, heights, self.normals, stride=stride, noise_m=MIN_NOISE_M, robust_m=robust)
        return dataclasses.replace(rows, weight=rows.weight * self._trust(rows.corners, rows.barycentric))

    def silent_rows(self, before: np.ndarray, present: np.ndarray, stride: int) -> SurfaceRows:
        """Where views show skin but agree on no height: the surface found before the sweep, as heights over the present one.

        Without them modes that fit the heights beside swing freely there. `before` and `present` are (V, 3) meshes in the present head
        frame.
        """
        on_grid = np.zeros_like(self.chart.mask)
        on_grid[::stride, ::stride] = True
        chosen = np.flatnonzero(on_grid[self.chart.mask] & self.found.seen & ~self.found.heights.known)
        corners, barycentric, normal = self.chart.corners[chosen], self.chart.barycentric[chosen], self.normals[chosen]
        height = np.einsum("nk,nkc,nc->n", barycentric, (before - present)[corners], normal)
        trust = self._trust(corners, barycentric)
        return SurfaceRows(corners, barycentric, normal[:, None], height[:, None], trust, noise=FLOW_SD_M, robust=2 * FLOW_SD_M)

    def _trust(self, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nk->n", self.skin[corners], barycentric)


def calmest_views(problem: Problem, state: HeadState, views: Sequence[int]) -> list[int]:
    """The views of the instant whose face is nearest to rest among those that at least MIN_CAMERAS of the given views saw."""
    instants = [problem.views[v].instant for v in views]
    shared = [v for v in views if instants.count(problem.views[v].instant) >= MIN_CAMERAS]
    if not shared:
        return []
    trust = restfulness(state, [problem.views[v] for v in shared])
    best = problem.views[shared[int(np.argmax(trust))]].instant
    return [v for v in shared if problem.views[v].instant == best]


def sweep_calm(
    problem: Problem,
    state: HeadState,
    pictures: Sequence[WorkingPicture],
    views: Sequence[int],
    chart: FaceChart,
    level: SweepLevel,
    skin: SkinMap | None = None,
) -> Swept:
    """Sweep the given views of one instant."""
    posed, triangles = problem.posed(state), drawn_triangles(problem.deformable.head)
    seen = [SweptView(posed[v], state.camera_in_head(problem.views[v]), pictures[v].blurred(level.blur_px)) for v in views]
    found = sweep(chart, seen, triangles, problem.landmarks.points(problem.neutral(state)).mean(0), level)
    normals = chart.at_texels(vertex_normals(posed[views[0]], triangles)).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Swept(chart, found, normals, level, np.ones(len(posed[0])) if skin is None else skin.trust)
