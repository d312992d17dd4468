"""The geometry of the Anny head: the body cut at the neck and closed there, rounder eyeballs, single teeth.

Everything is linear in the body's vertices (`HeadMesh.vertex_blend`), so that shapes and identities carry over by one product.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy.sparse import csr_matrix, vstack

from assets.head_model import PARTS
from assets.heads.anny_regions import island_parts, place_uv_islands
from assets.heads.anny_teeth import Jaw, gum_of, row_of_teeth
from assets.heads.cut import SNAP_M, cut_mesh, split_quads
from assets.heads.makehuman import BaseMesh
from assets.mirror import mirror_pairs

CUT_HEIGHT_M = -0.165
"""The head frame's y below which everything is cut off: a level plane at the foot of the neck."""

CAP_RINGS = (0.03, 0.35, 0.7)
"""Where the rings of the neck's closing disc lie between the hem (0) and its middle (1). The first is near the hem, so that
the smooth normals of the neck's last row stay those of the neck, and so far that smooth subdivision does not fold it."""

TEETH_REACH_M = 0.015
"""Reach of the slab's vertices that a tooth follows, as the deviation of a Gaussian."""

GROUP_PARTS = {
    "helper-l-eye": "eye_left",
    "helper-r-eye": "eye_right",
    "helper-upper-teeth": "teeth_upper",
    "helper-lower-teeth": "teeth_lower",
    "helper-tongue": "tongue",
}
"""OBJ groups to parts; `l` is the subject's left (x > 0). The lash cards are left out: they spoil depth and normal maps."""

_CAP_UV, _CAP_UV_SCALE = np.array([0.03, 0.72]), 0.9
_MOUTH_UVS: tuple[tuple[Jaw, tuple[float, float], tuple[float, float]], ...] = (
    ("upper", (0.03, 0.20), (0.03, 0.27)),
    ("lower", (0.23, 0.20), (0.23, 0.27)),
)
"""Lower left corners of the texture boxes of teeth and gum: in the place of the torso, which a head leaves free."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadMesh:
    """The head in the head frame."""

    vertex_blend: csr_matrix
    """(V, body's V): vertices or displacements of the head = vertex_blend @ those of the body."""
    vertices: np.ndarray
    """(V, 3) float64 metres."""
    uvs: np.ndarray
    """(T, 2) float64."""
    triangles: np.ndarray
    """(F, 3) int32."""
    triangle_uvs: np.ndarray
    """(F, 3) int32."""
    triangle_parts: np.ndarray
    """(F,) uint8 into PARTS."""
    vertex_parts: np.ndarray
    """(V,) uint8 into PARTS; where skin meets the mouth socket the vertex is skin (the lower id)."""
    is_eye_socket: np.ndarray
    """(V,) bool: skin behind the lids."""

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """(V,) int32: the vertex at the mirrored place, its own inverse."""
        return mirror_pairs(self.vertices, self.vertex_parts, self.triangles)


def cut_head(base: BaseMesh, vertices: np.ndarray, average: np.ndarray) -> HeadMesh:
    """The head's geometry from the whole body (old V, 3) in the head frame; the untouched average decides how quads are split."""
    keep = np.isin(base.quad_groups, ["body", *GROUP_PARTS])
    groups = base.quad_groups[keep]
    triangles, triangle_uvs, quad = split_quads(average, base.quads[keep], base.quad_uvs[keep])
    cut = cut_mesh(vertices, triangles, triangle_uvs, len(base.uvs), vertices[:, 1] - CUT_HEIGHT_M)
    island = island_parts(base.uvs, base.quad_uvs[keep], groups)
    parts = np.array([PARTS.index(GROUP_PARTS.get(group, "skin")) for group in groups], np.uint8)
    parts[island == "mouth_socket"] = PARTS.index("mouth_socket")
    triangle_parts = parts[quad[cut.source_triangle]]
    points = cut.vertex_blend @ vertices
    points[points[:, 1] < CUT_HEIGHT_M + SNAP_M, 1] = CUT_HEIGHT_M
    socket = np.zeros(len(points), bool)
    socket[cut.triangles[(island == "eye_socket")[quad[cut.source_triangle]]]] = True
    uvs = place_uv_islands(cut.uv_blend @ base.uvs, cut.triangle_uvs, triangle_parts)
    vertex_parts = _vertex_parts(cut.triangles, triangle_parts, len(points))
    return HeadMesh(cut.vertex_blend, points, uvs, cut.triangles, cut.triangle_uvs, triangle_parts, vertex_parts, socket)


def finish_head(mesh: HeadMesh) -> HeadMesh:
    """The cut head with single teeth, rounder eyeballs and a closed neck; the skin's triangles keep their places."""
    return close_neck(round_eyeballs(single_teeth(mesh)))


def centre_on_eyes(mesh: HeadMesh) -> HeadMesh:
    """The mesh moved so that the midpoint of both eyeballs' centres, means of their vertices, is the origin."""
    return dataclasses.replace(mesh, vertices=mesh.vertices - eyes_midpoint(mesh, mesh.vertices))


def eyes_midpoint(mesh: HeadMesh, values: np.ndarray) -> np.ndarray:
    """(3,) midpoint of both eyeballs' centres in vertices (V, 3), or of their displacements."""
    return np.mean([values[mesh.vertex_parts == PARTS.index(part)].mean(0) for part in ("eye_left", "eye_right")], axis=0)


def single_teeth(mesh: HeadMesh) -> HeadMesh:
    """Teeth and gums in place of the two slabs."""
    for jaw, tooth_corner, gum_corner in _MOUTH_UVS:
        part = f"teeth_{jaw}"
        slab = np.flatnonzero(mesh.vertex_parts == PARTS.index(part))
        for piece, corner, name in ((row_of_teeth(jaw), tooth_corner, part), (gum_of(jaw), gum_corner, "mouth_socket")):
            weights = csr_matrix(affine_weights(mesh.vertices[slab], piece.points, TEETH_REACH_M))
            new = np.arange(len(piece.points)) + len(mesh.vertices)
            mesh = _with(mesh, weights @ mesh.vertex_blend[slab], piece.points, new[piece.triangles], name)
            mesh = _with_uvs(mesh, piece.uvs + corner, piece.triangles)
        is_slab = np.isin(mesh.triangles, slab).any(1)
        mesh = _without(mesh, is_slab)
    return mesh


def affine_weights(sources: np.ndarray, points: np.ndarray, reach_m: float) -> np.ndarray:
    """(N, S) weights of source points (S, 3) for each point (N, 3): moving least squares with a Gaussian of this deviation.

    They sum to 1 and reproduce every affine motion of the sources exactly, so what turns rigidly stays rigid
    (Schaefer, McPhail, Warren 2006, Image deformation using moving least squares).
    """
    homogeneous = np.column_stack([sources, np.ones(len(sources))])
    weights = np.zeros((len(points), len(sources)))
    for row, point in enumerate(points):
        near = np.exp(-0.5 * ((sources - point) ** 2).sum(1) / reach_m**2)
        moments = homogeneous.T * near @ homogeneous
        weights[row] = np.append(point, 1.0) @ np.linalg.solve(moments, homogeneous.T * near)
    return weights


def round_eyeballs(mesh: HeadMesh) -> HeadMesh:
    """Both eyeballs with every triangle in four, the new vertices moved out to the ball: eight corners around an iris show."""
    for part in ("eye_left", "eye_right"):
        is_ball = mesh.triangle_parts == PARTS.index(part)
        ball = np.flatnonzero(mesh.vertex_parts == PARTS.index(part))
        edges, pieces = _quartered(mesh.triangles[is_ball], len(mesh.vertices))
        uv_edges, uv_pieces = _quartered(mesh.triangle_uvs[is_ball], len(mesh.uvs))
        blend = _pushed_out(mesh.vertices, ball, edges)
        mesh = _with(mesh, blend @ mesh.vertex_blend, blend @ mesh.vertices, pieces, part)
        mesh = _with_uvs(mesh, mesh.uvs[uv_edges].mean(1), uv_pieces, local=False)
        mesh = _without(mesh, np.append(is_ball, np.zeros(len(pieces), bool)))
    return mesh


def close_neck(mesh: HeadMesh) -> HeadMesh:
    """A level disc of rings in the open neck, sharing the hem's vertices, so that no displacement opens a gap."""
    hem = _hem_loop(mesh)
    count = len(hem)
    middle = np.full((count, count), 1.0 / count)
    rings = np.concatenate([(1 - share) * np.eye(count) + share * middle for share in CAP_RINGS] + [middle[:1]])
    grid = np.arange((len(CAP_RINGS) + 1) * count).reshape(-1, count)
    quads = np.stack([grid[:-1], np.roll(grid[:-1], -1, 1), np.roll(grid[1:], -1, 1), grid[1:]], -1).reshape(-1, 4)
    fan = np.stack([grid[-1], np.roll(grid[-1], -1), np.full(count, grid.size)], -1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], fan])
    index = np.concatenate([hem, len(mesh.vertices) + np.arange(len(rings))])
    points = rings @ mesh.vertices[hem]
    flat = np.concatenate([mesh.vertices[hem], points])[:, [0, 2]]
    uvs = _CAP_UV + (flat - flat.min(0)) * _CAP_UV_SCALE
    mesh = _with(mesh, csr_matrix(rings) @ mesh.vertex_blend[hem], points, index[triangles], "skin")
    return _with_uvs(mesh, uvs, triangles)


def _hem_loop(mesh: HeadMesh) -> np.ndarray:
    """Vertices of the hem in the order that closes it with triangles that look down: against the skin's own direction."""
    skin = mesh.triangles[np.isin(mesh.triangle_parts, [PARTS.index("skin"), PARTS.index("mouth_socket")])]
    edges = np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]])
    on_hem = edges[(mesh.vertices[edges][..., 1] <= CUT_HEIGHT_M + 1e-9).all(1)]
    inner = {(a, b) for a, b in on_hem.tolist()}
    following = {b: a for a, b in inner if (b, a) not in inner}
    loop = [min(following)]
    while (after := following[loop[-1]]) != loop[0]:
        loop.append(after)
    return np.array(loop)


def _quartered(triangles: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The edges (E, 2) of triangles, and the triangles in four each with the edges' middles as vertices `start`..."""
    a, b, c = triangles.T
    edges = np.sort(np.stack([np.stack([a, b], -1), np.stack([b, c], -1), np.stack([c, a], -1)], 1), -1)
    unique, middle = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    ab, bc, ca = start + middle.reshape(-1, 3).T
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return unique, np.concatenate([np.stack(corner, -1) for corner in corners])


def _pushed_out(vertices: np.ndarray, ball: np.ndarray, edges: np.ndarray) -> csr_matrix:
    """(E, V) blends for the middles of a ball's edges, as far from its centre as the edges' ends are on average."""
    centre = vertices[ball].mean(0)
    ends = vertices[edges] - centre
    stretch = np.linalg.norm(ends, axis=-1).mean(1) / np.linalg.norm(ends.mean(1), axis=1)
    dense = np.tile((1 - stretch)[:, None] / len(ball), (1, len(vertices))) * np.isin(np.arange(len(vertices)), ball)
    dense[np.arange(len(edges))[:, None], edges] += stretch[:, None] / 2
    return csr_matrix(dense)


def _with(mesh: HeadMesh, blend: csr_matrix, points: np.ndarray, triangles: np.ndarray, part: str) -> HeadMesh:
    """The mesh with new vertices and triangles of one part; their texture coordinates come by `_with_uvs`."""
    triangle_parts = np.append(mesh.triangle_parts, np.full(len(triangles), PARTS.index(part), np.uint8))
    return dataclasses.replace(
        mesh,
        vertex_blend=csr_matrix(vstack([mesh.vertex_blend, blend])),
        vertices=np.concatenate([mesh.vertices, points]),
        triangles=np.concatenate([mesh.triangles, triangles]).astype(np.int32),
        triangle_parts=triangle_parts,
        vertex_parts=np.append(mesh.vertex_parts, np.full(len(points), PARTS.index(part), np.uint8)),
        is_eye_socket=np.append(mesh.is_eye_socket, np.zeros(len(points), bool)),
    )


def _with_uvs(mesh: HeadMesh, uvs: np.ndarray, triangle_uvs: np.ndarray, *, local: bool = True) -> HeadMesh:
    """The mesh with new texture coordinates, and the new triangles' indices into them (local) or into all."""
    indices = triangle_uvs + len(mesh.uvs) if local else triangle_uvs
    return dataclasses.replace(
        mesh, uvs=np.concatenate([mesh.uvs, uvs]), triangle_uvs=np.concatenate([mesh.triangle_uvs, indices]).astype(np.int32)
    )


def _without(mesh: HeadMesh, is_gone: np.ndarray) -> HeadMesh:
    """The mesh without some triangles (F,) bool, and without the vertices that only they use."""
    used, triangles = np.unique(mesh.triangles[~is_gone], return_inverse=True)
    used_uvs, triangle_uvs = np.unique(mesh.triangle_uvs[~is_gone], return_inverse=True)
    return HeadMesh(
        csr_matrix(mesh.vertex_blend[used]),
        mesh.vertices[used],
        mesh.uvs[used_uvs],
        triangles.reshape(-1, 3).astype(np.int32),
        triangle_uvs.reshape(-1, 3).astype(np.int32),
        mesh.triangle_parts[~is_gone],
        mesh.vertex_parts[used],
        mesh.is_eye_socket[used],
    )


def _vertex_parts(triangles: np.ndarray, triangle_parts: np.ndarray, num_vertices: int) -> np.ndarray:
    parts = np.full(num_vertices, 255, np.uint8)
    np.minimum.at(parts, triangles.ravel(), np.repeat(triangle_parts, 3))
    return parts
