"""Which coarse triangle a point of a refined head lies on, and the other way round: carries landmarks and calibrations over."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from assets.head_model import HeadModel, topology_hash
from assets.loop_subdivision import mesh_edges, split_triangles


@dataclasses.dataclass(frozen=True, eq=False)
class CoarseTopology:
    """What a refined head was refined from, read back from its name and triangles."""

    name: str
    """Name of the head before: "anny" of "anny+1"."""
    levels: int
    """How often it was refined; 0 for a head as compiled."""
    triangles: np.ndarray
    """(F, 3) int32 of the head before."""

    @property
    def topology_hash(self) -> str:
        """HeadModel.topology_hash of the head before: the key of its embeddings and calibrations."""
        return topology_hash(self.triangles)


def split_name(name: str) -> tuple[str, int]:
    """The name of the head as compiled and how often it was refined: ("anny", 1) of "anny+1", ("anny", 0) of "anny"."""
    found = re.fullmatch(r"(.+)\+(\d+)", name)
    return (found[1], int(found[2])) if found else (name, 0)


def coarse_topology(head: HeadModel) -> CoarseTopology:
    """The topology that a head was refined from; its own, with levels 0, where it was not, whatever its name ends in."""
    name, levels = split_name(head.name)
    triangles = head.triangles
    for _ in range(levels):
        # The child at corner k kept that corner in its place; the middle child shares no corner with them.
        if len(triangles) % 4:
            return CoarseTopology(head.name, 0, head.triangles)
        children = triangles.reshape(4, -1, 3)
        triangles = np.ascontiguousarray(np.stack([children[k, :, k] for k in range(3)], 1))
    if levels and not np.array_equal(refined_triangles(triangles, int(triangles.max()) + 1, levels), head.triangles):
        return CoarseTopology(head.name, 0, head.triangles)
    return CoarseTopology(name, levels, triangles)


def refined_triangles(triangles: np.ndarray, num_vertices: int, levels: int) -> np.ndarray:
    """(4 ** levels F, 3) int32: the triangles of a refined head; new vertices come after the old ones, in the order of the edges."""
    for _ in range(levels):
        edges = mesh_edges(triangles)
        triangles, num_vertices = split_triangles(triangles, edges, num_vertices), num_vertices + len(edges.ends)
    return triangles


def refined_places(triangle_index: np.ndarray, barycentric: np.ndarray, num_triangles: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on triangles, (...) int32 and (..., 3) float32, as points on the children after `levels` splits of `num_triangles`.

    The children of triangle f are f + k F: that at corner k where the corner weighs a half or more, else the middle one (k = 3).
    """
    index, weights = np.asarray(triangle_index), np.asarray(barycentric, np.float64)
    for level in range(levels):
        heaviest, at_corner = weights.argmax(-1), weights.max(-1) >= 0.5
        # A corner's child has the corner and two half-way points; the middle one has those of sides ab, bc and ca.
        at_the_corner = 2 * weights - np.eye(3)[heaviest]
        in_the_middle = 1 - 2 * weights[..., [2, 0, 1]]
        weights = np.where(at_corner[..., None], at_the_corner, in_the_middle)
        index = index + np.where(at_corner, heaviest, 3) * (num_triangles * 4**level)
    return index.astype(np.int32), weights.astype(np.float32)
