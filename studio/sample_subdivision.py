"""Loop subdivision as a sparse matrix, so that one refinement serves every expression of the sample person."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp


@dataclasses.dataclass(frozen=True, eq=False)
class Subdivision:
    """One or more Loop steps of a triangle mesh."""

    matrix: sp.csr_matrix
    """(V', V): refined vertices = matrix @ coarse vertices; the first V rows belong to the coarse vertices."""
    triangles: np.ndarray
    """(4F or 16F, 3) int32; children of triangle f lie at f, f + F, f + 2F, f + 3F of each step."""


def _edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique edges (E, 2), the edge of each triangle side (F, 3), and how many triangles share each edge (E,)."""
    sides = np.stack([triangles, np.roll(triangles, -1, 1)], -1)
    edges, inverse, counts = np.unique(np.sort(sides.reshape(-1, 2), 1), axis=0, return_inverse=True, return_counts=True)
    return edges, inverse.reshape(-1, 3), counts


def _edge_rows(triangles: np.ndarray, edges: np.ndarray, side_edge: np.ndarray, counts: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """New edge points: 3/8 of the ends and 1/8 of the opposite corners, or the midpoint at a border."""
    opposite = np.roll(triangles, 1, 1)
    inner = counts == 2
    rows = np.concatenate([np.repeat(np.arange(len(edges)), 2), side_edge.ravel()])
    columns = np.concatenate([edges.ravel(), opposite.ravel()])
    values = np.concatenate([np.repeat(np.where(inner, 0.375, 0.5), 2), np.where(inner[side_edge.ravel()], 0.125, 0.0)])
    return sp.csr_matrix((values, (rows, columns)), shape=(len(edges), num_vertices))


def _vertex_rows(edges: np.ndarray, counts: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """Moved old vertices: Loop's beta = 3 / (8 n), or 3/16 for three neighbours; 1/8, 3/4, 1/8 along a border."""
    border_edges = edges[counts == 1]
    on_border = np.zeros(num_vertices, bool)
    on_border[border_edges] = True
    directed = np.concatenate([edges, edges[:, ::-1]])
    directed = directed[~on_border[directed[:, 0]]]
    valence = np.bincount(directed[:, 0], minlength=num_vertices)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    along = np.concatenate([border_edges, border_edges[:, ::-1]])
    diagonal = np.where(on_border, 0.75, np.where(valence > 0, 1 - valence * beta, 1.0))
    rows = np.concatenate([directed[:, 0], along[:, 0], np.arange(num_vertices)])
    columns = np.concatenate([directed[:, 1], along[:, 1], np.arange(num_vertices)])
    values = np.concatenate([beta[directed[:, 0]], np.full(len(along), 0.125), diagonal])
    return sp.csr_matrix((values, (rows, columns)), shape=(num_vertices, num_vertices))


def loop_step(triangles: np.ndarray, num_vertices: int) -> Subdivision:
    """One Loop step (Loop 1987, with Warren's weights) of (F, 3) triangles over `num_vertices` vertices."""
    edges, side_edge, counts = _edges(triangles)
    matrix = sp.vstack([_vertex_rows(edges, counts, num_vertices), _edge_rows(triangles, edges, side_edge, counts, num_vertices)], "csr")
    a, b, c = triangles.T
    ab, bc, ca = (side_edge + num_vertices).T
    children = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return Subdivision(sp.csr_matrix(matrix), np.concatenate([np.stack(child, 1) for child in children]).astype(np.int32))


def loop_subdivision(triangles: np.ndarray, num_vertices: int, *, steps: int) -> Subdivision:
    """Several Loop steps as one matrix, of vertices that are first pushed out against the smoothing of the first step.

    The push makes the refined surface pass through the coarse vertices to first order: a plain Loop surface would
    sink into the eyeballs and shrink nose and ears.
    """
    first = loop_step(triangles, num_vertices)
    identity = sp.identity(num_vertices, format="csr")
    matrix, refined = first.matrix @ (2 * identity - first.matrix[:num_vertices]), first.triangles
    for _ in range(steps - 1):
        step = loop_step(refined, matrix.shape[0])
        matrix, refined = step.matrix @ matrix, step.triangles
    return Subdivision(sp.csr_matrix(matrix), refined)
