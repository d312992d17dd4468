"""ICT's eyeballs, resampled as one closed surface each: the sclera, with the iris where upstream has a transparent cornea.

Upstream's eyeball is two shells: an outer one that bulges over the iris as the cornea, and an inner one with the iris and a
hole for the pupil. Without refraction the outer one hides the iris and the inner one shows a gap. Here rays from the eyeball's
centre meet the outer shell or the iris plane, whichever is nearer, rounded where they meet; the pupil is part of the plane.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from assets.heads.ict_source import IctSource

NUM_SECTORS = 40

_FRONT_RINGS_DEG = (2.5, 5, 7.5, 10, 12, 14, 15.5, 17, 18.5, 20, 21.5, 23, 25, 27.5, 31, 36, 42, 49, 57, 66, 78)

RINGS_DEG: tuple[float, ...] = (*_FRONT_RINGS_DEG, 90.0, *(180.0 - angle for angle in reversed(_FRONT_RINGS_DEG)))
"""Angle of each ring of vertices from the eye's axis. The back mirrors the front, so that the mean of all vertices is the centre."""

EQUATOR = len(_FRONT_RINGS_DEG)
"""Index of the ring at 90 degrees, where the texture is cut."""

IRIS_DEG = 20.5
"""Angle of the limbus from the axis: upstream's iris meets its sclera there, 5.7 mm from the axis."""

FILLET_CM = 0.09
"""Depth over which sclera and iris plane are rounded into each other, so that no crease rings the iris."""


@dataclasses.dataclass(frozen=True, eq=False)
class Eyeball:
    """One eyeball; vertices are the front pole, the rings from front to back with NUM_SECTORS each, the back pole."""

    vertices: np.ndarray
    """(N, 3) float64 cm, mean at `centre`."""
    centre: np.ndarray
    """(3,) cm."""
    triangles: np.ndarray
    """(F, 3) int64, outwards."""
    is_iris: np.ndarray
    """(N,) bool: iris or pupil."""
    shell: np.ndarray
    """(M,) int64: upstream's vertices of the outer shell."""


def ict_eyeball(source: IctSource, side: str) -> Eyeball:
    """The subject's "Left" or "Right" eyeball. Exact mirror images of each other, as the two of upstream are."""
    left = _left_eyeball(source)
    if side == "Left":
        return left
    shell = np.unique(source.faces[source.has_material("ScleraRight")])
    mirror = np.array((-1.0, 1.0, 1.0))
    # The same sectors run the other way round in the mirror, so the triangles turn over.
    return dataclasses.replace(
        left, vertices=left.vertices * mirror, centre=left.centre * mirror, triangles=left.triangles[:, ::-1], shell=shell
    )


def follow(eyeball: Eyeball, source: IctSource, displacement: np.ndarray) -> np.ndarray:
    """(N, 3) displacement of the eyeball for upstream's (26719, 3): the affine motion of the outer shell (7 um at worst)."""
    points = source.template[eyeball.shell].astype(np.float64)
    columns = np.column_stack([points - eyeball.centre, np.ones(len(points))])
    motion = np.linalg.lstsq(columns, displacement[eyeball.shell].astype(np.float64), rcond=None)[0]
    return np.column_stack([eyeball.vertices - eyeball.centre, np.ones(len(eyeball.vertices))]) @ motion


def turn(eyeball: Eyeball, *, yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """(N, 3) displacement of a rigid turn about the centre; positive yaw to the subject's left, positive pitch up."""
    rotation = Rotation.from_euler("YX", (yaw_deg, -pitch_deg), degrees=True)
    centred = eyeball.vertices - eyeball.centre
    return rotation.apply(centred) - centred


def _left_eyeball(source: IctSource) -> Eyeball:
    outer, inner = source.faces[source.has_material("ScleraLeft")], source.has_material("IrisLeft")
    shell = np.unique(outer)
    centre, axis = _centre(source.template[shell].astype(np.float64)), np.zeros(3)
    pupil, plane = _iris(source, inner)
    axis = (pupil - centre) / np.linalg.norm(pupil - centre)
    directions, angles = _directions(axis)
    distance = _rounded_minimum(
        _cast(centre, directions, source.template[outer].astype(np.float64)),
        _plane_distance(centre, directions, plane),
    )
    vertices = centre + directions * distance[:, None]
    # The back, which nothing ever shows, takes up the last tenths of a millimetre between mean and centre.
    behind = np.clip((angles - 100.0) / 40.0, 0.0, 1.0)
    vertices -= (behind / behind.mean())[:, None] * (vertices.mean(0) - centre)
    return Eyeball(vertices, centre, _grid_triangles(), angles < IRIS_DEG, shell)


def _centre(points: np.ndarray) -> np.ndarray:
    """Centre of the sphere through the shell's back, by linear least squares."""
    back = points[points[:, 2] < points[:, 2].max() - 1.0]
    return np.linalg.lstsq(np.column_stack([2 * back, np.ones(len(back))]), (back**2).sum(1), rcond=None)[0][:3]


def _iris(source: IctSource, inner: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, float]]:
    """Centre of the pupil, and the plane (unit normal, height) of the iris, both from the inner shell's front island.

    Upstream unwraps the front of the inner shell about (0.5, 0.5): the pupil's edge is its innermost ring.
    """
    corner_uvs, corners = source.uv[source.faces_uv[inner]].reshape(-1, 2), source.faces[inner].ravel()
    radius = np.linalg.norm(corner_uvs.astype(np.float64) - 0.5, axis=1)
    ring = np.unique(corners[radius < radius.min() + 1e-3])
    pupil = source.template[ring].astype(np.float64).mean(0)
    points = source.template[np.unique(corners)].astype(np.float64)
    away = np.linalg.norm(points - pupil, axis=1)
    flat = points[(away > 0.25) & (away < 0.5) & (points[:, 2] > pupil[2] - 0.15)]
    normal = np.linalg.svd(flat - flat.mean(0))[2][2]
    normal *= np.sign(normal[2])
    return pupil, (normal, float(normal @ flat.mean(0)))


def _directions(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) unit vectors from the centre to all vertices, and (N,) their angle from the axis in degrees."""
    side = np.cross((0.0, 1.0, 0.0), axis)
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    polar, azimuth = np.meshgrid(np.radians(RINGS_DEG), np.arange(NUM_SECTORS) * 2 * np.pi / NUM_SECTORS, indexing="ij")
    local = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1).reshape(-1, 3)
    local = np.concatenate([[(0.0, 0.0, 1.0)], local, [(0.0, 0.0, -1.0)]])
    return local @ np.stack([side, up, axis]), np.degrees(np.arccos(np.clip(local[:, 2], -1, 1)))


def _cast(origin: np.ndarray, directions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(N,) distance at which rays from inside a closed shell of triangles (F, 3, 3) leave it (Moeller and Trumbore 1997)."""
    a, edge_b, edge_c = corners[:, 0] - origin, corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(edge_b, edge_c)
    volume = directions @ normal.T
    safe = np.where(np.abs(volume) < 1e-12, np.nan, volume)
    distance = (a * normal).sum(1) / safe
    moment = np.cross(directions[:, None], a[None])
    share_b = -np.einsum("nfc,fc->nf", moment, edge_c) / safe
    share_c = np.einsum("nfc,fc->nf", moment, edge_b) / safe
    inside = (share_b > -1e-9) & (share_c > -1e-9) & (share_b + share_c < 1 + 1e-9) & (distance > 0)
    return np.where(inside, distance, -np.inf).max(1)


def _plane_distance(origin: np.ndarray, directions: np.ndarray, plane: tuple[np.ndarray, float]) -> np.ndarray:
    """(N,) distance to the iris plane; inf for rays that go away from it."""
    normal, height = plane
    towards = directions @ normal
    return np.where(towards > 0.2, (height - normal @ origin) / np.maximum(towards, 0.2), np.inf)


def _rounded_minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """min(a, b) with a smooth change-over where they differ by less than FILLET_CM (polynomial smooth minimum, Quilez)."""
    near = np.clip(FILLET_CM - np.abs(a - b), 0.0, None)
    return np.minimum(a, b) - near**2 / (4.0 * FILLET_CM)


def _grid_triangles() -> np.ndarray:
    """(F, 3) of poles and rings, counter-clockwise seen from outside."""
    rings = 1 + np.arange(len(RINGS_DEG) * NUM_SECTORS).reshape(len(RINGS_DEG), NUM_SECTORS)
    after = np.roll(rings, -1, 1)
    back_pole = rings[-1, -1] + 1
    a, b, c, d = rings[:-1].ravel(), rings[1:].ravel(), after[1:].ravel(), after[:-1].ravel()
    return np.concatenate(
        [
            np.column_stack([np.zeros(NUM_SECTORS, np.int64), rings[0], after[0]]),
            np.column_stack([a, b, c]),
            np.column_stack([a, c, d]),
            np.column_stack([np.full(NUM_SECTORS, back_pole), after[-1], rings[-1]]),
        ]
    )
