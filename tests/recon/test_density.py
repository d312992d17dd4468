"""The free-form stage smooths as much on a dense mesh as on a coarse one of the same surface."""

from __future__ import annotations

import numpy as np
import pytest

from recon.solve import freeform
from recon.solve.freeform import FreeFormStage, PointRows, bending_factor, solve_offsets
from tests.recon.toy_head import toy_head

COARSE, DENSE = toy_head(24, 32), toy_head(48, 64)
NUM_MATCHES = 2000
PX_PER_M = 1000.0


def error_mm(head, monkeypatch: pytest.MonkeyPatch, factor: float | None = None) -> float:
    """Mean distance of the solved offsets from a known dent 1 mm deep, from matches with 0.5 px of noise."""
    rng = np.random.default_rng(2)
    face = np.flatnonzero((head.vertex_regions[head.triangles] == 1).all(1) & (head.triangle_parts == 1))
    corners = head.vertices[head.triangles[face]].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(face), NUM_MATCHES, p=area / area.sum())
    barycentric = rng.dirichlet((1, 1, 1), NUM_MATCHES)
    points = np.einsum("nk,nkc->nc", barycentric, corners[chosen])
    noise = rng.normal(0, 0.5, (NUM_MATCHES, 2))
    rows = PointRows(
        corners=head.triangles[face][chosen].astype(np.int64),
        barycentric=barycentric,
        d_point=np.tile(PX_PER_M * np.eye(2, 3), (NUM_MATCHES, 1, 1)),
        residual=PX_PER_M * dent(points)[:, :2] + noise,
        weight=np.ones(NUM_MATCHES),
    )
    if factor is not None:
        monkeypatch.setattr(freeform, "bending_factor", lambda head: factor)
    offsets = solve_offsets(head, rows, np.zeros_like(head.vertices), FreeFormStage())
    found = np.einsum("nk,nkc->nc", barycentric, offsets[rows.corners])
    return 1e3 * float(np.linalg.norm((found - dent(points))[:, :2], axis=1).mean())


def dent(points: np.ndarray) -> np.ndarray:
    """(N, 3) metres: up to 1 mm to the subject's left, 3 cm wide."""
    size = np.exp(-0.5 * (np.linalg.norm(points - (0.02, -0.03, 0.0), axis=1) / 0.03) ** 2)
    return 1e-3 * size[:, None] * (1.0, 0.0, 0.0)


def test_stiffness_grows_with_the_square_of_the_density():
    assert bending_factor(DENSE) / bending_factor(COARSE) == pytest.approx(16, rel=0.1)


def test_a_dent_under_noise_is_found_as_well_on_a_mesh_four_times_as_dense(monkeypatch):
    coarse, dense = error_mm(COARSE, monkeypatch), error_mm(DENSE, monkeypatch)
    assert dense < 1.25 * coarse and coarse < 0.3
    assert error_mm(DENSE, monkeypatch, factor=bending_factor(COARSE)) > 1.3 * dense, "as soft as that it follows the noise"
