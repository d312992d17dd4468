"""The free-form stage smooths as much on a dense mesh as on a coarse one of the same surface."""

from __future__ import annotations

import numpy as np
import pytest

from recon.solve import freeform
from recon.solve.freeform import FreeFormStage, skin_area_per_vertex_m2, solve_offsets
from recon.solve.surface_rows import SurfaceRows
from render import vertex_normals
from tests.recon.toy_head import toy_head

COARSE, DENSE = toy_head(24, 32), toy_head(48, 64)
NUM_MATCHES = 2000
PX_PER_M = 1000.0


def error_mm(head, monkeypatch: pytest.MonkeyPatch, area_m2: float | None = None) -> float:
    """Mean distance of the solved offsets from a known bump 1 mm high, from matches with 0.5 px of noise."""
    rng = np.random.default_rng(2)
    face = np.flatnonzero((head.vertex_regions[head.triangles] == 1).all(1) & (head.triangle_parts == 1))
    corners = head.vertices[head.triangles[face]].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(face), NUM_MATCHES, p=area / area.sum())
    barycentric = rng.dirichlet((1, 1, 1), NUM_MATCHES)
    points = np.einsum("nk,nkc->nc", barycentric, corners[chosen])
    # Each match sees motion along the normal, as two cameras to its left and right would.
    normals = np.einsum("nk,nkc->nc", barycentric, vertex_normals(head.vertices, head.triangles)[head.triangles[face]][chosen])
    rows = SurfaceRows(
        corners=head.triangles[face][chosen].astype(np.int64),
        barycentric=barycentric,
        d_point=np.stack([0.8 * PX_PER_M * normals, 0.6 * PX_PER_M * normals], 1),
        residual=PX_PER_M * bump_m(points)[:, None] * (0.8, 0.6) + rng.normal(0, 0.5, (NUM_MATCHES, 2)),
        weight=np.ones(NUM_MATCHES),
        noise=0.5,
        robust=1.0,
    )
    if area_m2 is not None:
        monkeypatch.setattr(freeform, "skin_area_per_vertex_m2", lambda head: area_m2)
    offsets = solve_offsets(head, [rows], np.zeros_like(head.vertices), FreeFormStage(width_m=0.006))
    monkeypatch.undo()
    found = np.einsum("nk,nkc->nc", barycentric, offsets[rows.corners])
    return 1e3 * float(np.abs((found * normals).sum(1) - bump_m(points)).mean())


def bump_m(points: np.ndarray) -> np.ndarray:
    """(N,) metres: up to 1 mm along the normal, 3 cm wide."""
    return 1e-3 * np.exp(-0.5 * (np.linalg.norm(points - (0.02, -0.03, 0.0), axis=1) / 0.03) ** 2)


def test_the_area_per_vertex_falls_with_the_density():
    assert skin_area_per_vertex_m2(COARSE) / skin_area_per_vertex_m2(DENSE) == pytest.approx(4, rel=0.1)


def test_a_bump_under_noise_is_found_as_well_on_a_mesh_four_times_as_dense(monkeypatch):
    coarse, dense = error_mm(COARSE, monkeypatch), error_mm(DENSE, monkeypatch)
    assert dense < 1.25 * coarse and coarse < 0.3
    soft = error_mm(DENSE, monkeypatch, area_m2=skin_area_per_vertex_m2(COARSE))
    assert soft > 1.3 * dense, "as soft as that it follows the noise"
