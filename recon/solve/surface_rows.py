"""What was measured on the skin, as linear residuals in the surface point: matches of two views, heights of the sweep."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.chart import FaceChart
from recon.solve.problem import Matches, Problem, restfulness
from recon.solve.residuals import match_rows, project
from recon.solve.state import HeadState
from recon.solve.sweep import Heights
from render import vertex_normals


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceRows:
    """N linearised measurements of R residuals each, by the surface point alone (cameras and expressions held)."""

    corners: np.ndarray
    """(N, 3) vertex indices."""
    barycentric: np.ndarray
    """(N, 3)."""
    d_point: np.ndarray
    """(N, R, 3) derivative of the prediction by the point, units of the residual per metre."""
    residual: np.ndarray
    """(N, R) observed minus predicted, in the measurement's own unit (px, m)."""
    weight: np.ndarray
    """(N,) in [0, 1]: relative confidence."""
    noise: float
    """Standard deviation of a residual of weight 1, in its own unit; weighs kinds of measurement against each other."""
    robust: float
    """Scale of the Cauchy loss, in the residual's own unit."""

    def taken(self, chosen: np.ndarray) -> SurfaceRows:
        """The measurements of an index or mask over N."""
        fields = (self.corners, self.barycentric, self.d_point, self.residual, self.weight)
        return SurfaceRows(*(field[chosen] for field in fields), noise=self.noise, robust=self.robust)

    def counted(self) -> SurfaceRows:
        """The measurements of some weight: those of none (hair, cloth) must not stand for the typical one."""
        return self.taken(self.weight > 0)


def match_surface_rows(problem: Problem, state: HeadState, matches: list[Matches], *, noise_px: float, robust_px: float) -> SurfaceRows:
    """The matches' residuals (R = 2, px) and their derivative by the surface point."""
    posed, triangles = problem.posed(state), problem.deformable.head.triangles
    normals = {v: vertex_normals(posed[v], triangles) for v in sorted({m.view_a for m in matches})}
    seen, parts = sorted({v for m in matches for v in (m.view_a, m.view_b)}), []
    calm = dict(zip(seen, restfulness(state, [problem.views[v] for v in seen]), strict=True))
    for m in matches:
        a = project(m.samples.points(posed[m.view_a]), state, problem.views[m.view_a])
        b = project(m.samples.points(posed[m.view_b]), state, problem.views[m.view_b])
        normal = m.samples.points(normals[m.view_a])
        rows = match_rows(m.px_a, m.px_b, a, b, normal / np.linalg.norm(normal, axis=1, keepdims=True))
        d_point = rows.rows_a @ a.d_point + rows.rows_b @ b.d_point
        parts.append((m.samples.corners, m.samples.barycentric, d_point, rows.residual, m.weight * min(calm[m.view_a], calm[m.view_b])))
    return SurfaceRows(*(np.concatenate(column) for column in zip(*parts, strict=True)), noise=noise_px, robust=robust_px)


def height_surface_rows(
    chart: FaceChart, heights: Heights, normals: np.ndarray, *, stride: int, noise_m: float, robust_m: float
) -> SurfaceRows:
    """The sweep's heights (R = 1, metres) along unit normals (N, 3) at every stride-th texel of the chart."""
    on_grid = np.zeros_like(chart.mask)
    on_grid[::stride, ::stride] = True
    chosen = np.flatnonzero(on_grid[chart.mask] & heights.known)
    confidence = 1.0 / np.square(heights.sd_m[chosen].astype(np.float64))
    return SurfaceRows(
        corners=chart.corners[chosen],
        barycentric=chart.barycentric[chosen],
        d_point=normals[chosen, None].astype(np.float64),
        residual=heights.height_m[chosen, None].astype(np.float64),
        weight=confidence / max(float(confidence.max(initial=0.0)), 1e-30),
        noise=noise_m,
        robust=robust_m,
    )
