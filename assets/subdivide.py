"""A head refined for denser offsets: four triangles for one at each level, with its names, parts and landmarks kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from assets.errors import ConventionError, RangeError
from assets.head_model import PARTS, REGIONS, HeadModel, topology_hash
from assets.landmarks import LandmarkEmbedding
from assets.loop_subdivision import MeshEdges, edge_points, mesh_edges, split_triangles, vertex_points
from assets.mirror import mirrored_parts
from assets.refinement import refined_places, refined_triangles, split_name

MAX_LEVELS = 2
"""More than two levels (16 triangles for one) are refused: a head of 100 identity modes would fill gigabytes."""

CAP_TOLERANCE_M = 1e-4
"""Triangles this near to the lowest vertex are the cap of the cut, whose rim stays sharp."""


def subdivide_head(head: HeadModel, levels: int) -> HeadModel:
    """The head with 4 ** levels as many triangles, named "anny+1" or "anny+2"; levels 0 gives the head itself.

    Vertices lie on a Loop surface (Loop 1987) with creases along borders, where parts meet and around the cut. Its control mesh
    is pushed out against the smoothing, to first order, so the surface passes by the head's own vertices, which come first in
    order, at a median of 0.1 mm on Anny's face. Passing exactly through them was tried: it shows as ripples on the lids. All levels
    lie on one surface. One linear map serves the average and all displacements, so identities and expressions stay what they
    were, and what turned rigidly still does. UVs are split in the middle of each edge. Raises RangeError for levels outside 0 to 2.
    """
    if levels not in range(MAX_LEVELS + 1):
        raise RangeError(
            expected=f"0 to {MAX_LEVELS} levels of subdivision",
            got=repr(levels),
            do="use 1; 2 only for offsets finer than 2 mm",
        )
    if levels == 0:
        return head
    columns, fine, edges = _control_points(head), head, _creased(head)
    for _ in range(levels):
        num_vertices = fine.num_vertices
        columns = np.concatenate(
            [
                _applied(vertex_points(edges, num_vertices), columns),
                _applied(edge_points(fine.triangles, edges, num_vertices), columns),
            ]
        )
        fine = _split(fine, edges)
        edges = _creased(fine)
    columns = _applied(vertex_points(edges, len(columns), at_limit=True), columns)
    return _with_places(fine, head, columns, levels)


def subdivide_embedding(head: HeadModel, embedding: LandmarkEmbedding, levels: int) -> LandmarkEmbedding:
    """A head's landmarks on `subdivide_head(head, levels)`: the same points, by child triangle and barycentric coordinates.

    Exactly the same share of the parent triangle; as the refined surface bulges between the head's own vertices, the place in
    millimetres differs by that bulge. Raises ConventionError where the embedding belongs to another head.
    """
    if embedding.topology_hash != head.topology_hash:
        raise ConventionError(
            expected=f"landmarks on the topology {head.topology_hash} of head {head.name!r}",
            got=f"landmarks on {embedding.topology_hash}",
            do="pass the head that the landmarks were made for, as it was before subdivision",
        )
    index, barycentric = refined_places(embedding.triangle_index, embedding.barycentric, len(head.triangles), levels)
    fine = topology_hash(refined_triangles(head.triangles, head.num_vertices, levels))
    return dataclasses.replace(embedding, triangle_index=index, barycentric=barycentric, topology_hash=fine)


def _creased(head: HeadModel) -> MeshEdges:
    """Edges with creases where parts meet, and around the flat cap that closes some heads below the neck."""
    height = head.vertices[head.triangles][..., 1].max(1)
    is_cap = height < head.vertices[:, 1].min() + CAP_TOLERANCE_M
    return mesh_edges(head.triangles, head.triangle_parts.astype(np.int32) + len(PARTS) * is_cap)


def _control_points(head: HeadModel) -> np.ndarray:
    """(V, (1 + I + 52) 3) float32: average and displacements, pushed out by what the limit surface would pull them in."""
    fields = np.concatenate([head.vertices[None], head.identity_basis, head.blendshape_deltas])
    columns = np.moveaxis(fields, 1, 0).reshape(head.num_vertices, -1)
    return 2 * columns - _applied(vertex_points(_creased(head), head.num_vertices, at_limit=True), columns)


def _applied(matrix: sp.csr_matrix, columns: np.ndarray) -> np.ndarray:
    """The product in float32: half the memory, and rounded to hundredths of a micrometre."""
    return sp.csr_matrix(matrix, dtype=np.float32) @ columns


def _split(head: HeadModel, edges: MeshEdges) -> HeadModel:
    """One level of topology, parts, regions and UVs; places are those of the flat triangles, mirror pairs those before."""
    first_new = head.num_vertices
    triangles = split_triangles(head.triangles, edges, first_new)
    triangle_parts = np.tile(head.triangle_parts, 4)
    parts = np.concatenate([head.vertex_parts, np.full(len(edges.ends), 255, np.uint8)])
    # As in the compiled heads: where parts share an edge its new vertex belongs to the lower one, as skin does at the lips.
    np.minimum.at(parts, triangles.ravel(), np.repeat(triangle_parts, 3))
    parts[:first_new] = head.vertex_parts
    # Between two regions the new vertex takes the lower one, so that an iris (the last) never grows beyond its rim.
    regions = np.where(
        np.isin(parts[first_new:], [PARTS.index(part) for part in ("skin", "eye_left", "eye_right")]),
        head.vertex_regions[edges.ends].min(1),
        REGIONS.index("none"),
    )
    uv_edges = mesh_edges(head.triangle_uvs)
    return dataclasses.replace(
        head,
        vertices=np.concatenate([head.vertices, head.vertices[edges.ends].mean(1)]),
        triangles=triangles,
        uvs=np.concatenate([head.uvs, head.uvs[uv_edges.ends].mean(1)]).astype(np.float32),
        triangle_uvs=split_triangles(head.triangle_uvs, uv_edges, len(head.uvs)),
        triangle_parts=triangle_parts,
        vertex_parts=parts,
        vertex_regions=np.concatenate([head.vertex_regions, regions]).astype(np.uint8),
    )


def _with_places(fine: HeadModel, coarse: HeadModel, columns: np.ndarray, levels: int) -> HeadModel:
    """The refined head with its average and displacements."""
    fields = np.ascontiguousarray(np.moveaxis(columns.reshape(len(columns), -1, 3), 1, 0))
    name, before = split_name(coarse.name)
    return dataclasses.replace(
        fine,
        name=f"{name}+{before + levels}",
        vertices=fields[0],
        identity_basis=fields[1 : 1 + coarse.num_identity],
        blendshape_deltas=fields[1 + coarse.num_identity :],
        mirror_vertices=_mirror(fields[0], fine.vertex_parts, coarse.mirror_vertices),
    )


def _mirror(vertices: np.ndarray, parts: np.ndarray, coarse_pairs: np.ndarray) -> np.ndarray:
    """(V,) int32: the coarse vertices' partners as they were, for new ones the nearest new vertex of the mirrored part."""
    mirrored_part = mirrored_parts(parts)
    pairs = np.concatenate([coarse_pairs, np.zeros(len(vertices) - len(coarse_pairs), np.int32)])
    is_new = np.arange(len(vertices)) >= len(coarse_pairs)
    for part in np.unique(parts):
        candidates, mine = np.flatnonzero(is_new & (parts == part)), np.flatnonzero(is_new & (mirrored_part == part))
        pairs[mine] = candidates[KDTree(vertices[candidates]).query(vertices[mine] * (-1, 1, 1))[1]]
    return pairs.astype(np.int32)
