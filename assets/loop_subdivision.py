"""Loop subdivision as a sparse matrix, so that one refinement serves a head and all its displacements."""

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


@dataclasses.dataclass(frozen=True, eq=False)
class MeshEdges:
    """The edges of a triangle mesh and where its surface may have a crease."""

    ends: np.ndarray
    """(E, 2) int, ascending: the vertices of each edge."""
    of_side: np.ndarray
    """(F, 3) int: the edge from corner k to corner k + 1 of each triangle."""
    is_crease: np.ndarray
    """(E,) bool: borders, edges of more than two triangles, and those where two groups of triangles meet."""


def mesh_edges(triangles: np.ndarray, groups: np.ndarray | None = None) -> MeshEdges:
    """Edges of (F, 3) triangles; `groups` (F,) int are kept apart by creases along the edges where they meet."""
    sides = np.stack([triangles, np.roll(triangles, -1, 1)], -1)
    ends, inverse, counts = np.unique(np.sort(sides.reshape(-1, 2), 1), axis=0, return_inverse=True, return_counts=True)
    is_crease = counts != 2
    if groups is not None:
        least, most = np.full(len(ends), np.inf), np.full(len(ends), -np.inf)
        np.minimum.at(least, inverse.ravel(), np.repeat(groups, 3))
        np.maximum.at(most, inverse.ravel(), np.repeat(groups, 3))
        is_crease |= least != most
    return MeshEdges(ends, inverse.reshape(-1, 3), is_crease)


def edge_points(triangles: np.ndarray, edges: MeshEdges, num_vertices: int) -> sp.csr_matrix:
    """(E, V) new points: 3/8 of the ends and 1/8 of the opposite corners, or the midpoint at a crease."""
    opposite = np.roll(triangles, 1, 1)
    smooth = ~edges.is_crease
    rows = np.concatenate([np.repeat(np.arange(len(edges.ends)), 2), edges.of_side.ravel()])
    columns = np.concatenate([edges.ends.ravel(), opposite.ravel()])
    values = np.concatenate([np.repeat(np.where(smooth, 0.375, 0.5), 2), np.where(smooth[edges.of_side.ravel()], 0.125, 0.0)])
    return sp.csr_matrix((values, (rows, columns)), shape=(len(edges.ends), num_vertices))


def vertex_points(edges: MeshEdges, num_vertices: int, *, at_limit: bool = False) -> sp.csr_matrix:
    """(V, V) moved old vertices: one step on (Warren's 3 / 8n, or 3/16 for three neighbours), or on the limit surface.

    Along a crease 1/8, 3/4, 1/8 of the neighbours on it, and 1/6, 2/3, 1/6 at the limit; where creases cross or end the vertex stays.
    The limit of a smooth vertex weighs each neighbour 1 / (n + 3 / 8 beta) (Loop 1987; Hoppe et al. 1994, table 1).
    """
    creases = edges.ends[edges.is_crease]
    num_creases = np.bincount(creases.ravel(), minlength=num_vertices)
    directed = np.concatenate([edges.ends, edges.ends[:, ::-1]])
    directed = directed[num_creases[directed[:, 0]] == 0]
    valence = np.bincount(directed[:, 0], minlength=num_vertices)
    step = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    beta = 1 / (valence + 3 / (8 * step)) if at_limit else step
    along = np.concatenate([creases, creases[:, ::-1]])
    along = along[num_creases[along[:, 0]] == 2]
    share = 1 / 6 if at_limit else 1 / 8
    diagonal = np.select([num_creases == 2, num_creases > 0], [1 - 2 * share, 1.0], 1 - valence * beta)
    rows = np.concatenate([directed[:, 0], along[:, 0], np.arange(num_vertices)])
    columns = np.concatenate([directed[:, 1], along[:, 1], np.arange(num_vertices)])
    values = np.concatenate([beta[directed[:, 0]], np.full(len(along), share), diagonal])
    return sp.csr_matrix((values, (rows, columns)), shape=(num_vertices, num_vertices))


def split_triangles(triangles: np.ndarray, edges: MeshEdges, first_new: int) -> np.ndarray:
    """(4F, 3) int32: three corner children and the middle one, with the edges' points numbered from `first_new`."""
    a, b, c = triangles.T
    ab, bc, ca = (edges.of_side + first_new).T
    children = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(child, 1) for child in children]).astype(np.int32)


def loop_step(triangles: np.ndarray, num_vertices: int, groups: np.ndarray | None = None) -> Subdivision:
    """One Loop step (Loop 1987, with Warren's weights) of (F, 3) triangles over `num_vertices` vertices.

    `groups` (F,) int, where given, are kept apart by creases.
    """
    edges = mesh_edges(triangles, groups)
    matrix = sp.vstack([vertex_points(edges, num_vertices), edge_points(triangles, edges, num_vertices)], "csr")
    return Subdivision(sp.csr_matrix(matrix), split_triangles(triangles, edges, num_vertices))


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
