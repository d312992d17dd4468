"""Geometry of the ICT head: which of upstream's polygons stay, in which part, cut at the neck, in the head frame."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.sparse import csr_matrix, vstack

from assets.head_model import PARTS, REGIONS
from assets.heads.anny_regions import uv_islands
from assets.heads.cut import SNAP_M, cut_mesh
from assets.heads.ict_eyes import Eyeball, follow, ict_eyeball, turn
from assets.heads.ict_lashes import ict_lashes
from assets.heads.ict_mirror import shorter_diagonals
from assets.heads.ict_neck import neck_disc
from assets.heads.ict_regions import ict_regions
from assets.heads.ict_source import IctSource
from assets.heads.ict_uvs import eyeball_uvs, pack_uvs
from assets.mirror import mirror_pairs

METRES_PER_UNIT = 0.01

CUT_HEIGHT_M = -0.1675
"""The head frame's y below which the neck is cut off. Upstream's mesh ends in a slanting loop whose highest point, at the
shoulders, is at -0.1705: the cut lies level just above it and is closed by a disc, so that no view looks in."""

HEM_FADE_M = 0.04
"""Identity modes lose their vertical part towards the cut over this height, so that every head keeps a level hem."""

NECK_JOINT_M = (0.0, -0.045, -0.082)
"""Where the skull turns on the neck, between the ears' lobes and 8 cm behind the eyes; upstream has no skeleton."""

_KEPT_MATERIALS = ("Face", "BackHead", "GumsTongue", "Teeth")
"""Left out: EyeOcclusion, EyeBlend and LacrimalFluid, which are transparent shells for a game engine's eye shader and would
stand before the eyes in depth and normals; eyeballs and lashes are made anew by `ict_eyes` and `ict_lashes`."""

_LAST_SKIN, _LAST_MOUTH_SOCKET, _LAST_EYE_SOCKET, _LAST_UPPER_TOOTH = 11247, 13293, 14061, 19246
"""Upstream's vertex ranges (its README): face, head and neck; mouth socket; eye sockets; gums and tongue; teeth from the upper left on."""

_GUM_ISLANDS = {
    14062: "teeth_upper", 15232: "teeth_upper", 15379: "teeth_upper",
    14632: "teeth_lower", 15515: "teeth_lower",
    16318: "tongue", 16611: "tongue",
    15824: "mouth_socket", 15889: "mouth_socket", 15953: "mouth_socket", 16566: "mouth_socket",
}  # fmt: skip
"""A vertex inside each texture island of "GumsTongue": gums go with their teeth; cheek walls, throat and uvula with the mouth socket."""


_EAR_BACKS = (6719, 7446)
"""A vertex inside the texture island of the left and of the right ear's back."""


@dataclasses.dataclass(frozen=True, eq=False)
class IctMesh:
    """The head's mesh in the head frame (fields as in HeadModel), and upstream's displacements carried over to it."""

    vertices: np.ndarray
    triangles: np.ndarray
    uvs: np.ndarray
    triangle_uvs: np.ndarray
    triangle_parts: np.ndarray
    vertex_parts: np.ndarray
    vertex_regions: np.ndarray
    neck_joint: np.ndarray
    mirror_vertices: np.ndarray
    source: IctSource
    vertex_blend: csr_matrix
    """(B, 26719): skin, mouth and lashes, which come first, from upstream's vertices."""
    eyeballs: dict[str, Eyeball]
    """The subject's "Left" and "Right", which follow in this order."""
    disc_blend: csr_matrix
    """(D, B): the disc in the neck, which comes last, from the first."""

    def displacement(self, offsets: np.ndarray) -> np.ndarray:
        """(V, 3) float64 metres for upstream's (26719, 3) in centimetres."""
        body = self.vertex_blend @ offsets.astype(np.float64)
        eyes = [follow(ball, self.source, offsets) for ball in self.eyeballs.values()]
        return np.concatenate([body, *eyes, self.disc_blend @ body]) * METRES_PER_UNIT

    def identity_mode(self, offsets: np.ndarray) -> np.ndarray:
        """(V, 3) float64 metres: as `displacement`, with the eyes' midpoint held at the origin and the hem level."""
        moved = self.displacement(offsets)
        moved -= np.mean([moved[self.vertex_parts == PARTS.index(part)].mean(0) for part in ("eye_left", "eye_right")], axis=0)
        share = np.clip((self.vertices[:, 1] - CUT_HEIGHT_M) / HEM_FADE_M, 0.0, 1.0)
        moved[:, 1] *= share * share * (3.0 - 2.0 * share)
        return moved

    def eye_turn(self, side: str, *, yaw_deg: float, pitch_deg: float) -> np.ndarray:
        """(V, 3) float64 metres: the eyeball of one side turned about its centre, all else at rest."""
        moved = np.zeros((len(self.vertices), 3))
        eye = self.vertex_parts == PARTS.index(f"eye_{side.lower()}")
        moved[eye] = turn(self.eyeballs[side], yaw_deg=yaw_deg, pitch_deg=pitch_deg) * METRES_PER_UNIT
        return moved


def head_mesh(source: IctSource, rest: np.ndarray) -> IctMesh:
    """Cut, parts, regions, texture and mirror pairs of the head; deterministic.

    `rest` (26719, 3) in centimetres is added to upstream's template to make the neutral.
    """
    eyeballs = {side: ict_eyeball(source, side) for side in ("Left", "Right")}
    origin = np.mean([ball.centre for ball in eyeballs.values()], axis=0)
    points = (source.template.astype(np.float64) + rest - origin) * METRES_PER_UNIT
    blend, body = _skin_and_mouth(source, points)
    pieces = [*body, *(_eye_piece(side, ball, origin) for side, ball in eyeballs.items())]
    disc_blend, disc = _neck_piece(body, sum(len(piece.vertices) for piece in pieces))
    pieces.append(disc)
    vertices, triangles = np.concatenate([piece.vertices for piece in pieces]), _stacked(pieces, "triangles", "vertices")
    parts = np.concatenate([piece.triangle_parts for piece in pieces])
    vertex_parts = _vertex_parts(triangles, parts, len(vertices))
    regions = ict_regions(vertices, vertex_parts, *_upstream_flags(source, blend, len(vertices)))
    for side, ball in eyeballs.items():
        eye = np.flatnonzero(vertex_parts == PARTS.index(f"eye_{side.lower()}"))
        regions[eye[ball.is_iris]] = REGIONS.index("iris")
    return IctMesh(
        vertices=vertices.astype(np.float32),
        triangles=triangles,
        uvs=np.concatenate([piece.uvs for piece in pieces]).astype(np.float32),
        triangle_uvs=_stacked(pieces, "triangle_uvs", "uvs"),
        triangle_parts=parts,
        vertex_parts=vertex_parts,
        vertex_regions=regions,
        neck_joint=np.array(NECK_JOINT_M, np.float32),
        mirror_vertices=mirror_pairs(vertices, vertex_parts, triangles),
        source=source,
        vertex_blend=blend,
        eyeballs=eyeballs,
        disc_blend=disc_blend,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Piece:
    """A part of the mesh with indices into its own vertices and texture coordinates; vertices in metres, head frame.

    Negative vertex indices count back from its first vertex, into the pieces before it.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uvs: np.ndarray
    triangle_uvs: np.ndarray
    triangle_parts: np.ndarray


def _stacked(pieces: list[_Piece], indices: str, elements: str) -> np.ndarray:
    """(F, 3) int32: the pieces' indices, each moved up by the elements of those before it."""
    starts = np.cumsum([0, *(len(getattr(piece, elements)) for piece in pieces)])
    return np.concatenate([getattr(piece, indices) + start for piece, start in zip(pieces, starts, strict=False)]).astype(np.int32)


def _skin_and_mouth(source: IctSource, points: np.ndarray) -> tuple[csr_matrix, list[_Piece]]:
    """Skin, gums, teeth and tongue cut at the neck, and the lashes; with the blend of upstream's vertices that makes them."""
    kept = source.has_material(*_KEPT_MATERIALS)
    parts = _part_of_faces(source)[kept]
    faces, faces_uv = shorter_diagonals(source.template, source.faces[kept], source.faces_uv[kept])
    packed = pack_uvs(source.uv, source.faces_uv, source.face_material, source.materials)
    cut = cut_mesh(points, faces, faces_uv, len(packed), points[:, 1] - CUT_HEIGHT_M)
    vertices = cut.vertex_blend @ points
    vertices[vertices[:, 1] < CUT_HEIGHT_M + SNAP_M, 1] = CUT_HEIGHT_M
    lashes = ict_lashes(source)
    lash_parts = np.full(len(lashes.triangles), PARTS.index("lashes"), np.uint8)
    pieces = [
        _Piece(vertices, cut.triangles, cut.uv_blend @ packed, cut.triangle_uvs, parts[cut.source_triangle]),
        _Piece(lashes.vertex_blend @ points, lashes.triangles, lashes.uv_blend @ packed, lashes.triangles, lash_parts),
    ]
    return csr_matrix(vstack([cut.vertex_blend, lashes.vertex_blend])), pieces


def _neck_piece(body: list[_Piece], num_before: int) -> tuple[csr_matrix, _Piece]:
    """The disc that closes the neck, with the blend of the body's vertices that makes it; `num_before` vertices precede it."""
    vertices = np.concatenate([piece.vertices for piece in body])
    disc = neck_disc(vertices, body[0].triangles)
    is_hem = disc.triangles < len(vertices)
    triangles = np.where(is_hem, disc.triangles - num_before, disc.triangles - len(vertices))
    parts = np.full(len(disc.triangles), PARTS.index("skin"), np.uint8)
    return disc.vertex_blend, _Piece(disc.vertex_blend @ vertices, triangles, disc.uvs, disc.triangle_uvs, parts)


def _eye_piece(side: str, ball: Eyeball, origin: np.ndarray) -> _Piece:
    uvs, corner_uvs = eyeball_uvs(ball, side)
    parts = np.full(len(ball.triangles), PARTS.index(f"eye_{side.lower()}"), np.uint8)
    return _Piece((ball.vertices - origin) * METRES_PER_UNIT, ball.triangles, uvs, corner_uvs, parts)


def _part_of_faces(source: IctSource) -> np.ndarray:
    """(T,) uint8 into PARTS for upstream's triangles; 0 for those that are left out."""
    parts = np.zeros(len(source.faces), np.uint8)
    last = source.faces.max(1)
    parts[source.has_material("Face", "BackHead")] = PARTS.index("skin")
    parts[source.has_material("BackHead") & (last > _LAST_SKIN) & (last <= _LAST_MOUTH_SOCKET)] = PARTS.index("mouth_socket")
    teeth = source.has_material("Teeth")
    parts[teeth] = np.where(last[teeth] <= _LAST_UPPER_TOOTH, PARTS.index("teeth_upper"), PARTS.index("teeth_lower"))
    gums = source.has_material("GumsTongue")
    parts[gums] = _gum_parts(source.faces[gums], source.faces_uv[gums], len(source.uv))
    return parts


def _gum_parts(faces: np.ndarray, faces_uv: np.ndarray, num_uvs: int) -> np.ndarray:
    island = uv_islands(faces_uv, num_uvs)
    part_of_island = np.zeros(island.max() + 1, np.uint8)
    for vertex, part in _GUM_ISLANDS.items():
        part_of_island[island[faces_uv[faces == vertex][0]]] = PARTS.index(part)
    return part_of_island[island[faces_uv[:, 0]]]


def _upstream_flags(source: IctSource, blend: csr_matrix, num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """(V,) bool each: vertices of the eye sockets, and those that upstream unwraps with the face or as the back of an ear."""
    socket, ear_side = np.zeros(len(source.template)), np.zeros(len(source.template))
    socket[_LAST_MOUTH_SOCKET + 1 : _LAST_EYE_SOCKET + 1] = 1.0
    ear_side[source.faces[source.has_material("Face")]] = 1.0
    skull = source.has_material("BackHead")
    island = uv_islands(source.faces_uv[skull], len(source.uv))
    for vertex in _EAR_BACKS:
        of_ear = island[source.faces_uv[skull][source.faces[skull] == vertex][0]]
        ear_side[source.faces[skull][island[source.faces_uv[skull][:, 0]] == of_ear]] = 1.0
    found = np.stack([blend @ socket > 0.5, blend @ ear_side > 0.5])
    flags = np.zeros((2, num_vertices), bool)
    flags[:, : found.shape[1]] = found
    return flags[0], flags[1]


def _vertex_parts(triangles: np.ndarray, triangle_parts: np.ndarray, num_vertices: int) -> np.ndarray:
    """(V,) uint8; where parts meet the vertex has the lower id, so the skin's rims are skin."""
    parts = np.full(num_vertices, 255, np.uint8)
    np.minimum.at(parts, triangles.ravel(), np.repeat(triangle_parts, 3))
    return parts
