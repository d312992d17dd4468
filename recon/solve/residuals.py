"""Residuals and their derivatives as small pure functions: projected surface points, and matches between two views."""

from __future__ import annotations

import dataclasses

import numpy as np

from recon.solve.state import HeadState, SolveView


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """N points of the surface with everything that moves them, sampled once so that a round needs no vertex arrays."""

    corners: np.ndarray
    """(N, 3) int vertex indices of the triangle that each point lies on; (N, 6) of two for a mean of two such points."""
    barycentric: np.ndarray
    """(N, 3) or (N, 6) float64, sums to 1."""
    modes: np.ndarray
    """(N, 3, M) float32: displacement per unit coefficient."""
    shapes: np.ndarray
    """(N, 3, E) float32: displacement per unit weight."""

    def points(self, vertices: np.ndarray) -> np.ndarray:
        """(N, 3) float64 positions on vertices (V, 3)."""
        return np.einsum("nk,nkc->nc", self.barycentric, vertices[self.corners].astype(np.float64))


def sample_surface(corners: np.ndarray, barycentric: np.ndarray, modes: np.ndarray, shapes: np.ndarray) -> SurfaceSamples:
    """Sample mode (M, V, 3) and shape (E, V, 3) displacements at N points given by corners and barycentrics (N, 3)."""
    return SurfaceSamples(corners, barycentric, _at(modes, corners, barycentric), _at(shapes, corners, barycentric))


def _at(basis: np.ndarray, corners: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    weights = barycentric.astype(np.float32)
    out = sum(basis[:, corners[:, k]] * weights[:, k, None] for k in range(3))
    return np.ascontiguousarray(np.transpose(out, (1, 2, 0)))


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """Projected points of one view and what moves them; R is 2 rows a point."""

    px: np.ndarray
    """(N, 2) working pixels."""
    d_point: np.ndarray
    """(N, 2, 3) by the point in the head frame, px/m."""
    d_log_focal: np.ndarray
    """(N, 2, 1)."""
    d_pose: np.ndarray
    """(N, 2, 6) by rotation vector (left, about the head's origin) and translation of the head in the world."""


def project(points: np.ndarray, state: HeadState, view: SolveView) -> Projection:
    """Project head-frame points (N, 3) into a view, with analytic derivatives."""
    R_world_head, t_world_head = state.rotations[view.instant], state.translations[view.instant]
    R_cam_world, t_cam_world = view.T_cam_world[:3, :3], view.T_cam_world[:3, 3]
    turned = points @ R_world_head.T
    in_cam = (turned + t_world_head) @ R_cam_world.T + t_cam_world
    focal, z = state.focal_px(view), in_cam[:, 2]
    from_centre = focal * in_cam[:, :2] / z[:, None]
    d_cam = np.zeros((len(points), 2, 3))
    d_cam[:, 0, 0], d_cam[:, 1, 1] = focal[0] / z, focal[1] / z
    d_cam[:, :, 2] = -from_centre / z[:, None]
    d_world = d_cam @ R_cam_world
    # d(w x y) moves the pixel by m . (w x y) = w . (y x m) for each row m of the derivative by the world point.
    d_turn = np.cross(turned[:, None], d_world)
    return Projection(
        px=from_centre + view.centre_px,
        d_point=d_world @ R_world_head,
        d_log_focal=from_centre[:, :, None],
        d_pose=np.concatenate([d_turn, d_world], 2),
    )


def tangents(normals: np.ndarray) -> np.ndarray:
    """(N, 3, 2) two unit directions perpendicular to unit normals (N, 3) and to each other."""
    helper = np.where(np.abs(normals[:, :1]) < 0.9, np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]]))
    first = np.cross(normals, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(normals, first)], 2)


def left_null_basis(columns: np.ndarray) -> np.ndarray:
    """(N, 2, 4) orthonormal rows that vanish on both columns of (N, 4, 2), by two Householder reflections.

    A match sees one skin point in two views: four numbers. Which skin point it is, is unknown (two numbers); the rows left over
    are the ones that say something about the head and cameras.
    """
    first = _reflector(columns[:, :, 0])
    second_column = columns[:, :, 1] - 2 * first * np.einsum("nk,nk->n", first, columns[:, :, 1])[:, None]
    tail = np.concatenate([np.zeros((len(columns), 1)), _reflector(second_column[:, 1:])], 1)
    rows = np.broadcast_to(np.eye(4)[2:], (len(columns), 2, 4))
    rows = rows - 2 * np.einsum("nrk,nk->nr", rows, tail)[:, :, None] * tail[:, None]
    return rows - 2 * np.einsum("nrk,nk->nr", rows, first)[:, :, None] * first[:, None]


def _reflector(vectors: np.ndarray) -> np.ndarray:
    """(N, D) unit Householder vectors that send each vector (N, D) onto the first axis."""
    out = vectors.copy()
    out[:, 0] += np.where(vectors[:, 0] >= 0, 1.0, -1.0) * np.linalg.norm(vectors, axis=1)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


@dataclasses.dataclass(frozen=True, eq=False)
class MatchRows:
    """Two residuals a match, tangential sliding eliminated."""

    residual: np.ndarray
    """(N, 2) px, observed minus predicted."""
    rows_a: np.ndarray
    """(N, 2, 2): what the first view's pixel contributes to each residual."""
    rows_b: np.ndarray
    """(N, 2, 2): likewise the second view's."""


def match_rows(observed_a: np.ndarray, observed_b: np.ndarray, a: Projection, b: Projection, normals: np.ndarray) -> MatchRows:
    """Residuals of skin points seen at `observed_a` and `observed_b` (N, 2) px, predicted by projections a and b.

    The predicted point may slide in the tangent plane of `normals` (N, 3): those two directions are projected out.
    """
    sliding = tangents(normals)
    null = left_null_basis(np.concatenate([a.d_point @ sliding, b.d_point @ sliding], 1))
    four = np.concatenate([observed_a - a.px, observed_b - b.px], 1)
    return MatchRows(residual=np.einsum("nrk,nk->nr", null, four), rows_a=null[:, :, :2], rows_b=null[:, :, 2:])
